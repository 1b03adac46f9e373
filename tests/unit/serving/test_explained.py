"""Reasons over HTTP: none, one per item, or everything, and the slate without an event."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from recsys.bundle import Bundle
from recsys.errors import UnavailableError
from recsys.schema import Event
from recsys.settings import Settings, load
from recsys.store import Store
from recsys.testing.fakes import tiny_bundle, tiny_items
from recsys.testing.models import random_bundle
from serving.gateway import Gateway
from tests.unit.serving.conftest import NOW, TEXTS, LocalPool

DAY = 86_400.0
ITEMS = [name for name in TEXTS if name != "mute"]
N_EVENTS = 11
MakeEvent = Callable[..., Event]


@pytest.fixture
def settings() -> Settings:
    return load(assignments=["encoder.n_dims=8", "data.n_partitions=4", "interest.n_recent=6"])


@pytest.fixture(params=["zero-shot", "learned"])
def bundle(store: Store, settings: Settings, request: pytest.FixtureRequest) -> Bundle:
    make = tiny_bundle if request.param == "zero-shot" else random_bundle
    return make(store, tiny_items(TEXTS), NOW - 1e6, settings)


@pytest.fixture
def history(rng: np.random.Generator, event: MakeEvent) -> list[Event]:
    """More than a profile holds, the latest first."""
    kinds = ["click", "like", "dislike", "purchase"]
    return [
        event("ann", ITEMS[rng.integers(8)], NOW - 60.0 - n * 3 * DAY, kinds[n % 4])
        for n in range(N_EVENTS)
    ]


def happen(pool: LocalPool, gateway: Gateway, events: list[Event]) -> None:
    pool.shard.append(events)
    asyncio.run(gateway.pull_trend())


def ask(client: TestClient, **params: Any) -> dict[str, Any]:
    asked = {"k": 8, "as_of": NOW, "exclude_seen": False, **params}
    reply = client.get("/v1/users/ann/recommendations", params=asked)
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


def test_reasons_may_be_left_out(
    client: TestClient, pool: LocalPool, gateway: Gateway, history: list[Event]
) -> None:
    happen(pool, gateway, history)
    with_reasons, without = ask(client), ask(client, explain="none")
    assert all(item["reason"] is None for item in without["items"])
    assert without["explained_from"] is None
    kept = ("item_id", "score", "rank", "parts")
    for one, other in zip(with_reasons["items"], without["items"], strict=True):
        assert one["reason"]["text"] and {k: one[k] for k in kept} == {k: other[k] for k in kept}


def test_a_counterfactual_is_what_the_pool_serves_to_somebody_without_the_event(
    client: TestClient,
    pool: LocalPool,
    gateway: Gateway,
    history: list[Event],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    happen(pool, gateway, history)

    async def still() -> None:
        """The trend stays what it is, whatever the twins do."""

    monkeypatch.setattr(gateway, "pull_trend", still)
    for place in (0, 2, 5):
        told = ask(client, explain="full", without=f"event:{place}")
        assert told["explained_from"] == "record"
        other = told["counterfactual"]
        assert other["without"]["position"] == place
        assert other["without"]["item_id"] == history[place].item_id
        others = [e for e in history if e.event_id != history[place].event_id]
        twin = [e._replace(user_id=f"twin{place}") for e in others]
        pool.shard.append(twin)
        params = {"k": 8, "as_of": NOW, "exclude_seen": False}
        asked = client.get(f"/v1/users/twin{place}/recommendations", params=params).json()
        expected = {item["item_id"]: item["score"] for item in asked["items"]}
        found = {item["item_id"]: item["score"] for item in other["items"]}
        assert found == pytest.approx(expected, abs=1e-5)
        scores = {item["item_id"]: item for item in told["items"]}
        for item_id in set(scores) & set(expected):
            (said,) = [
                e["effect"] for e in scores[item_id]["reason"]["events"] if e["position"] == place
            ]
            moved = scores[item_id]["score"] - expected[item_id]
            assert said == pytest.approx(moved, abs=1e-5)


def test_without_the_record_what_is_held_explains(
    client: TestClient,
    pool: LocalPool,
    gateway: Gateway,
    history: list[Event],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    happen(pool, gateway, history)

    async def away(user_id: str, timeout_s: float) -> None:
        raise UnavailableError("shard", "does not answer", "Retry")

    monkeypatch.setattr(pool, "record", away)
    told = ask(client, explain="full", without=history[1].item_id)
    assert told["explained_from"] == "held"
    assert len(told["items"][0]["reason"]["events"]) == 6
    assert told["counterfactual"]["without"]["item_id"] == history[1].item_id


@pytest.mark.parametrize(
    ("params", "word"),
    [
        ({"explain": "everything"}, "explain"),
        ({"without": "0"}, "explain=full"),
        ({"explain": "full", "without": "food-11"}, "none of the 6 recent events"),
        ({"explain": "full", "without": "6"}, "none of the 6 recent events"),
    ],
)
def test_unsound_questions_are_refused(
    client: TestClient,
    pool: LocalPool,
    gateway: Gateway,
    history: list[Event],
    params: dict[str, str],
    word: str,
) -> None:
    happen(pool, gateway, history)
    reply = client.get("/v1/users/ann/recommendations", params=params)
    assert reply.status_code == 422 and word in reply.text


def test_a_session_is_explained(client: TestClient, gateway: Gateway) -> None:
    items = [{"item_id": "space-1", "kind": "play"}, {"item_id": "food-2", "kind": "like"}]
    body = {"items": items, "k": 5, "explain": "full", "without": "food-2"}
    found = client.post("/v1/recommendations", json=body).json()
    assert found["counterfactual"]["without"]["kind"] == "like"
    assert [len(item["reason"]["events"]) for item in found["items"]] == [2] * 5
