"""Impressions that a client posts: kept by the pool, and taken from the scores of slates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from recsys.archive import Archive
from recsys.bundle import Bundle
from recsys.folding import fold_partition, read_to_position
from recsys.interest.id_map import IdBytes
from recsys.schema import DEFAULT_TENANT, partition_of
from recsys.settings import load
from serving.api.routes import create_app
from serving.gateway import Gateway
from serving.pool.partition import Ground
from serving.pool.shard import Shard
from serving.stage import Stage
from tests.unit.serving.conftest import N_PARTITIONS, NOW, LocalPool

DISCOUNT, HALF_LIFE_S = 1.5, 7 * 86_400.0


@pytest.fixture
def tiring(bundle: Bundle, pool: LocalPool) -> TestClient:
    """A service whose slates take 1.5 off an item for every unanswered impression."""
    settings = load(
        assignments=[
            "encoder.n_dims=8",
            f"data.n_partitions={N_PARTITIONS}",
            "reranking.steps=[fatigue]",
            f"reranking.fatigue.discount={DISCOUNT}",
        ]
    )
    return TestClient(create_app(Stage.of(Gateway(bundle, pool, settings, lambda: NOW))))


def event(item: str, kind: str, ago_s: float) -> dict[str, Any]:
    return {"user_id": "ann", "item_id": item, "kind": kind, "ts": NOW - ago_s}


def post(client: TestClient, *events: dict[str, Any]) -> None:
    reply = client.post("/v1/events", json={"events": list(events)})
    assert reply.json()["accepted"] == len(events), reply.text


def scores(client: TestClient) -> dict[str, float]:
    reply = client.get("/v1/users/ann/recommendations", params={"k": 25})
    assert reply.status_code == 200, reply.text
    return {item["item_id"]: item["score"] for item in reply.json()["items"]}


def parts(client: TestClient, item_id: str) -> dict[str, float]:
    items = client.get("/v1/users/ann/recommendations", params={"k": 25}).json()["items"]
    (found,) = [item["parts"] for item in items if item["item_id"] == item_id]
    return dict(found)


def test_impressions_take_from_the_score_until_they_fade(tiring: TestClient) -> None:
    post(tiring, event("space-0", "click", 600.0))
    before = scores(tiring)
    post(tiring, *(event("space-1", "impression", ago) for ago in (0.0, HALF_LIFE_S)))
    after = scores(tiring)
    assert after["space-1"] == pytest.approx(before["space-1"] - 1.5 * DISCOUNT, abs=1e-4)
    assert parts(tiring, "space-1")["fatigue"] == pytest.approx(-1.5 * DISCOUNT, abs=1e-4)
    assert after["space-2"] == pytest.approx(before["space-2"], abs=1e-6)


def test_who_was_only_shown_something_is_tired_of_it_too(tiring: TestClient) -> None:
    post(tiring, event("space-1", "impression", 1.0))
    assert "space-1" in scores(tiring)
    assert parts(tiring, "space-1")["fatigue"] == pytest.approx(-DISCOUNT, abs=1e-3)


def test_impressions_survive_a_restart_by_snapshot_and_by_record(
    tiring: TestClient, ground: Ground, pool: LocalPool, new_shard: Callable[[], Shard]
) -> None:
    post(tiring, *(event(f"space-{n}", "impression", 60.0 * n) for n in range(5)))
    (held,) = pool.shard.read(["ann"], NOW)
    assert len(held.shown_item) == 5
    pool.shard.save_snapshots()
    post(tiring, event("food-1", "impression", 1.0))
    (again,) = new_shard().read(["ann"], NOW)
    assert len(again.shown_item) == 6
    partition = partition_of(DEFAULT_TENANT, "ann", N_PARTITIONS)
    record, _ = read_to_position(Archive(ground.store), ground.ledger, partition, DEFAULT_TENANT)
    table, _ = fold_partition(record, ground.basis)
    found = table.shown.of(IdBytes.of(["ann"]))
    np.testing.assert_array_equal(found.item, again.shown_item)
    np.testing.assert_array_equal(found.ts, again.shown_ts)
