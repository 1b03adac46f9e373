"""The table of properties that everything additive must have, on the reference and on the fold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.decay.fold import fold_events
from recsys.decay.state import AdditiveState, Evidence, refolded

HALF_LIVES_S = np.array([60.0, 3_600.0, 86_400.0, 30 * 86_400.0])
H, D, A_MAX = len(HALF_LIVES_S), 5, 4.0
SPAN_S = 400 * 86_400.0
START_S = 1.7e9


@dataclass
class Folded:
    """One state of the numba fold."""

    sums: np.ndarray[Any, Any]
    mass: np.ndarray[Any, Any]
    t_ref: np.ndarray[Any, Any]


def empty(n_states: int = 1) -> Folded:
    return Folded(
        np.zeros((n_states, H, D), np.float32),
        np.zeros((n_states, H), np.float32),
        np.full(n_states, -np.inf),
    )


def fold(events: list[Evidence], into: Folded | None = None) -> Folded:
    state = empty() if into is None else into
    n = len(events)
    fold_events(
        state.sums,
        state.mass,
        state.t_ref,
        np.zeros(n, np.int64),
        np.array([e.ts for e in events], np.float64),
        np.array([e.importance for e in events], np.float32).reshape(n, H),
        np.arange(n),
        np.array([e.vector for e in events], np.float32).reshape(n, D),
        HALF_LIVES_S,
    )
    return state


def scale(events: list[Evidence]) -> np.ndarray[Any, Any]:
    """sum |a v| per half-life: what errors are relative to."""
    total = sum(e.importance * np.linalg.norm(e.vector) for e in events)
    return np.asarray(total) + 1e-9


def assert_same(left: Any, right: Any, events: list[Evidence], tolerance: float = 1e-5) -> None:
    def close(a: Any, b: Any) -> bool:
        difference = np.abs(np.asarray(a).reshape(H, -1) - np.asarray(b).reshape(H, -1))
        return bool((difference.max(1) <= tolerance * scale(events)).all())

    assert float(np.ravel(left.t_ref)[0]) == float(np.ravel(right.t_ref)[0])
    assert close(left.sums, right.sums)
    assert close(left.mass, right.mass)


@st.composite
def evidence(draw: st.DrawFn) -> Evidence:
    """An event; its numbers come from a drawn seed, its time from the search itself."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    vector = rng.normal(size=D)
    vector /= max(1.0, np.linalg.norm(vector))
    importance = np.where(rng.random(H) < 0.2, 0.0, rng.uniform(0.01, A_MAX - 0.01, H))
    ts = START_S + draw(st.floats(0.0, SPAN_S) | st.sampled_from([0.0, 1.0, 60.0, SPAN_S]))
    return Evidence(ts, importance.astype(np.float32), vector.astype(np.float32))


histories = st.lists(evidence(), min_size=1, max_size=25)
quick = settings(max_examples=40, deadline=None)


@quick
@given(histories, st.randoms(use_true_random=False))
def test_any_order_of_events_gives_the_same_state(events: list[Evidence], random: Any) -> None:
    shuffled = list(events)
    random.shuffle(shuffled)
    assert_same(fold(shuffled), fold(events), events)
    by_hand = (AdditiveState.fold(e, HALF_LIVES_S, D) for e in (shuffled, events))
    assert_same(*by_hand, events, tolerance=1e-12)


@quick
@given(histories)
def test_the_fold_equals_the_slow_reference(events: list[Evidence]) -> None:
    assert_same(fold(events), AdditiveState.fold(events, HALF_LIVES_S, D), events)


@quick
@given(histories)
def test_the_recurrent_state_equals_the_parallel_sum(events: list[Evidence]) -> None:
    latest = max(e.ts for e in events)
    weights = [e.importance * 2.0 ** (-(latest - e.ts) / HALF_LIVES_S) for e in events]
    sums = sum(w[:, None] * e.vector for w, e in zip(weights, events, strict=True))
    parallel = Folded(np.asarray(sums), np.asarray(sum(weights)), np.array([latest]))
    assert_same(fold(events), parallel, events)


