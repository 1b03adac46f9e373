"""Take an event out of the history, and the score of every item moves by exactly what was said."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recsys.interest.model import FoldBatch
from recsys.reasons import Histories, Scoring, explain, without_event
from recsys.shelf import Evidence
from tests.unit.reasons.scene import DAY, MODELS, NOW, N, Scene, scene

BAR = 1e-5
KINDS = ("view", "click", "like", "purchase", "rating", "dislike", "skip", "impression", "search")
AGES_S = (0.0, 1.0, 59.5, 3_600.0, DAY, 9 * DAY, 400 * DAY)

Happened = tuple[float, int, str, float]
happened = st.tuples(
    st.sampled_from(AGES_S) | st.floats(0.0, 3e7).map(lambda age: round(age, 6)),
    st.integers(-1, N - 1),
    st.sampled_from(KINDS),
    st.sampled_from([np.nan, 1.0, 2.0, 3.0, 4.5, 37.2]),
)
histories = st.lists(happened, min_size=1, max_size=9)
long_histories = st.lists(happened, min_size=5, max_size=14, unique_by=lambda row: row[:3])
"""Which of two events that differ by value alone is held is left to chance."""
gaps = st.sampled_from([0.0, 30.0, 3_600.0, 3 * DAY, 300 * DAY])
FAR: list[Happened] = [(15_370_099.0, 0, "skip", 4.5), (24_810_260.0, 0, "dislike", np.nan)]
"""Of these the fold forgets one or not, as of the latest event."""
HOUR_AGO: list[Happened] = [
    (3_600.0, item, kind, np.nan)
    for item, kind in ((0, "view"), (0, "click"), (0, "like"), (1, "view"))
]


@cache
def made(name: str, seed: int, n_recent: int = 64) -> Scene:
    return scene(name, seed, n_recent)


def batch(rows: list[Happened]) -> FoldBatch:
    age, item, kind, value = zip(*rows, strict=True) if rows else ((), (), (), ())
    return FoldBatch(
        np.array(item, np.int32),
        NOW - np.array(age, np.float64),
        np.array([*kind, None], object)[:-1],
        np.array(value, np.float64),
    )


def event_of(events: FoldBatch, evidence: Evidence, place: int) -> int:
    """Where a recent event stands in the history."""
    of_ring = evidence.recent_item, evidence.recent_kind, evidence.recent_value
    item, kind, value = (column[place] for column in of_ring)
    is_it = (events.item == item) & (np.abs(events.ts - evidence.recent_ts[place]) < 2e-6)
    same = np.isclose(events.value, value, rtol=1e-6, equal_nan=True)
    (places,) = np.nonzero(is_it & (events.kind == kind) & same)
    return int(places[0])


def check(on: Scene, rows: list[Happened], as_of: float, is_read: bool = False) -> int:
    """Compare what is said of every event with what happens without it; return how many."""
    events = batch(rows)
    evidence = (on.from_record if is_read else on.evidence)(events, as_of)
    before = on.scores(evidence, as_of)
    shown = np.array(sorted(before), np.int64)
    parts = {"interest": np.zeros(len(shown), np.float32), "trend": np.zeros(N, np.float32)}
    found = explain(on.shelf, evidence, on.trend, as_of, shown, parts, "full")
    told = [reason["events"] for reason in found if reason is not None]
    n_events = len(told[0]) if told else 0
    for place in range(n_events):
        left_out = event_of(events, evidence, told[0][place]["position"])
        rest = events.pick(np.arange(len(rows)) != left_out)
        after = on.scores(on.evidence(rest, as_of, seen=evidence.seen), as_of)
        for item, said in zip(shown.tolist(), told, strict=True):
            moved = before[item] - after[item]
            assert abs(said[place]["effect"] - moved) < BAR, (place, item)
    return n_events


@pytest.mark.parametrize("name", MODELS)
@given(seed=st.integers(0, 3), rows=histories, gap_s=gaps)
@example(seed=0, rows=[(0.0, 1, "click", np.nan)], gap_s=0.0)
@example(seed=0, rows=[(0.0, 1, "dislike", np.nan)], gap_s=DAY)
@example(seed=1, rows=[(0.0, 1, "click", np.nan), (300 * DAY, 2, "click", np.nan)], gap_s=60.0)
@example(seed=1, rows=[(0.0, 1, "click", np.nan), (0.0, 2, "like", np.nan)], gap_s=0.0)
@example(seed=2, rows=[(0.0, 1, "click", np.nan), (0.0, 1, "click", np.nan)], gap_s=0.0)
@example(seed=2, rows=[(0.0, N - 1, "click", np.nan), (DAY, 2, "click", np.nan)], gap_s=0.0)
@example(seed=3, rows=[(0.0, -1, "click", np.nan), (DAY, 2, "click", np.nan)], gap_s=0.0)
@example(seed=0, rows=[(0.0, 0, "rating", 1.0), (DAY, 0, "view", np.nan)], gap_s=0.0)
@example(seed=0, rows=[(0.0, 1, "view", np.nan), *FAR], gap_s=0.0)
@settings(max_examples=25, deadline=None)
def test_a_score_moves_by_exactly_what_was_said(
    name: str, seed: int, rows: list[Happened], gap_s: float
) -> None:
    check(made(name, seed), rows, NOW + gap_s)


@pytest.mark.parametrize("name", MODELS)
@given(seed=st.integers(0, 3), rows=long_histories, gap_s=gaps)
@example(seed=0, rows=[(0.0, 0, "view", np.nan), *HOUR_AGO], gap_s=0.0)
@settings(max_examples=15, deadline=None)
def test_it_does_so_in_a_history_longer_than_what_is_held_where_the_record_is_read(
    name: str, seed: int, rows: list[Happened], gap_s: float
) -> None:
    check(made(name, seed, 4), rows, NOW + gap_s, is_read=True)


@pytest.mark.parametrize("name", MODELS)
def test_a_full_ring_is_told_event_by_event(name: str, rng: np.random.Generator) -> None:
    ages, kinds = 10.0 ** rng.uniform(0.0, 7.5, 64), rng.choice(KINDS[:7], 64)
    rows = [(float(a), int(rng.integers(N)), str(k), 4.0) for a, k in zip(ages, kinds, strict=True)]
    assert check(made(name, 0), rows, NOW + 60.0) == 64


@pytest.mark.parametrize("name", MODELS[:2])
def test_what_is_inferred_of_older_events_is_near(name: str, rng: np.random.Generator) -> None:
    on, as_of = made(name, 1, 8), NOW + 60.0
    rows = [(float(a), int(rng.integers(N)), "click", np.nan) for a in rng.uniform(0, 90 * DAY, 40)]
    events = batch(rows)
    rough = on.evidence(events, as_of)
    shown = np.arange(N)
    said, exact = (
        Scoring(on.shelf, Histories(on.shelf, some), on.trend, as_of, shown).effects
        for some in (rough, on.from_record(events, as_of))
    )
    np.testing.assert_allclose(said, exact, atol=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_a_counterfactual_is_the_slate_of_the_others(name: str, rng: np.random.Generator) -> None:
    on, as_of = made(name, 2, 6), NOW + DAY
    rows = [(float(n) * DAY, int(rng.integers(N)), "like", np.nan) for n in range(11)]
    events = batch(rows)
    evidence = on.from_record(events, as_of)
    for place in (0, 3, 5):
        found = on.scores(without_event(on.shelf, evidence, place, as_of), as_of)
        others = events.pick(np.arange(len(rows)) != place)
        expected = on.scores(on.evidence(others, as_of, seen=evidence.seen), as_of)
        assert set(found) == set(expected)
        assert all(abs(found[item] - expected[item]) < BAR for item in found)


def test_an_event_left_out_that_is_not_there_is_refused(rng: np.random.Generator) -> None:
    on = made("learned", 0)
    evidence = on.evidence(batch([(0.0, 1, "click", np.nan)]), NOW)
    with pytest.raises(ValueError, match="event 1 of 1"):
        without_event(on.shelf, evidence, 1, NOW)
