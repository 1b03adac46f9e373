"""A learned bundle of random weights, served without Ray: nothing here knows what it learned."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from fastapi.testclient import TestClient

from recsys.archive import Archive
from recsys.bundle import Bundle
from recsys.eligibility import eligible
from recsys.errors import UnavailableError
from recsys.evaluation.protocol import ask, recommend
from recsys.evaluation.scene import scene_of
from recsys.evaluation.split import Queries
from recsys.evaluation.touched import Touches
from recsys.events import event_arrays
from recsys.folding import Basis, fold_partition, read_to_position
from recsys.interest.replay import ends_before
from recsys.interest.zero_shot import is_positive
from recsys.schema import Event, partition_of
from recsys.settings import Settings, load
from recsys.store import Store
from recsys.testing.fakes import DecayedPairs, tiny_items, tiny_log
from recsys.testing.models import random_bundle
from serving.gateway import Gateway
from serving.pool.partition import Ground
from serving.slates import SlateRequest
from tests.unit.serving.conftest import NOW, TEXTS, LocalPool

HOUR = 3_600.0
ITEMS = list(TEXTS)
MakeEvent = Callable[..., Event]


@pytest.fixture
def settings() -> Settings:
    return load(assignments=["encoder.n_dims=8", "data.n_partitions=4", "model.n_queries=2"])


@pytest.fixture(params=["alone", "with neighbours"])
def bundle(store: Store, settings: Settings, request: pytest.FixtureRequest) -> Bundle:
    found = random_bundle(store, tiny_items(TEXTS), NOW - 1e6, settings)
    if request.param == "alone":
        return found
    table = np.random.default_rng(7).normal(size=(len(TEXTS), len(TEXTS)))
    return dataclasses.replace(found, neighbours=DecayedPairs(table, 20 * HOUR))


def rows_of(rng: np.random.Generator, n: int = 120) -> list[tuple[str, str, str, float]]:
    kinds = ["click", "purchase", "dislike", "impression"]
    return [
        (f"u{rng.integers(6)}", ITEMS[rng.integers(len(ITEMS))], kinds[rng.integers(4)], float(ts))
        for ts in NOW - np.sort(rng.uniform(0.0, 1e7, n))[::-1]
    ]


def happen(pool: LocalPool, gateway: Gateway, rows: list[tuple[str, str, str, float]]) -> None:
    """Commit events, not in the order of their times: late events are simply right."""
    events = [
        Event("default", f"e{n}", user, item, kind, ts, 0, ts)
        for n, (user, item, kind, ts) in enumerate(rows)
    ]
    for start in range(0, len(rows), 17):
        pool.shard.append(events[start : start + 17][::-1])
    asyncio.run(gateway.pull_trend())


def test_the_pool_serves_what_a_replay_of_the_log_recommends(
    bundle: Bundle, ground: Ground, pool: LocalPool, gateway: Gateway, rng: np.random.Generator
) -> None:
    rows, settings = rows_of(rng), ground.settings
    happen(pool, gateway, rows)
    events = event_arrays(tiny_log(rows), bundle.catalog.index)
    positive = is_positive(events.kind, events.value, settings.interest)
    lives = settings.trend.half_lives_s
    scene = scene_of(events, positive, bundle.catalog, bundle.items, bundle.model, lives)
    scene = dataclasses.replace(scene, neighbours=bundle.neighbours)
    as_of = NOW + HOUR
    user = np.array([-1, *range(len(events.user_ids))])
    moments = np.full(len(user), as_of)
    ends = ends_before(events, user, moments)
    none = np.zeros(0, np.int64)
    queries = Queries(user, moments, ends, np.zeros(len(user) + 1, np.int64), none)
    asked = ask(events, scene, queries, Touches(events, settings.data.passive_kinds), settings)
    found = recommend(scene, asked, k=30)
    for query, row in enumerate(asked.queries.user):
        name = "stranger" if row < 0 else events.user_ids[row]
        reply = asyncio.run(gateway.recommend(name, SlateRequest(k=30, as_of=as_of)))
        online = {item.item_id: item.score for item in reply.items}
        kept = found["rows"][query] >= 0
        replayed = [bundle.catalog.item_ids[i] for i in found["rows"][query][kept]]
        assert set(replayed) == set(online)
        assert reply.cold_start == (row < 0)
        scores = [online[item_id] for item_id in replayed]
        np.testing.assert_allclose(scores, found["scores"][query][kept], rtol=1e-3, atol=1e-3)


def test_live_folds_agree_with_a_fold_of_the_record(
    pool: LocalPool, ground: Ground, rng: np.random.Generator
) -> None:
    for n, (user, item, kind, ts) in enumerate(rows_of(rng)):
        pool.shard.append([Event("default", f"e{n}", user, item, kind, ts, 0, ts)])
    for user in (f"u{n}" for n in range(6)):
        number = partition_of("default", user, 4)
        record, _ = read_to_position(Archive(ground.store), ground.ledger, number, "default")
        table, _ = fold_partition(record, Basis.of(ground.bundle))
        live = pool.shard._holdings.partitions[number].table
        mine, theirs = live.banks(live.rows([user])), table.banks(table.rows([user]))
        for a, b in zip(mine, theirs, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_a_slates_parts_add_up_and_its_reasons_are_events_of_the_user(
    client: TestClient, gateway: Gateway, pool: LocalPool, rng: np.random.Generator
) -> None:
    rows = rows_of(rng)
    happen(pool, gateway, rows)
    touched = {item for user, item, kind, _ in rows if user == "u1" and kind != "impression"}
    items = client.get("/v1/users/u1/recommendations", params={"k": 20}).json()["items"]
    assert len(items) > 5
    for item in items:
        assert item["score"] == pytest.approx(sum(item["parts"].values()), abs=1e-4)
        assert item["item_id"] not in touched
        if item["reason"]["type"] == "because":
            assert item["reason"]["item_id"] in touched
    assert any(item["reason"]["type"] == "because" for item in items)


def test_somebody_unknown_gets_the_models_own_weights_of_trend(
    client: TestClient, gateway: Gateway, pool: LocalPool, rng: np.random.Generator
) -> None:
    happen(pool, gateway, rows_of(rng))
    reply = client.get("/v1/users/stranger/recommendations", params={"k": 5, "as_of": NOW}).json()
    assert reply["cold_start"] and not reply["degraded"]
    shelf, features = gateway._shelf, gateway._trend.features(NOW)
    index = shelf.catalog.index
    for item in reply["items"]:
        row = index[item["item_id"]]
        query, warm = shelf.nobody, shelf.items.warm[row]
        weights = query.warm_trend[0] if warm else query.cold_trend[0]
        offset = 0.0 if warm else float(query.cold_offset[0])
        expected = float(features[row] @ weights) + offset
        assert item["parts"]["trend"] == pytest.approx(expected, abs=1e-4)


def test_a_slate_without_the_profile_is_that_of_somebody_unknown(
    client: TestClient, gateway: Gateway, pool: LocalPool, rng: np.random.Generator
) -> None:
    happen(pool, gateway, rows_of(rng))
    unknown = client.get("/v1/users/nobody/recommendations", params={"as_of": NOW}).json()
    pool.error = UnavailableError("actor shard", "does not answer", "Retry")
    degraded = client.get("/v1/users/u1/recommendations", params={"as_of": NOW}).json()
    assert degraded["degraded"]
    assert [i["item_id"] for i in degraded["items"]] == [i["item_id"] for i in unknown["items"]]


def test_a_session_is_answered_as_a_user_with_the_same_events(
    client: TestClient, gateway: Gateway, pool: LocalPool
) -> None:
    rows = [("u", "space-1", "click", NOW - 5.0), ("u", "food-2", "purchase", NOW)]
    happen(pool, gateway, rows)
    user = client.get("/v1/users/u/recommendations", params={"k": 8, "as_of": NOW}).json()
    items = [
        {"item_id": "space-1", "kind": "click", "ts": NOW - 5.0},
        {"item_id": "food-2", "kind": "purchase", "ts": NOW},
    ]
    body = {"items": items, "as_of": NOW, "k": 8}
    session = client.post("/v1/recommendations", json=body).json()
    for mine, theirs in zip(session["items"], user["items"], strict=True):
        assert mine["item_id"] == theirs["item_id"]
        assert mine["score"] == pytest.approx(theirs["score"], abs=1e-4)
        assert mine["reason"]["type"] == theirs["reason"]["type"]
    words = client.post("/v1/recommendations", json={"items": [], "text": "rockets"})
    assert words.status_code == 200 and not words.json()["cold_start"]


def test_a_profile_shows_all_query_vectors_and_its_interests(
    client: TestClient, gateway: Gateway, pool: LocalPool, rng: np.random.Generator
) -> None:
    happen(pool, gateway, [("u", f"space-{n}", "like", NOW - n) for n in range(9)])
    profile = client.get("/v1/users/u/profile", params={"as_of": NOW}).json()
    assert len(profile["query"]) == 8
    assert [len(vector) for vector in profile["more_queries"]] == [8]
    weights = [interest["weight"] for interest in profile["interests"]]
    assert sum(weights) == pytest.approx(1.0 if weights else 0.0)
    assert client.get("/v1/users/nobody/profile").json()["interests"] == []


def test_likeness_of_items_is_a_cosine_though_vectors_have_lengths(
    client: TestClient, bundle: Bundle
) -> None:
    found = client.get("/v1/items/space-3/similar", params={"k": 5}).json()["items"]
    unit = bundle.vectors / np.maximum(np.linalg.norm(bundle.vectors, axis=1, keepdims=True), 1e-9)
    cosines = unit @ unit[bundle.catalog.index["space-3"]]
    for item in found:
        assert item["score"] == pytest.approx(
            cosines[bundle.catalog.index[item["item_id"]]], abs=1e-5
        )
    assert found[0]["score"] == pytest.approx(np.sort(cosines)[-2], abs=1e-5)


def test_a_large_catalog_is_searched_with_every_query_vector(
    bundle: Bundle, settings: Settings, pool: LocalPool, rng: np.random.Generator
) -> None:
    retrieval = bundle.settings.retrieval.model_copy(
        update={"exact_below": 1, "n_candidates": len(ITEMS)}
    )
    large = dataclasses.replace(
        bundle, settings=bundle.settings.model_copy(update={"retrieval": retrieval})
    )
    small, wide = (Gateway(b, pool, settings, lambda: NOW) for b in (bundle, large))
    happen(pool, small, rows_of(rng))
    asyncio.run(wide.pull_trend())
    wide._trend.apply(asyncio.run(pool.pull_trend(0)))
    exact = asyncio.run(small.recommend("u2", SlateRequest(k=5)))
    found = asyncio.run(wide.recommend("u2", SlateRequest(k=5)))
    assert [i.item_id for i in found.items] == [i.item_id for i in exact.items]
    assert eligible(wide._shelf, wide._trend.features(NOW), NOW).any()


def test_the_trending_page_uses_the_weights_of_somebody_unknown(
    client: TestClient, gateway: Gateway, pool: LocalPool, rng: np.random.Generator
) -> None:
    happen(pool, gateway, rows_of(rng))
    found = client.get("/v1/trending", params={"k": 3, "as_of": NOW})
    assert found.status_code == 200
    scores = [item["score"] for item in found.json()["items"]]
    assert scores == sorted(scores, reverse=True)
