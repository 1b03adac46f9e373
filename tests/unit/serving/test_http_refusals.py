"""What the routes refuse, and how they say it."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient

from recsys.errors import LedgerError
from recsys.ledger import ERASURE_KEY, erasure_pseudonym
from tests.unit.serving.conftest import NOW, LocalPool

Client = TestClient


def click(user: str, item: str, **more: Any) -> dict[str, Any]:
    return {"user_id": user, "item_id": item, "kind": "click", **more}


def test_one_bad_event_alone_is_refused(client: Client) -> None:
    reply = client.post("/v1/events", json=click("ann", "space-1", kind="stare"))
    assert reply.status_code == 422
    assert reply.headers["content-type"] == "application/problem+json"
    assert set(reply.json()) == {"type", "title", "status", "detail"}


def test_of_many_events_the_bad_ones_are_listed(client: Client) -> None:
    events = [click("ann", "space-1"), {"user_id": "ann"}, click("ann", "new-item")]
    found = client.post("/v1/events", json={"events": events}).json()
    assert (found["accepted"], found["pending"]) == (2, 1)
    assert [(r["index"], r["reason"]) for r in found["rejected"]] == [(1, "bad_event")]


def test_an_event_id_counts_once(client: Client) -> None:
    event = click("ann", "space-1", event_id="once")
    assert client.post("/v1/events", json=event).json()["accepted"] == 1
    assert client.post("/v1/events", json=event).json()["duplicates"] == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b"[" * 100_000, 400),
        (b"[]", 422),
        (b"5", 422),
        (b'{"events": 5}', 422),
        (b'{"events": []}', 422),
        (b'{"events": [], "more": 1}', 422),
        (b'{"user_id": "u", "item_id": "i", "kind": "click", "value": NaN}', 422),
        (b'{"user_id": "\\ud800", "item_id": "i", "kind": "click"}', 422),
        (b'{"events": [' + b"1," * 1_001 + b"1]}", 422),
        (b'{"user_id": "' + b"x" * (1 << 20) + b'"}', 413),
    ],
)
def test_a_bad_body_is_a_problem(client: Client, body: bytes, status: int) -> None:
    reply = client.post("/v1/events", content=body)
    assert reply.status_code == status, reply.text
    assert reply.json()["status"] == status


@pytest.mark.parametrize(
    "body", [{"k": 0}, {"k": 501}, {"k": "5"}, {"items": 5}, {"items": [""]}, {"as_of": "soon"}, []]
)
def test_a_bad_session_is_a_problem(client: Client, body: Any) -> None:
    assert client.post("/v1/recommendations", json=body).status_code == 422


@pytest.mark.parametrize("k", ["0", "-1", "501", "10000", "ten", "9" * 30])
def test_k_has_its_limits(client: Client, k: str) -> None:
    for path in ("/v1/users/ann/recommendations", "/v1/items/food-1/similar", "/v1/trending"):
        assert client.get(path, params={"k": k}).status_code == 422


@pytest.mark.parametrize("user", ["a\x00b", "a\nb", "x" * 10_000])
def test_unsound_ids_are_refused(client: Client, user: str) -> None:
    for path in ("users/{}/recommendations", "users/{}/profile", "items/{}/similar"):
        reply = client.get(f"/v1/{path.format(quote(user, safe=''))}")
        assert reply.status_code == 422


@pytest.mark.parametrize("user", ["a/b", "Ünï 用户", "a?b#c", "../etc", "recommendations"])
def test_any_printable_id_works(client: Client, user: str) -> None:
    client.post("/v1/events", json=click(user, "space-1"))
    found = client.get(f"/v1/users/{quote(user, safe='')}/profile")
    assert found.status_code == 200 and found.json()["user_id"] == user
    assert found.json()["n_events"] == 1


def test_an_unknown_route_is_a_problem_too(client: Client) -> None:
    for method, path, status in (("GET", "/v2", 404), ("DELETE", "/v1/events", 405)):
        reply = client.request(method, path)
        assert reply.status_code == status
        assert reply.headers["content-type"] == "application/problem+json"


def test_an_unexpected_error_says_nothing_about_the_inside(client: Client, pool: LocalPool) -> None:
    pool.error = RuntimeError("secret")
    reply = client.get("/v1/users/ann/profile")
    assert reply.status_code == 500 and "secret" not in reply.text


def test_a_ledger_that_refuses_is_a_503_that_names_no_path(
    client: Client, pool: LocalPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise LedgerError("ledger /secret/path", "is full")

    monkeypatch.setattr(pool.shard, "append", refuse)
    reply = client.post("/v1/events", json=click("ann", "space-1"))
    assert reply.status_code == 503 and "Retry-After" in reply.headers
    assert "secret" not in reply.text


def test_the_openapi_document_names_bodies_and_problems(client: Client) -> None:
    document = client.get("/openapi.json").json()
    assert set(document["paths"]) == {
        "/v1/events",
        "/v1/users/{user_id}/recommendations",
        "/v1/recommendations",
        "/v1/recommendations:batch",
        "/v1/slates/{request_id}/feedback",
        "/v1/users/{user_id}",
        "/v1/users/{user_id}/export",
        "/v1/users/{user_id}/profile",
        "/v1/users/{user_id}/interests",
        "/v1/users/{user_id}/interests/{interest}",
        "/v1/graph",
        "/v1/items/{item_id}/similar",
        "/v1/trending",
        "/v1/items",
        "/v1/items:bulk",
        "/v1/search",
        "/v1/latest",
        "/v1/popular",
        "/v1/items/{item_id}",
        "/v1/rules",
        "/v1/rules/rollback",
        "/v1/rules/dry-run",
        "/healthz",
        "/readyz",
        "/v1/stats",
        "/v1/bundles",
        "/v1/bundles/{bundle_id}",
    }
    assert "EventIn" in document["components"]["schemas"]
    assert "422" in document["paths"]["/v1/events"]["post"]["responses"]


def test_late_events_of_an_erased_user_are_refused(client: Client, pool: LocalPool) -> None:
    ledger = pool.shard._ground.ledger
    ledger.put_value(ERASURE_KEY, "ab" * 32, 0)
    ledger.bury("default", erasure_pseudonym("ab" * 32, "default", "ann"), NOW + 1.0)
    reply = client.post("/v1/events", json=click("ann", "space-1"))
    assert reply.status_code == 422 and "erased" in reply.text
    many = [click("bob", "space-1"), {"user_id": ""}, click("ann", "space-1")]
    told = client.post("/v1/events", json={"events": many}).json()
    assert told["accepted"] == 1
    assert [(one["index"], one["reason"] == "erased") for one in told["rejected"]] == [
        (1, False),
        (2, True),
    ]


@pytest.mark.parametrize("diversity", ["-0.1", "1.1", "much", "nan"])
def test_diversity_is_a_share(client: TestClient, diversity: str) -> None:
    url = "/v1/users/ann/recommendations"
    assert client.get(url, params={"diversity": diversity}).status_code == 422
    assert client.get(url, params={"diversity": "0.5"}).status_code == 200


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("application/x-www-form-urlencoded", 202),
        ("text/plain", 202),
        ("application/cloudevents+json", 202),
        ("text/html; charset=utf-8", 415),
        ("application/xml", 415),
        ("image/svg+xml", 415),
    ],
)
def test_only_bodies_that_are_clearly_no_json_are_refused_by_type(
    client: Client, said: str, status: int
) -> None:
    body = '{"user_id": "ann", "item_id": "space-1", "kind": "click"}'
    reply = client.post("/v1/events", content=body, headers={"Content-Type": said})
    assert reply.status_code == status
    assert status == 202 or "application/json" in reply.json()["detail"]
    assert client.post("/v1/events", content=body).status_code == 202  # no type at all
