"""What a metered pool tells."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from fastapi.testclient import TestClient

from recsys.errors import UnavailableError
from recsys.schema import Event
from serving.observability.pool import MeteredPool, metered_encode
from tests.unit.serving.conftest import NOW, LocalPool
from tests.unit.serving.observability.conftest import Told, click


def test_events_are_counted_and_their_effect_is_timed(client: TestClient, told: Told) -> None:
    twice = [click("ann", "space-1", event_id="e1"), click("ann", "space-2", event_id="e2")]
    client.post("/v1/events", json={"events": twice})
    client.post("/v1/events", json={"events": twice})
    client.post("/v1/events", json=click("ann", "an-item-of-tomorrow"))
    assert told.batches == [(2, 0, 0, 0), (0, 2, 0, 0), (1, 0, 1, 0)]
    assert len(told.effects) == 1, "duplicates and pending events have none"


def test_effect_begins_with_the_request(
    pool: LocalPool, told: Told, event: Callable[..., Event]
) -> None:
    ticks = iter([10.0, 10.5])
    metered = MeteredPool(pool, told, NOW, lambda: NOW, clock=lambda: next(ticks))
    asyncio.run(metered.append([event("ann", "space-1")]))
    assert told.effects == [0.5], "without a request: with the call"


def test_ages_grow_while_the_trend_is_away(
    pool: LocalPool,
    metered: MeteredPool,
    told: Told,
    clock: list[float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asyncio.run(metered.pull_trend(0))
    assert told.ages == [(0.0, 60.0, 0.0)]

    async def away(version: int) -> None:
        raise UnavailableError("board", "is away")

    monkeypatch.setattr(pool, "pull_trend", away)
    clock[0] += 5.0
    with pytest.raises(UnavailableError):
        asyncio.run(metered.pull_trend(0))
    assert told.ages[-1] == (5.0, 65.0, 0.0)


def test_profile_lag_is_how_long_words_wait(
    pool: LocalPool, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting: dict[str, list[str]] = {"only": ["red"]}
    seconds = [100.0]

    async def texts() -> dict[str, list[str]]:
        return waiting

    monkeypatch.setattr(pool, "waiting_texts", texts)
    metered = MeteredPool(pool, told, NOW, lambda: NOW, clock=lambda: seconds[0])

    async def look() -> float:
        await metered.waiting_texts()
        seconds[0] += 2.0
        await metered.pull_trend(0)
        return told.ages[-1][2]

    assert [asyncio.run(look()) for _ in range(2)] == [2.0, 4.0]
    waiting.clear()
    assert asyncio.run(look()) == 0.0


def test_calls_of_the_encoder_are_told(told: Told) -> None:
    async def encode(texts: Sequence[str]) -> np.ndarray:
        return np.zeros((len(texts), 3), np.float32)

    assert len(asyncio.run(metered_encode(encode, told)(["a", "b"]))) == 2
    assert told.texts == [2]
