"""Item filters of requests, bundles, figures and readiness."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from recsys.bundle import Bundle
from recsys.errors import UnavailableError
from serving.gateway import Gateway
from tests.unit.serving.conftest import TEXTS, LocalPool

FOOD = 'item.item_id.startsWith("food-")'


def test_a_filter_leaves_only_what_it_holds_of(client: TestClient, gateway: Gateway) -> None:
    client.post("/v1/events", json={"user_id": "a", "item_id": "space-1", "kind": "click"})
    asked = {"k": 5, "filter": FOOD}
    for _ in range(2):  # compiled, and kept
        reply = client.get("/v1/users/a/recommendations", params=asked)
        ids = [item["item_id"] for item in reply.json()["items"]]
        assert len(ids) == 5 and all(one.startswith("food-") for one in ids)
    batch = client.post("/v1/recommendations:batch", json={"user_ids": ["a"], **asked}).json()
    assert [item["item_id"] for item in batch["slates"][0]["items"]] == ids
    none = client.get("/v1/users/a/recommendations", params={"filter": "false"}).json()
    assert none["items"] == [] and none["rules_version"] is None
    plain = client.get("/v1/users/a/recommendations", params={"k": 5}).json()["items"]
    assert all(item["item_id"].startswith("space-") for item in plain)


def test_a_filter_stands_beside_the_rules(client: TestClient) -> None:
    rule = {"id": "no-3", "when": 'item.item_id == "food-3"', "action": {"type": "filter"}}
    assert (
        client.put("/v1/rules", json={"rules": [rule], "expected_version": None}).status_code == 200
    )
    asked = {"k": 25, "filter": FOOD}
    reply = client.get("/v1/users/a/recommendations", params=asked).json()
    ids = {item["item_id"] for item in reply["items"]}
    assert ids == {f"food-{n}" for n in range(12) if n != 3}


@pytest.mark.parametrize(
    "source", ["", "item.", "1 + 1", "nobody.knows", "true && " * 400 + "true"]
)
def test_an_unsound_filter_is_refused(client: TestClient, source: str) -> None:
    reply = client.get("/v1/users/a/recommendations", params={"filter": source})
    assert reply.status_code == 422 and "filter" in reply.json()["detail"]


def test_bundles_are_listed_and_told(client: TestClient, bundle: Bundle) -> None:
    (mine,) = client.get("/v1/bundles").json()["bundles"]
    assert mine["bundle_id"] == bundle.bundle_id and mine["is_current"] and mine["is_served"]
    assert client.get(f"/v1/bundles/{bundle.bundle_id}").json() == mine
    assert client.get("/v1/bundles/none").status_code == 404
    for cursor in ("!", "bm9uZQ", "Ünï"):
        assert client.get("/v1/bundles", params={"cursor": cursor}).status_code == 422


def test_stats_count_users_and_events(client: TestClient, clock: list[float]) -> None:
    for user in ("a", "b"):
        client.post("/v1/events", json={"user_id": user, "item_id": "space-1", "kind": "click"})
    clock[0] += 60.0
    found = client.get("/v1/stats").json()
    assert (found["n_users"], found["n_events"], found["n_items"]) == (2, 2, len(TEXTS))
    assert found["uptime_s"] == 60.0 and found["n_partitions"] == 4


def test_without_shards_no_traffic_is_taken(
    client: TestClient, pool: LocalPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client.get("/readyz").json()["status"] == "ready"

    async def away() -> None:
        raise UnavailableError("actor shard-0", "does not answer")

    monkeypatch.setattr(pool, "status", away)
    assert client.get("/readyz").status_code == 503
