"""The guard before every route: who is let in, what they are told, and what is noted."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from fastapi.testclient import TestClient

from recsys.auth_options import AuthSettings
from recsys.bundle import Bundle
from recsys.errors import ConfigError
from recsys.serving_options import ServingSettings
from recsys.settings import Settings
from serving.api.routes import create_app
from serving.auth.callers import SCOPES
from serving.auth.exposure import HA_PROXY, check_exposure
from serving.auth.guard import Guard, new_guard
from serving.auth.keys import KeyEntry, add_key, end_key
from serving.auth.limits import Buckets, Granted, Limiter
from serving.auth.routes import OPEN, scope_of
from serving.gateway import Gateway
from serving.rpc.halflife_pb2 import RecommendRequest
from serving.rpc.servicer import RefusedError, Servicer
from serving.rules import RuleDesk
from serving.stage import Stage
from tests.unit.serving.conftest import NOW, LocalPool

SLATE = "/v1/users/ann/recommendations"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def new_key(path: Path, *scopes: str, tenant: str = "default", rate: float | None = None) -> str:
    def entry(key_id: str, sha256: str) -> KeyEntry:
        told: dict[str, Any] = {"tenant": tenant, "scopes": list(scopes), "name": ""}
        told |= {"created_at": NOW, "requests_per_s": rate}
        return KeyEntry(id=key_id, sha256=sha256, **told)

    return add_key(path, entry)


@pytest.fixture
def guard(path: Path) -> Guard:
    buckets = Buckets()

    async def take(name: str, rate: float, burst: float, n: int) -> Granted:
        return buckets.take(name, rate, burst, n)

    new_key(path, *SCOPES)
    auth = AuthSettings(keys_file=str(path), reload_s=0.02)
    made = new_guard(auth, "default", Limiter(take, 1.0), b"secret", time.time)
    assert made is not None
    return made


@pytest.fixture
def stage(bundle: Bundle, pool: LocalPool, settings: Settings) -> Stage:
    rules = RuleDesk(bundle.store, bundle, time.monotonic)
    return Stage.of(Gateway(bundle, pool, settings, lambda: NOW, rules=rules))


@pytest.fixture
def client(stage: Stage, guard: Guard) -> Iterator[TestClient]:
    app = create_app(stage, guard=guard)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def eventually(path: Path, client: TestClient, key: str, url: str = SLATE) -> Any:
    """The first reply that is no 401: replicas read the file now and then."""
    for _ in range(200):
        reply = client.get(url, headers=bearer(key))
        if reply.status_code != 401:
            return reply
        time.sleep(0.01)
    raise AssertionError("the key never counted")


def test_every_route_asks_for_a_scope_and_lets_nobody_in_without_a_key(
    client: TestClient,
) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    asked = [(method.upper(), path) for path, operations in paths.items() for method in operations]
    assert len(asked) > 20
    for method, path in asked:
        url = re.sub(r"\{[^}]+\}", "x", path)
        status = client.request(method, url, json={}).status_code
        assert status == (200 if path in OPEN else 401), (method, path)
        assert path in OPEN or scope_of(method, path) in SCOPES, (method, path)


def test_a_route_that_nobody_thought_of_is_open_to_nobody() -> None:
    assert scope_of("POST", "/v1/new") is None
    assert scope_of("TRACE", "/v1/events") is None


def test_health_asks_nobody(client: TestClient) -> None:
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Basic YTpi",
        "Bearer hl_000000000000_" + "A" * 43,
        "Bearer " + "x" * 9_000,
        "Bearer e30.e30.e30",
        "bearer \u00e9",
    ],
)
def test_without_a_valid_key_it_is_a_401(client: TestClient, header: str | None) -> None:
    sent = {} if header is None else {"Authorization": header.encode("latin-1")}
    for url in (SLATE, "/v1/stats", "/v1/users/nobody/profile"):
        reply = client.get(url, headers=sent)  # type: ignore[arg-type]
        assert reply.status_code == 401
        assert reply.headers["content-type"] == "application/problem+json"
        assert reply.headers["www-authenticate"].startswith("Bearer")
        assert "hl_0" not in reply.text


def test_a_refused_request_is_refused_before_its_body_is_read(client: TestClient) -> None:
    reply = client.post("/v1/events", content=b"\xff" * 4_000_000)
    assert reply.status_code == 401


@pytest.mark.parametrize(
    ("scope", "method", "url"),
    [
        ("recommend", "GET", SLATE),
        ("ingest", "POST", "/v1/events"),
        ("admin", "GET", "/v1/stats"),
        ("admin", "GET", "/v1/rules"),
        ("privacy", "DELETE", "/v1/users/ann"),
        ("privacy", "GET", "/v1/users/ann/export"),
    ],
)
def test_a_key_opens_its_scope_and_no_other(
    client: TestClient, path: Path, scope: str, method: str, url: str
) -> None:
    others = new_key(path, *(s for s in SCOPES if s != scope))
    mine = new_key(path, scope)
    eventually(path, client, others, "/v1/graph" if scope != "recommend" else "/v1/stats")
    refused = client.request(method, url, headers=bearer(others))
    assert refused.status_code == 403 and scope in refused.json()["detail"]
    for _ in range(200):
        let_in = client.request(method, url, headers=bearer(mine))
        if let_in.status_code != 401:
            break
        time.sleep(0.01)
    assert let_in.status_code not in {401, 403}


def test_a_key_of_another_tenant_opens_nothing(client: TestClient, path: Path) -> None:
    key = new_key(path, *SCOPES, tenant="other")
    known, unknown = (
        eventually(path, client, key, f"/v1/users/{user}/profile") for user in ("ann", "nobody")
    )
    assert known.status_code == unknown.status_code == 403
    assert known.json() == unknown.json()


def test_a_revoked_key_is_refused_within_moments(client: TestClient, path: Path) -> None:
    key = new_key(path, "recommend")
    assert eventually(path, client, key).status_code == 200
    end_key(path, key.split("_")[1], 0.0)
    statuses = []
    for _ in range(200):
        statuses.append(client.get(SLATE, headers=bearer(key)).status_code)
        if statuses[-1] == 401:
            break
        time.sleep(0.01)
    assert statuses[-1] == 401 and set(statuses) <= {200, 401}


def test_who_asks_too_often_is_told_when_to_come_back(client: TestClient, path: Path) -> None:
    key = new_key(path, "recommend", rate=2.0)
    eventually(path, client, key)
    replies = [client.get(SLATE, headers=bearer(key)) for _ in range(12)]
    late = [reply for reply in replies if reply.status_code == 429]
    assert len(late) >= 6
    assert int(late[0].headers["retry-after"]) >= 1
    assert late[0].headers["content-type"] == "application/problem+json"


def test_known_and_unknown_users_get_replies_of_one_shape(
    client: TestClient, guard: Guard, path: Path
) -> None:
    key = new_key(path, *SCOPES)
    eventually(path, client, key)
    event = {"user_id": "ann", "item_id": "space-1", "kind": "click"}
    assert client.post("/v1/events", json=event, headers=bearer(key)).status_code == 202
    for route in ("recommendations", "profile", "interests"):
        known, unknown = (
            client.get(f"/v1/users/{user}/{route}", headers=bearer(key)) for user in ("ann", "bob")
        )
        assert known.status_code == unknown.status_code
        assert set(known.json()) == set(unknown.json())


def test_what_matters_is_noted_without_user_ids(
    client: TestClient, path: Path, guard: Guard, caplog: pytest.LogCaptureFixture
) -> None:
    key = new_key(path, "recommend", "admin")
    eventually(path, client, key)
    caplog.set_level(logging.INFO, logger="serving.audit")
    client.get(SLATE, headers=bearer(key))
    client.get("/v1/stats", headers=bearer(key))
    client.put("/v1/rules", json={"rules": [], "expected_version": None}, headers=bearer(key))
    client.delete("/v1/users/ann", headers=bearer(key))
    client.get("/v1/users/ann/profile")
    told = [record for record in caplog.records if record.name == "serving.audit"]
    lines = [(r.getMessage(), vars(r)["action"], vars(r)["status"]) for r in told]
    assert lines == [
        ("done", "PUT /v1/rules", 200),
        ("refused", "DELETE /v1/users/{user_id:id}", 403),
        ("refused", "GET /v1/users/{user_id:id}/profile", 401),
    ]
    assert vars(told[0])["caller"] == f"key:{key.split('_')[1]}"
    assert vars(told[1])["user"] == vars(told[2])["user"] == guard.pseudonym("ann")
    everything = json.dumps([str(vars(record)) for record in told])
    assert "ann'" not in everything and key.split("_", 2)[2] not in everything


def test_the_document_says_what_a_route_asks_for(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    operation = document["paths"]["/v1/events"]["post"]
    assert operation["security"] == [{"bearer": ["ingest"]}]
    assert {"401", "403", "429"} <= set(operation["responses"])
    assert "security" not in document["paths"]["/healthz"]["get"]


class Call:
    def __init__(self, *metadata: tuple[str, str]) -> None:
        self.metadata, self.code = metadata, None

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return self.metadata

    def set_code(self, code: Any) -> None:
        self.code = code

    def set_details(self, _: str) -> None:
        pass


def test_grpc_is_guarded_too(stage: Stage, guard: Guard, path: Path) -> None:
    async def code(*metadata: tuple[str, str]) -> Any:
        call = Call(*metadata)
        try:
            await Servicer(stage, guard).recommend(RecommendRequest(user_id="ann"), call)
        except RefusedError:
            return call.code
        return grpc.StatusCode.OK

    asker, writer = new_key(path, "recommend"), new_key(path, "ingest")
    guard._keys.refresh()  # type: ignore[union-attr]
    assert asyncio.run(code()) is grpc.StatusCode.UNAUTHENTICATED
    refused = asyncio.run(code(("authorization", f"Bearer {writer}")))
    assert refused is grpc.StatusCode.PERMISSION_DENIED
    assert asyncio.run(code(("authorization", f"Bearer {asker}"))) is grpc.StatusCode.OK


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "shop.example"])
def test_nobody_listens_to_the_world_without_keys(host: str) -> None:
    with pytest.raises(ConfigError, match="keys create"):
        check_exposure(ServingSettings(), host, 0)
    check_exposure(ServingSettings(auth=AuthSettings(keys_file="f")), host, 9_000)


def test_proxies_that_listen_everywhere_need_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    check_exposure(ServingSettings(), "127.0.0.1", 0)
    with pytest.raises(ConfigError, match="grpc_port"):
        check_exposure(ServingSettings(), "127.0.0.1", 9_000)
    check_exposure(ServingSettings(grpc_is_fenced=True), "localhost", 9_000)
    monkeypatch.setenv(HA_PROXY, "1")
    with pytest.raises(ConfigError, match=HA_PROXY):
        check_exposure(ServingSettings(), "127.0.0.1", 0)
