"""What an event adds is the score with it minus the score of a profile folded without it."""

from __future__ import annotations

import numpy as np
import pytest

from recsys.interest.contributions import without_each
from recsys.interest.model import Banks, FoldBatch, InterestModel, ItemTable
from recsys.interest.profiles import ProfileTable
from recsys.interest.zero_shot import ZeroShot
from recsys.ranking import default_weights
from recsys.settings import load
from recsys.testing.models import random_interest

D, N = 8, 30
NOW = 1.7e9
KINDS = np.array(["click", "rating", "dislike", "purchase"], object)


def settings_of(n_recent: int) -> object:
    return load(
        assignments=[
            f"encoder.n_dims={D}",
            "model.n_queries=2",
            f"interest.n_recent={n_recent}",
            "interest.half_lives_s=[60, 86400, 8640000]",
        ]
    )


@pytest.fixture
def items(rng: np.random.Generator) -> ItemTable:
    vectors = rng.normal(size=(N, D)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return ItemTable(vectors, np.arange(N) % 3 != 0)


def history(rng: np.random.Generator, n: int) -> FoldBatch:
    """Events apart from each other by seconds and by months, the latest last."""
    ts = NOW - np.sort(np.r_[0.0, 10.0 ** rng.uniform(0.0, 7.5, n - 1)])[::-1]
    kind = KINDS[rng.integers(0, len(KINDS), n)]
    return FoldBatch(rng.integers(0, N, n).astype(np.int32), ts, kind, rng.integers(1, 6, n) * 1.0)


def folded(events: FoldBatch, model: InterestModel, items: ItemTable, settings: object) -> Banks:
    table = ProfileTable(D, settings.interest, settings.data.kinds)  # type: ignore[attr-defined]
    rows = table.rows(["u"], create=True)
    table.fold(np.zeros(len(events.ts), np.int64), events, model, items)
    return table.banks(rows)


def model_of(name: str, settings: object, rng: np.random.Generator) -> InterestModel:
    if name == "learned":
        return random_interest(settings, rng)  # type: ignore[arg-type]
    interest, trend = settings.interest, settings.trend  # type: ignore[attr-defined]
    return ZeroShot(interest, default_weights(interest, trend))


def lives_of(settings: object) -> tuple[float, ...]:
    interest = settings.interest  # type: ignore[attr-defined]
    return (*interest.half_lives_s, *interest.negative_half_lives_s)


def less(events: FoldBatch, place: int) -> FoldBatch:
    return events.pick(np.arange(len(events.ts)) != place)


@pytest.mark.parametrize("name", ["zero-shot", "learned"])
@pytest.mark.parametrize("n", [1, 2, 12])
def test_a_profile_without_an_event_is_that_folded_from_the_others(
    rng: np.random.Generator, items: ItemTable, name: str, n: int
) -> None:
    settings = settings_of(64)
    model, events = model_of(name, settings, rng), history(rng, n)
    newest_first = events.pick(slice(None, None, -1))
    whole = folded(events, model, items, settings)
    found = without_each(model, items, whole, newest_first, lives_of(settings))
    for part, banks in zip(found, whole, strict=True):
        np.testing.assert_allclose(part[:1], banks, rtol=2e-6, atol=1e-6)
    for place in range(n):
        expected = folded(less(newest_first, place), model, items, settings)
        for part, banks in zip(found, expected, strict=True):
            np.testing.assert_allclose(part[place + 1], banks[0], rtol=2e-6, atol=1e-6)


def test_events_older_than_those_held_stay_in_the_rest(
    rng: np.random.Generator, items: ItemTable
) -> None:
    settings = settings_of(5)
    model, events = model_of("learned", settings, rng), history(rng, 40)
    newest_first = events.pick(slice(None, None, -1))
    held = newest_first.pick(slice(5))
    whole = folded(events, model, items, settings)
    found = without_each(model, items, whole, held, lives_of(settings))
    for place in range(5):
        expected = folded(less(newest_first, place), model, items, settings)
        np.testing.assert_allclose(found.mass[place + 1], expected.mass[0], rtol=2e-3, atol=2e-3)
        np.testing.assert_allclose(found.sums[place + 1], expected.sums[0], rtol=2e-3, atol=2e-3)
        assert found.t_ref[place + 1] == expected.t_ref[0]