@quick
@given(histories, st.integers(0, 25))
def test_a_batch_equals_its_events_one_by_one(events: list[Evidence], cut: int) -> None:
    singles = empty()
    for event in events:
        fold([event], into=singles)
    assert_same(singles, fold(events), events)
    assert_same(fold(events[cut:], into=fold(events[:cut])), fold(events), events)


@quick
@given(histories, st.integers(0, 25))
def test_merged_states_equal_the_state_of_all_events(events: list[Evidence], cut: int) -> None:
    parts = []
    for part in (events[:cut], events[cut:]):
        folded = fold(part)
        state = AdditiveState(HALF_LIVES_S, D)
        state.sums, state.mass = folded.sums[0].astype(np.float64), folded.mass[0].astype(float)
        state.t_ref = float(folded.t_ref[0])
        parts.append(state)
    assert_same(parts[0].merge(parts[1]), fold(events), events)


@quick
@given(histories.filter(lambda events: len(events) > 1), st.integers(0, 24))
def test_a_retracted_event_leaves_the_state_as_if_it_never_was(
    events: list[Evidence], place: int
) -> None:
    place %= len(events)
    rest = events[:place] + events[place + 1 :]
    assert_same(refolded(events, place, HALF_LIVES_S), fold(rest), events)


def test_subtraction_equals_a_refold_where_it_is_allowed(rng: np.random.Generator) -> None:
    events = [
        Evidence(START_S + 10.0 * j, np.ones(H), rng.normal(size=D) / 10.0) for j in range(20)
    ]
    state = AdditiveState.fold(events, HALF_LIVES_S, D)
    assert_same(state.without(events[3]), refolded(events, 3, HALF_LIVES_S), events, 1e-12)


def test_subtracting_the_latest_or_the_weightiest_event_is_refused() -> None:
    old = Evidence(START_S, np.ones(H), np.ones(D))
    new = Evidence(START_S + 5.0, np.full(H, 0.1), np.ones(D))
    state = AdditiveState.fold([old, new], HALF_LIVES_S, D)
    for event in (old, new):
        with pytest.raises(ValueError, match="refold"):
            state.without(event)


@quick
@given(histories, evidence())
def test_one_event_moves_a_state_by_a_bounded_amount(
    events: list[Evidence], extra: Evidence
) -> None:
    before = AdditiveState.fold(events, HALF_LIVES_S, D)
    after = AdditiveState.fold([*events, extra], HALF_LIVES_S, D)
    before = before.at(after.t_ref)
    moved = np.sum((after.sums - before.sums) ** 2) + np.sum((after.mass - before.mass) ** 2)
    assert np.sqrt(moved) <= A_MAX * np.sqrt(2 * H)


@quick
@given(histories, st.floats(0.0, SPAN_S))
def test_mass_is_never_negative_and_confidence_only_fades(
    events: list[Evidence], gap_s: float
) -> None:
    folded = fold(events)
    assert np.all(folded.mass >= 0.0)
    state = AdditiveState.fold(events, HALF_LIVES_S, D)
    now, later = (state.confidence(state.t_ref + g, 1.0) for g in (0.0, gap_s))
    assert np.all((later >= 0.0) & (later <= now) & (now < 1.0))


def test_a_state_takes_the_same_bytes_however_long_the_history(rng: np.random.Generator) -> None:
    few, many = empty(), empty()
    events = [Evidence(START_S + j, np.ones(H), rng.normal(size=D)) for j in range(1000)]
    fold(events[:1], into=few)
    fold(events, into=many)
    assert few.sums.nbytes == many.sums.nbytes
    assert few.mass.nbytes == many.mass.nbytes


def test_the_mean_does_not_change_while_confidence_fades() -> None:
    state = AdditiveState.fold(
        [Evidence(START_S, np.full(H, 2.0), np.ones(D) / 3.0)], HALF_LIVES_S, D
    )
    later = state.at(START_S + 120.0)
    np.testing.assert_allclose(later.mean(), state.mean())
    assert later.confidence(START_S + 120.0, 1.0)[0] == pytest.approx(0.5 / 1.5)
    assert state.confidence(START_S, 1.0)[0] == pytest.approx(2 / 3)


def test_states_of_other_half_lives_do_not_merge() -> None:
    with pytest.raises(ValueError, match="half-lives"):
        AdditiveState([1.0], D).merge(AdditiveState([2.0], D))
