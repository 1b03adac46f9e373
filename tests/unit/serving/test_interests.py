"""The interest graph over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from recsys.bundle import Bundle, BundleDraft, load_bundle, publish_bundle
from recsys.encoder.projection import Projection
from recsys.retrieval import FaissRetriever
from serving.api.routes import create_app
from serving.gateway import Gateway
from serving.stage import Stage
from tests.unit.serving.conftest import NOW, LocalPool

DAY = 86_400.0


def click(item: str, ts: float = NOW, user: str = "ann", kind: str = "click") -> dict[str, Any]:
    return {"user_id": user, "item_id": item, "kind": kind, "ts": ts}


def post(client: TestClient, *events: dict[str, Any]) -> None:
    reply = client.post("/v1/events", json={"events": list(events)})
    assert reply.json()["accepted"] == len(events), reply.text


def interests(client: TestClient, user: str = "ann", **query: Any) -> dict[str, Any]:
    reply = client.get(f"/v1/users/{user}/interests", params=query)
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


def of_item(bundle: Bundle, item: str) -> int:
    assert bundle.graph is not None
    return int(bundle.graph.node[bundle.catalog.index[item]])


def test_the_graph_names_every_interest(client: TestClient, bundle: Bundle) -> None:
    found = client.get("/v1/graph").json()
    assert bundle.graph is not None and len(found["nodes"]) == len(bundle.graph) >= 2
    assert sum(node["n_items"] for node in found["nodes"]) == len(bundle.catalog) - 1
    assert len({node["label"] for node in found["nodes"]}) == len(found["nodes"])
    assert found["bundle_id"] == bundle.bundle_id and found["edges"] == []


@pytest.mark.parametrize("edges", ["-1", "2001", "many"])
def test_no_more_edges_than_allowed_can_be_asked_for(client: TestClient, edges: str) -> None:
    assert client.get("/v1/graph", params={"edges": edges}).status_code == 422


def test_an_interest_comes_with_its_evidence_and_its_forecast(
    client: TestClient, bundle: Bundle
) -> None:
    post(client, click("space-1", NOW - 60.0), click("space-1", NOW - 2 * DAY))
    found = interests(client)
    (one,) = found["interests"]
    assert one["node"] == of_item(bundle, "space-1") and one["share"] == 1.0
    short = 0.5 ** (60 / (2 * DAY)) + 0.5
    assert one["short"] == pytest.approx(short, rel=1e-4) and one["short"] < one["long"] < 2.0
    assert one["weight"] == pytest.approx((one["short"] + one["long"]) / 2)
    assert one["weight"] > one["forecast"]["after_1d"] > one["forecast"]["after_7d"]
    assert one["forecast"]["half_at"] == pytest.approx(NOW + one["half_life_s"])
    assert 2 * DAY < one["half_life_s"] < 45 * DAY and one["direction"] == "growing"
    assert [event["item_id"] for event in one["events"]] == ["space-1"] * 2
    assert one["n_events"] == 2 and one["change"] is None
    assert found["is_whole"] and not found["cold_start"]


def test_the_forecast_is_what_is_read_later(client: TestClient) -> None:
    post(client, click("space-1"), click("food-1"))
    now = interests(client)["interests"]
    later = interests(client, as_of=NOW + 7 * DAY)["interests"]
    soon = {one["node"]: one["forecast"]["after_7d"] for one in now}
    assert {one["node"]: pytest.approx(one["weight"], rel=1e-6) for one in later} == soon


def test_drift_is_told_since_a_moment(client: TestClient, bundle: Bundle) -> None:
    post(client, click("space-1", NOW - 3 * DAY), click("food-1", NOW - 60.0))
    found = interests(client, since=NOW - DAY)
    changes = {one["node"]: one["change"] for one in found["interests"]}
    assert changes[of_item(bundle, "food-1")] == "appeared"
    assert changes[of_item(bundle, "space-1")] == "fading" and found["since"] == NOW - DAY
    late = client.get("/v1/users/ann/interests", params={"since": NOW + 9.0})
    assert late.status_code == 422 and "since" in late.json()["detail"]


def test_dislike_is_told_apart(client: TestClient) -> None:
    post(client, click("space-1", kind="dislike"))
    (one,) = interests(client)["interests"]
    assert one["weight"] == 0.0 and one["against"] > 0.0 and one["direction"] == "died"


def test_longer_histories_say_that_they_are_not_whole(client: TestClient) -> None:
    post(client, *[click(f"space-{n % 12}", NOW - 60.0 * n) for n in range(70)])
    found = interests(client)
    assert not found["is_whole"] and sum(one["n_events"] for one in found["interests"]) == 64


def test_somebody_unknown_has_no_interests(client: TestClient) -> None:
    found = interests(client, "nobody")
    assert found["cold_start"] and found["interests"] == [] and found["adjacent"] == []


def test_an_item_in_no_node_is_no_interest(client: TestClient) -> None:
    post(client, click("mute"))
    assert interests(client)["interests"] == []


def test_as_of_before_the_last_event_is_refused_here_too(client: TestClient) -> None:
    post(client, click("space-1"))
    reply = client.get("/v1/users/ann/interests", params={"as_of": NOW - 1.0})
    assert reply.status_code == 422


def test_a_bundle_without_graph_says_what_to_do(bundle: Bundle, pool: LocalPool) -> None:
    assert isinstance(bundle.index, FaissRetriever) and isinstance(bundle.projection, Projection)
    draft = BundleDraft(
        catalog=bundle.catalog,
        vectors=bundle.vectors,
        projection=bundle.projection,
        index=bundle.index,
        weights=bundle.weights,
        settings=bundle.settings,
        data_until=0.0,
    )
    publish_bundle(bundle.store, bundle.tenant, draft, NOW)
    old = load_bundle(bundle.store, bundle.tenant)
    with TestClient(
        create_app(Stage.of(Gateway(old, pool, bundle.settings, lambda: NOW)))
    ) as client:
        for path in ("/v1/graph", "/v1/users/ann/interests"):
            reply = client.get(path)
            assert reply.status_code == 404 and "pipelines.train" in reply.json()["detail"]
        slate = client.get("/v1/users/ann/recommendations")
        assert slate.status_code == 200
