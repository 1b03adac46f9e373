from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.events import UNKNOWN_ITEM
from recsys.trend import TrendReplay, TrendState, trend_features

HALF_LIVES_S = (3_600.0, 86_400.0, 30 * 86_400.0)
N_ITEMS = 40


def by_hand(item: Any, ts: Any, weight: Any, as_of: float) -> np.ndarray[Any, Any]:
    """Decayed popularity (N, Ht), the slow and obvious way."""
    mass = np.zeros((N_ITEMS, len(HALF_LIVES_S)))
    for i, t, w in zip(item, ts, weight, strict=True):
        if i != UNKNOWN_ITEM and w > 0.0:
            mass[i] += w * 2.0 ** (-(as_of - t) / np.array(HALF_LIVES_S))
    return mass


def log(rng: np.random.Generator, n: int = 400, days: float = 60.0) -> tuple[Any, Any, Any]:
    item = rng.integers(UNKNOWN_ITEM, N_ITEMS, n).astype(np.int32)
    ts = 1.7e9 + np.sort(rng.uniform(0.0, days * 86_400.0, n))
    return item, ts, rng.choice([0.0, 1.0, 2.5], n)


def test_the_state_is_exact_as_of_any_later_moment(rng: np.random.Generator) -> None:
    item, ts, weight = log(rng)
    state = TrendState(HALF_LIVES_S)
    state.add(item, ts, weight)
    for gap_s in (0.0, 1.0, 3_600.0, 86_400.0 * 400):
        as_of = state.t_ref + gap_s
        np.testing.assert_allclose(
            state.at(as_of, N_ITEMS), by_hand(item, ts, weight, as_of), rtol=1e-5, atol=1e-30
        )


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(1.0, 5_000.0), st.integers(1, 60))
def test_order_batches_and_shards_do_not_matter(seed: int, days: float, n_batch: int) -> None:
    rng = np.random.default_rng(seed)
    item, ts, weight = log(rng, 120, days)
    order = rng.permutation(120)
    shards = [TrendState(HALF_LIVES_S), TrendState(HALF_LIVES_S)]
    for n, first in enumerate(range(0, 120, n_batch)):
        some = order[first : first + n_batch]
        shards[n % 2].add(item[some], ts[some], weight[some])
    shards[0].merge(shards[1])
    counted = (item != UNKNOWN_ITEM) & (weight > 0)
    as_of = float(ts[counted].max())
    assert shards[0].t_ref == as_of
    np.testing.assert_allclose(
        shards[0].at(as_of, N_ITEMS), by_hand(item, ts, weight, as_of), rtol=1e-5, atol=1e-30
    )


def test_decades_of_events_do_not_overflow(rng: np.random.Generator) -> None:
    item, ts, weight = log(rng, 300, days=40 * 365.0)
    state = TrendState((60.0, *HALF_LIVES_S[1:]))
    for j in range(300):
        state.add(item[j : j + 1], ts[j : j + 1], weight[j : j + 1])
    mass = state.at(state.t_ref, N_ITEMS)
    assert np.isfinite(mass).all()
    expected = by_hand(item, ts, weight, state.t_ref)
    np.testing.assert_allclose(mass[:, 1:], expected[:, 1:], rtol=1e-5, atol=1e-30)


def test_an_as_of_before_the_latest_event_counts_as_the_latest_event() -> None:
    state = TrendState(HALF_LIVES_S)
    state.add(np.array([3]), np.array([1.7e9]), np.array([1.0]))
    np.testing.assert_array_equal(state.at(0.0, 5), state.at(1.7e9, 5))


def test_unknown_items_and_weights_of_zero_leave_no_trace() -> None:
    state = TrendState(HALF_LIVES_S)
    state.add(np.array([UNKNOWN_ITEM, 2]), np.array([1.7e9, 1.7e9]), np.array([1.0, 0.0]))
    assert len(state) == 0
    assert np.isneginf(state.t_ref)
    assert not state.at(1.8e9, 4).any()


