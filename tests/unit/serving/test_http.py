"""Every route over HTTP, with a pool of one shard in this process."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from recsys.bundle import Bundle
from recsys.errors import UnavailableError
from recsys.settings import InterestSettings, Settings
from serving.api.routes import create_app
from serving.gateway import Gateway
from serving.stage import Stage
from tests.unit.serving.conftest import NOW, TEXTS, LocalPool

Client = TestClient


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
    assert first["reason"]["text"].startswith("Because you opened rockets today; fades")


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
        with TestClient(create_app(Stage.of(gateway))) as client:
            client.post("/v1/events", json=click("ann", "space-1", event_id="e"))
            items = slate(client, "ann", k=5)["items"]
            near = client.get("/v1/items/food-1/similar").json()["items"]
            assert len(slate(client, "nobody", k=5)["items"]) <= 5
        replies.append([[i["item_id"] for i in found] for found in (items, near)])
    assert replies[0] == replies[1]
