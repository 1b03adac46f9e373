"""Every route over HTTP, with a pool of one shard in this process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from fastapi.testclient import TestClient

from recsys.bundle import Bundle
from recsys.errors import LedgerError, UnavailableError
from recsys.settings import InterestSettings, Settings
from recsys.testing.fakes import HashEncoder
from serving.api.routes import create_app
from serving.gateway import Gateway
from tests.unit.serving.conftest import NOW, TEXTS, LocalPool

Client = TestClient


@pytest.fixture
def clock() -> list[float]:
    return [NOW]


@pytest.fixture
def gateway(bundle: Bundle, pool: LocalPool, settings: Settings, clock: list[float]) -> Gateway:
    async def encode(text: str) -> np.ndarray:
        return HashEncoder().encode([text])[0]

    return Gateway(bundle, pool, settings, lambda: clock[0], encode)


@pytest.fixture
def client(gateway: Gateway) -> Iterator[Client]:
    with TestClient(create_app(gateway), raise_server_exceptions=False) as client:
        yield client


def click(user: str, item: str, **more: Any) -> dict[str, Any]:
    return {"user_id": user, "item_id": item, "kind": "click", **more}


def slate(client: Client, user: str, **query: Any) -> dict[str, Any]:
    reply = client.get(f"/v1/users/{user}/recommendations", params=query)
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


def test_an_event_is_in_the_next_slate(client: Client) -> None:
    cold = slate(client, "ann", k=5)
    assert cold["cold_start"] and not cold["degraded"] and len(cold["items"]) == 5
    reply = client.post("/v1/events", json=click("ann", "space-1"))
    assert reply.status_code == 202
    assert {k: reply.json()[k] for k in ("accepted", "duplicates", "pending", "rejected")} == {
        "accepted": 1,
        "duplicates": 0,
        "pending": 0,
        "rejected": [],
    }
    warm = slate(client, "ann", k=5, min_version=reply.json()["version"])
    assert warm["profile_version"] == reply.json()["version"] and not warm["cold_start"]
    assert all(item["item_id"].startswith("space-") for item in warm["items"])
    assert "space-1" not in [item["item_id"] for item in warm["items"]]
    first = warm["items"][0]
    assert first["rank"] == 1
    assert first["score"] == pytest.approx(sum(first["parts"].values()), abs=1e-5)
    assert first["reason"]["type"] == "because" and first["reason"]["item_id"] == "space-1"
    assert first["reason"]["text"] == "Because of rockets, moments ago"


def test_seen_items_can_be_asked_for(client: Client) -> None:
    client.post("/v1/events", json=click("ann", "space-1"))
    found = slate(client, "ann", k=25, exclude_seen="false")
    assert "space-1" in [item["item_id"] for item in found["items"]]


def test_a_slate_fades_as_the_moment_moves_on(client: Client) -> None:
    client.post("/v1/events", json=click("ann", "space-1"))
    now = slate(client, "ann", k=1)
    later = slate(client, "ann", k=1, as_of=NOW + 30 * 86_400.0)
    assert later["as_of"] == NOW + 30 * 86_400.0
    assert 0.0 < later["items"][0]["parts"]["interest"] < now["items"][0]["parts"]["interest"]


def test_as_of_may_be_iso_8601(client: Client) -> None:
    assert slate(client, "ann", as_of="2024-01-01T00:00:00Z")["as_of"] == 1_704_067_200.0


def test_as_of_before_the_last_event_is_refused(client: Client) -> None:
    client.post("/v1/events", json=click("ann", "space-1"))
    for route in ("recommendations", "profile"):
        reply = client.get(f"/v1/users/ann/{route}", params={"as_of": NOW - 1.0})
        assert reply.status_code == 422
        assert "before the user's last event" in reply.json()["detail"]


def test_a_profile_tells_half_lives_interests_and_recent_events(client: Client) -> None:
    client.post("/v1/events", json={"events": [click("ann", "food-1"), click("ann", "food-2")]})
    found = client.get("/v1/users/ann/profile").json()
    assert found["n_events"] == 2 and found["last_event_at"] == NOW
    assert len(found["half_lives"]) == 8 and len(found["query"]) == 8
    assert found["half_lives"][0]["mass"] == pytest.approx(2.0)
    assert found["half_lives"][0]["confidence"] == pytest.approx(
        2 / (2 + InterestSettings().confidence_mass)
    )
    assert found["interests"][0] == {"label": "garlic", "weight": pytest.approx(1.0)}
    assert {r["item_id"] for r in found["recent"]} == {"food-1", "food-2"}


def test_somebody_unknown_has_an_empty_profile(client: Client) -> None:
    reply = client.get("/v1/users/nobody/profile")
    assert reply.status_code == 200
    assert reply.json()["cold_start"] and reply.json()["last_event_at"] is None


def test_similar_items_are_similar(client: Client) -> None:
    found = client.get("/v1/items/food-3/similar", params={"k": 4}).json()["items"]
    assert len(found) == 4
    assert all(item["item_id"].startswith("food-") for item in found)
    assert "food-3" not in [item["item_id"] for item in found]
    assert client.get("/v1/items/mute/similar").json()["items"] == []
    assert client.get("/v1/items/nothing/similar").status_code == 404


def test_trending_follows_everybody(client: Client, gateway: Gateway) -> None:
    client.post("/v1/events", json={"events": [click(f"u{n}", "food-5") for n in range(3)]})
    client.post("/v1/events", json=click("u9", "space-5"))
    client.portal.call(gateway.pull_trend)  # type: ignore[union-attr]
    found = client.get("/v1/trending", params={"k": 5}).json()
    assert [item["item_id"] for item in found["items"]] == ["food-5", "space-5"]
    assert found["items"][0]["mass"][0] == pytest.approx(3.0)
    assert found["trend_as_of"] == NOW
    one = client.get("/v1/trending", params={"half_life_s": 86_400.0}).json()
    assert one["items"][0]["score"] == pytest.approx(3.0)
    assert client.get("/v1/trending", params={"half_life_s": 5.0}).status_code == 422
    cold = slate(client, "nobody", k=1)["items"][0]
    assert cold["item_id"] == "food-5" and cold["reason"]["type"] == "trending"


def test_a_session_of_items_gets_its_slate(client: Client) -> None:
    body = {"items": ["food-1", {"item_id": "food-2", "kind": "like", "ts": NOW - 60}, "gone"]}
    found = client.post("/v1/recommendations", json={**body, "k": 5}).json()
    assert all(item["item_id"].startswith("food-") for item in found["items"])
    assert not {"food-1", "food-2"} & {item["item_id"] for item in found["items"]}
    assert found["unknown_items"] == ["gone"] and found["user_id"] is None
    assert found["items"][0]["reason"]["type"] == "because"


def test_a_session_of_words_gets_its_slate(client: Client) -> None:
    found = client.post("/v1/recommendations", json={"text": "garlic pasta", "k": 5}).json()
    assert all(item["item_id"].startswith("food-") for item in found["items"])
    both = client.post("/v1/recommendations", json={"text": "garlic", "items": ["food-1"]})
    assert both.status_code == 200


def test_an_empty_session_is_a_cold_start(client: Client) -> None:
    found = client.post("/v1/recommendations", json={})
    assert found.status_code == 200 and found.json()["cold_start"]


def test_a_session_leaves_nothing_behind(client: Client) -> None:
    client.post("/v1/recommendations", json={"items": ["food-1"]})
    assert client.get("/healthz").json()["n_users"] == 0


def test_health_names_the_bundle_and_the_shards(client: Client, bundle: Bundle) -> None:
    found = client.get("/healthz").json()
    assert found["status"] == "ok" and found["bundle_id"] == bundle.bundle_id
    assert found["n_items"] == len(TEXTS)
    assert found["shards"][0]["n_partitions"] == 4


def test_while_the_profile_is_away_the_slate_is_degraded(client: Client, pool: LocalPool) -> None:
    pool.error = UnavailableError("actor shard-0", "does not answer")
    found = slate(client, "ann", k=3)
    assert found["degraded"] and found["profile_version"] is None and len(found["items"]) == 3
    reply = client.get("/v1/users/ann/recommendations", params={"min_version": "1.5"})
    assert reply.status_code == 503 and reply.headers["Retry-After"] == "1"
    assert client.get("/v1/users/ann/profile").status_code == 503


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
        "/v1/users/{user_id}/profile",
        "/v1/items/{item_id}/similar",
        "/v1/trending",
        "/healthz",
    }
    assert "EventIn" in document["components"]["schemas"]
    assert "422" in document["paths"]["/v1/events"]["post"]["responses"]


def test_a_large_catalog_is_searched_by_the_index(
    bundle: Bundle, pool: LocalPool, settings: Settings
) -> None:
    import dataclasses  # noqa: PLC0415

    retrieval = bundle.settings.retrieval.model_copy(update={"exact_below": 1})
    large = dataclasses.replace(
        bundle, settings=bundle.settings.model_copy(update={"retrieval": retrieval})
    )
    replies = []
    for chosen in (bundle, large):
        gateway = Gateway(chosen, pool, settings, lambda: NOW)
        with TestClient(create_app(gateway)) as client:
            client.post("/v1/events", json=click("ann", "space-1", event_id="e"))
            items = slate(client, "ann", k=5)["items"]
            near = client.get("/v1/items/food-1/similar").json()["items"]
            assert len(slate(client, "nobody", k=5)["items"]) <= 5
        replies.append([[i["item_id"] for i in found] for found in (items, near)])
    assert replies[0] == replies[1]