def test_items_beyond_the_catalog_are_left_out() -> None:
    state = TrendState(HALF_LIVES_S)
    state.add(np.array([1, 9]), np.array([1.7e9, 1.7e9]), np.array([1.0, 1.0]))
    assert state.at(1.7e9, 5)[1, 0] == 1.0
    assert state.at(1.7e9, 5).shape == (5, 3)


def test_a_state_survives_its_columns_and_a_process_boundary(rng: np.random.Generator) -> None:
    item, ts, weight = log(rng)
    state = TrendState(HALF_LIVES_S)
    state.add(item, ts, weight)
    as_of = state.t_ref + 5_000.0
    for back in (TrendState.from_columns(state.columns()), pickle.loads(pickle.dumps(state))):
        assert back.t_ref == state.t_ref
        np.testing.assert_allclose(back.at(as_of, N_ITEMS), state.at(as_of, N_ITEMS), rtol=1e-6)
        back.add(item[:5], ts[:5] + 100.0, weight[:5])
        assert not np.array_equal(back.at(as_of, N_ITEMS), state.at(as_of, N_ITEMS))
    empty = TrendState.from_columns(TrendState(HALF_LIVES_S).columns())
    assert len(empty) == 0
    assert np.isneginf(empty.t_ref)


def test_merging_nothing_or_into_nothing_changes_nothing(rng: np.random.Generator) -> None:
    item, ts, weight = log(rng)
    state, nothing = TrendState(HALF_LIVES_S), TrendState(HALF_LIVES_S)
    state.add(item, ts, weight)
    before = state.at(state.t_ref, N_ITEMS)
    state.merge(TrendState(HALF_LIVES_S))
    nothing.merge(state)
    np.testing.assert_array_equal(state.at(state.t_ref, N_ITEMS), before)
    np.testing.assert_allclose(nothing.at(state.t_ref, N_ITEMS), before, rtol=1e-6)
    with pytest.raises(ValueError, match="half-lives"):
        state.merge(TrendState([1.0]))


def test_a_replay_counts_exactly_the_events_before_each_moment(rng: np.random.Generator) -> None:
    item, ts, weight = log(rng, days=500.0)
    ts[100:110] = ts[100]  # one instant
    replay = TrendReplay(item, ts, weight, N_ITEMS, HALF_LIVES_S)
    for as_of in [0.0, ts[0], ts[100], ts[100], ts[101] + 1e-3, *ts[200:220], ts[-1], ts[-1] + 9e6]:
        replay.advance_to(float(as_of))
        past = ts < as_of
        expected = by_hand(item[past], ts[past], weight[past], float(as_of))
        np.testing.assert_allclose(replay.mass(), expected, rtol=1e-5, atol=1e-30)
        np.testing.assert_array_equal(replay.features(), trend_features(replay.mass()))


def test_a_replay_equals_the_online_state(rng: np.random.Generator) -> None:
    item, ts, weight = log(rng)
    replay, state = TrendReplay(item, ts, weight, N_ITEMS, HALF_LIVES_S), TrendState(HALF_LIVES_S)
    replay.advance_to(float(ts[250]))
    state.add(item[:250], ts[:250], weight[:250])
    online = trend_features(state.at(float(ts[250]), N_ITEMS))
    np.testing.assert_allclose(replay.features(), online, rtol=1e-6)


def test_a_replay_goes_forward_only_over_sorted_events() -> None:
    with pytest.raises(ValueError, match="sorted"):
        TrendReplay(np.array([0, 0]), np.array([2.0, 1.0]), np.ones(2), 1, HALF_LIVES_S)
    replay = TrendReplay(np.array([0]), np.array([1.0]), np.ones(1), 1, HALF_LIVES_S)
    replay.advance_to(5.0)
    with pytest.raises(ValueError, match="go back"):
        replay.advance_to(4.0)


def test_the_features_of_an_item_do_not_depend_on_the_other_items(rng: np.random.Generator) -> None:
    mass = rng.exponential(3.0, (300, 6))
    whole = trend_features(mass)
    assert whole.dtype == np.float32
    for start in (0, 1, 7, 100):
        assert trend_features(mass[start:]).tobytes() == whole[start:].tobytes()
