"""Single users over HTTP: attributes and follows, export and erasure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient

from recsys.archive import Archive
from recsys.errors import ConflictError
from recsys.ledger import open_ledger
from recsys.people import NOBODY
from recsys.rights.receipts import RECEIPT_KEY, is_genuine
from recsys.store import Store
from serving.api.routes import create_app
from serving.gateway import Gateway
from serving.people import People
from serving.stage import Stage
from serving.tables import KEEP_S
from serving.users import UserDesk
from tests.unit.serving.conftest import LocalPool

ANN = "/v1/users/ann"


@pytest.fixture
def users(gateway: Gateway, store: Store, tmp_path: Path) -> UserDesk:
    people, ledger = People(store, "default", 1_000), f"sqlite:///{tmp_path}/ledger.db"
    return UserDesk(store, ledger, people, gateway.settings, gateway.now)


@pytest.fixture
def client(gateway: Gateway, users: UserDesk) -> Iterator[TestClient]:
    with TestClient(create_app(Stage.of(gateway, users)), raise_server_exceptions=False) as client:
        yield client


def click(client: TestClient, user: str = "ann", item: str = "space-1") -> dict[str, Any]:
    event = {"user_id": user, "item_id": item, "kind": "click"}
    reply: dict[str, Any] = client.post("/v1/events", json=event).json()
    return reply


def test_a_user_is_known_by_events_attributes_or_not_at_all(client: TestClient) -> None:
    nobody = client.get(ANN).json()
    assert not nobody["is_known"] and nobody["attributes"] == {} and nobody["latest_event"] is None
    version = click(client)["version"]
    seen = client.get(ANN).json()
    assert (seen["is_known"], seen["n_events"], seen["profile_version"]) == (True, 1, version)
    client.put("/v1/users/bob", json={"attributes": {"plan": "free"}})
    assert client.get("/v1/users/bob").json()["is_known"]


def test_attributes_are_put_patched_and_read_by_other_replicas(
    client: TestClient, store: Store
) -> None:
    body = {"attributes": {"country": "DE", "plan": "free"}, "follows": ["bob"]}
    assert client.put(ANN, json=body).json()["attributes"] == body["attributes"]
    changes = {"attributes": {"plan": None, "city": "Ulm"}}
    assert client.patch(ANN, json=changes).json()["follows"] == ["bob"]
    assert client.get(ANN).json()["attributes"] == {"country": "DE", "city": "Ulm"}
    other = People(store, "default", 1_000)
    other.refresh()
    assert other.of("ann").attributes == {"country": "DE", "city": "Ulm"}
    assert client.put(ANN, json={}).json()["attributes"] == {}


def test_tables_that_were_replaced_long_ago_are_deleted(
    client: TestClient, store: Store, clock: list[float]
) -> None:
    for plan in ("a", "b", "a"):
        client.put(ANN, json={"attributes": {"plan": plan}})
    assert len(store.paths("users")) == 3
    clock[0] += KEEP_S + 1.0
    client.put(ANN, json={"attributes": {"plan": "c"}})
    client.put("/v1/users/bob", json={"attributes": {"plan": "c"}})
    assert len(store.paths("users")) == 3
    assert client.get(ANN).json()["attributes"] == {"plan": "c"}


def test_an_erased_user_is_gone_and_may_come_back(
    client: TestClient, pool: LocalPool, tmp_path: Path, clock: list[float], store: Store
) -> None:
    click(client)
    client.put(ANN, json={"attributes": {"plan": "free"}})
    client.put("/v1/users/bob", json={"follows": ["ann"]})
    reply = client.delete(ANN)
    assert reply.status_code == 202, reply.text
    told = reply.json()
    pool.shard.forget()
    found = client.get(ANN).json()
    assert not found["is_known"] and client.get("/v1/users/bob").json()["follows"] == []
    with_her = [p for p in store.paths("users") if "ann" in str(store.read_table(p).to_pydict())]
    assert with_her == []
    late = {"user_id": "ann", "item_id": "space-2", "kind": "click", "ts": clock[0] - 5.0}
    assert "erased" in client.post("/v1/events", json=late).json()["detail"]
    key = open_ledger(f"sqlite:///{tmp_path}/ledger.db").get_value(RECEIPT_KEY)
    assert key is not None and is_genuine(key[0], told["receipt"])
    assert "ann" not in str(told["receipt"]) and told["receipt"]["left"]["archive"] == 1
    clock[0] += 60.0
    assert click(client)["accepted"] == 1 and client.get(ANN).json()["n_events"] == 1


def test_known_and_unknown_users_get_the_same_answer(client: TestClient) -> None:
    click(client)
    client.put(ANN, json={"attributes": {"plan": "free"}})
    for method in ("DELETE", "GET"):
        known, unknown = (client.request(method, f"/v1/users/{name}") for name in ("ann", "zoe"))
        assert known.status_code == unknown.status_code
        assert known.json().keys() == unknown.json().keys()
    erased = [client.delete(f"/v1/users/{name}").json() for name in ("ann", "zoe")]
    own = ("pseudonym", "signature", "began", "ended")
    for one in erased:
        assert all(one["receipt"].pop(name) for name in own)
    assert erased[0] == erased[1]


def test_an_export_holds_events_and_attributes(client: TestClient, pool: LocalPool) -> None:
    click(client)
    client.put(ANN, json={"attributes": {"plan": "free"}})
    found = client.get(f"{ANN}/export").json()
    assert [event["item_id"] for event in found["events"]] == ["space-1"]
    assert found["attributes"]["attributes"] == {"plan": "free"}
    nobody = client.get("/v1/users/zoe/export")
    assert nobody.status_code == 200 and nobody.json()["events"] == []
    assert nobody.json().keys() == found.keys()


def test_one_export_is_made_at_a_time(client: TestClient, users: UserDesk) -> None:
    with users._exporting:
        assert client.get(f"{ANN}/export").status_code == 503
    assert client.get(f"{ANN}/export").status_code == 200


def test_a_misspelt_route_is_no_user(client: TestClient) -> None:
    for method, path in (("PUT", "profle"), ("DELETE", "profile"), ("PATCH", "export")):
        assert client.request(method, f"{ANN}/{path}", json={}).status_code == 404
    assert client.put(f"/v1/users/{quote('a/b', safe='')}", json={}).json()["user_id"] == "a/b"


@pytest.mark.parametrize(
    "body",
    [
        [],
        {"attributes": {"": "x"}},
        {"attributes": {"a": 1}},
        {"attributes": {"a": "x" * 1_025}},
        {"attributes": {f"a{n}": "x" for n in range(65)}},
        {"follows": [""]},
        {"more": 1},
    ],
)
def test_unsound_attributes_are_refused(client: TestClient, body: Any) -> None:
    for method in ("PUT", "PATCH"):
        assert client.request(method, ANN, json=body).status_code == 422


def test_what_the_store_says_stays_in_the_log(
    client: TestClient, users: UserDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: Any) -> None:
        raise ConflictError("archive of file:///secret", "is being changed", "Run it again later")

    monkeypatch.setattr(Archive, "publish", busy)
    reply = client.put(ANN, json={"attributes": {"plan": "free"}})
    assert reply.status_code == 503 and "secret" not in reply.text
    assert users.of("ann") == NOBODY


def test_too_many_users_are_not_written_one_by_one(
    client: TestClient, gateway: Gateway, users: UserDesk
) -> None:
    api = gateway.settings.serving.api.model_copy(update={"max_users": 1})
    serving = gateway.settings.serving.model_copy(update={"api": api})
    small = gateway.settings.model_copy(update={"serving": serving})
    users._settings = small
    for value in ("b", "c"):
        assert client.put(ANN, json={"attributes": {"a": value}}).status_code == 200
    reply = client.put("/v1/users/bob", json={"attributes": {"a": "b"}})
    assert reply.status_code == 422 and "pipelines.ingest" in reply.json()["detail"]
