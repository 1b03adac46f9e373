from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

from recsys.events import EventArrays
from recsys.neighbours import FOREVER_S, NeighbourOptions, Neighbours

N_ITEMS = 12
PLAIN = NeighbourOptions(l2=2.0, half_lives_s=(FOREVER_S,), mix=(1.0,))


def _events(user: list[int], item: list[int], ts: list[float]) -> EventArrays:
    n_users = max(user, default=0) + 1
    return EventArrays(
        user_ids=[f"u{u}" for u in range(n_users)],
        bounds=np.searchsorted(user, np.arange(n_users + 1)).astype(np.int64),
        user=np.array(user, np.int32),
        item=np.array(item, np.int32),
        kind=np.full(len(user), "click", object),
        ts=np.array(ts, np.float64),
        value=np.full(len(user), np.nan),
    )


def _log(rng: np.random.Generator, n_users: int = 9, n_events: int = 14) -> EventArrays:
    user = np.repeat(np.arange(n_users), n_events)
    item = rng.integers(-1, N_ITEMS, len(user))
    ts = np.sort(rng.integers(0, 5_000, (n_users, n_events)), axis=1)
    return _events(user.tolist(), item.tolist(), ts.ravel().astype(float).tolist())


def _slow(events: EventArrays, worth: Any, options: NeighbourOptions) -> np.ndarray:
    """(N, N) B of the formula, by plain loops and a plain inverse."""
    gram = np.zeros((N_ITEMS, N_ITEMS))
    for user in range(len(events.user_ids)):
        first: dict[int, float] = {}
        for e in range(events.bounds[user], events.bounds[user + 1]):
            if events.item[e] >= 0 and worth[e] > 0:
                first.setdefault(int(events.item[e]), float(events.ts[e]))
        for i, at in first.items():
            for j, other in first.items():
                faded = 2.0 ** (-abs(at - other) / options.pair_half_life_s)
                gram[i, j] += options.pair_floor + (1 - options.pair_floor) * faded
    inverse = np.linalg.inv(gram + options.l2 * np.eye(N_ITEMS))
    weights = np.eye(N_ITEMS) - inverse @ np.diag(1 / np.diag(inverse))
    return weights - np.diag(np.diag(weights))


def _dense(fitted: Neighbours) -> np.ndarray:
    out = np.zeros((N_ITEMS, N_ITEMS))
    for i in np.flatnonzero(fitted.row >= 0):
        run = slice(fitted.offsets[fitted.row[i]], fitted.offsets[fitted.row[i] + 1])
        out[i, fitted.item[run]] = fitted.value[run]
    return out


@pytest.mark.parametrize(("half_life_s", "floor"), [(1.0, 1.0), (600.0, 0.1), (60.0, 0.0)])
def test_a_fit_is_the_formula(rng: np.random.Generator, half_life_s: float, floor: float) -> None:
    events, worth = _log(rng), rng.choice([-1.0, 0.5, 2.0], 9 * 14)
    options = NeighbourOptions(l2=2.0, pair_half_life_s=half_life_s, pair_floor=floor)
    fitted = Neighbours.fit(events, worth, N_ITEMS, options)
    np.testing.assert_allclose(_dense(fitted), _slow(events, worth, options), atol=1e-6)


def test_without_decay_it_is_the_ease_of_the_matrix_of_users_and_items(
    rng: np.random.Generator,
) -> None:
    events = _log(rng)
    matrix = np.zeros((9, N_ITEMS))
    known = events.item >= 0
    matrix[events.user[known], events.item[known]] = 1.0
    inverse = np.linalg.inv(matrix.T @ matrix + 2.0 * np.eye(N_ITEMS))
    expected = -inverse / np.diag(inverse)
    np.fill_diagonal(expected, 0.0)
    fitted = Neighbours.fit(events, np.ones(len(events)), N_ITEMS, PLAIN)
    np.testing.assert_allclose(_dense(fitted), expected, atol=1e-6)


def test_a_score_is_the_sum_over_events_of_weight_and_neighbour(rng: np.random.Generator) -> None:
    events = _log(rng)
    options = NeighbourOptions(l2=2.0, half_lives_s=(60.0, 1_000.0), mix=(0.7, 0.2))
    fitted = Neighbours.fit(events, np.full(len(events), 3.0), N_ITEMS, options)
    item, ts = rng.integers(0, N_ITEMS, 20), rng.uniform(0.0, 900.0, 20)
    worth, now = rng.choice([-2.0, 0.0, 1.5, 3.0], 20), 700.0
    expected, dense = np.zeros(N_ITEMS), _dense(fitted)
    for e in range(20):
        age = max(now - ts[e], 0.0)
        weight = 0.7 * math.exp2(-age / 60.0) + 0.2 * math.exp2(-age / 1_000.0)
        expected += weight * max(worth[e], 0.0) / 3.0 * dense[item[e]]
    found = fitted.part(item, ts, now, worth)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_only_the_strongest_neighbours_are_kept(rng: np.random.Generator) -> None:
    events, worth = _log(rng), np.ones(9 * 14)
    whole = _dense(Neighbours.fit(events, worth, N_ITEMS, PLAIN))
    few = NeighbourOptions(l2=2.0, n_neighbours=3)
    cut = _dense(Neighbours.fit(events, worth, N_ITEMS, few))
    for i in range(N_ITEMS):
        strongest = np.argsort(-np.abs(whole[i]), kind="stable")[:3]
        assert set(np.flatnonzero(cut[i])) == set(strongest)
        np.testing.assert_array_equal(cut[i, strongest], whole[i, strongest])


def test_only_the_most_frequent_items_have_neighbours_or_are_some() -> None:
    events = _events([0, 0, 0, 1, 1, 2, 2], [5, 3, 1, 5, 3, 5, 8], [1, 2, 3, 1, 2, 1, 2])
    options = NeighbourOptions(max_items=2, l2=0.5)
    fitted = Neighbours.fit(events, np.ones(7), N_ITEMS, options)
    assert np.flatnonzero(fitted.row >= 0).tolist() == [3, 5]
    assert set(fitted.item.tolist()) == {3, 5}


def test_of_a_long_user_the_latest_items_count() -> None:
    events = _events([0, 0, 0, 0], [1, 2, 3, 4], [1, 2, 3, 4])
    options = NeighbourOptions(max_user_items=2, l2=0.5)
    fitted = Neighbours.fit(events, np.ones(4), N_ITEMS, options)
    assert np.count_nonzero(_dense(fitted)[[1, 2]]) == 0
    assert _dense(fitted)[3, 4] > 0


def test_the_same_log_gives_the_same_bytes(rng: np.random.Generator) -> None:
    events = _log(rng)
    first, second = (
        save(Neighbours.fit(events, np.ones(len(events)), N_ITEMS).to_tensors()) for _ in range(2)
    )
    assert first == second


def test_tensors_survive_a_file(rng: np.random.Generator) -> None:
    events = _log(rng)
    fitted = Neighbours.fit(events, np.ones(len(events)), N_ITEMS)
    again = Neighbours.from_tensors(load(save(fitted.to_tensors())))
    past = (np.array([1, 2]), np.array([0.0, 5.0]), 9.0, np.ones(2))
    np.testing.assert_array_equal(again.part(*past), fitted.part(*past))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("offsets", np.array([0, 99])),
        ("offsets", np.zeros(0, np.int64)),
        ("item", np.full(1, N_ITEMS, np.int32)),
        ("row", np.full(N_ITEMS, N_ITEMS, np.int32)),
        ("mix", np.ones(5)),
        ("half_lives_s", np.array([-1.0, 1.0])),
        ("unit", np.array([0.0])),
    ],
)
def test_tensors_that_do_not_fit_are_refused(
    rng: np.random.Generator, name: str, value: Any
) -> None:
    events = _log(rng)
    tensors = Neighbours.fit(events, np.ones(len(events)), N_ITEMS).to_tensors()
    with pytest.raises(ValueError, match="do not fit"):
        Neighbours.from_tensors({**tensors, name: value})
    del tensors[name]
    with pytest.raises(KeyError):
        Neighbours.from_tensors(tensors)


@pytest.mark.parametrize(
    "events",
    [
        _events([], [], []),
        _events([0, 0], [3, 3], [1.0, 2.0]),
        _events([0], [-1], [1.0]),
    ],
    ids=["no event", "one item", "an unknown item"],
)
def test_where_nothing_can_be_learned_every_score_is_zero(events: EventArrays) -> None:
    fitted = Neighbours.fit(events, np.ones(len(events)), N_ITEMS)
    found = fitted.part(np.array([3]), np.array([1.0]), 2.0, np.ones(1))
    np.testing.assert_array_equal(found, np.zeros(N_ITEMS, np.float32))


def test_of_one_user_all_items_are_alike() -> None:
    events = _events([0, 0, 0], [1, 2, 3], [1.0, 2.0, 3.0])
    dense = _dense(Neighbours.fit(events, np.ones(3), N_ITEMS, PLAIN))
    assert dense[1, 2] > 0
    assert dense[1, 2] == pytest.approx(dense[3, 1])


def test_a_user_without_events_scores_zero(rng: np.random.Generator) -> None:
    events = _log(rng)
    fitted = Neighbours.fit(events, np.ones(len(events)), N_ITEMS)
    nothing = np.zeros(0)
    assert not fitted.part(nothing.astype(np.int64), nothing, 1.0, nothing).any()


def test_a_weight_multiplies_every_score(rng: np.random.Generator) -> None:
    events = _log(rng)
    fitted = Neighbours.fit(events, np.ones(len(events)), N_ITEMS)
    past = (np.array([1, 2]), np.array([0.0, 5.0]), 9.0, np.ones(2))
    np.testing.assert_allclose(fitted.weighed(2.5).part(*past), 2.5 * fitted.part(*past), 1e-6)
    with pytest.raises(ValueError, match="at least 0"):
        fitted.weighed(-1.0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"l2": 0.0},
        {"pair_half_life_s": 0.0},
        {"pair_floor": 1.5},
        {"mix": (1.0,)},
        {"mix": (1.0, -1.0)},
        {"half_lives_s": (0.0, 1.0)},
        {"max_items": 0},
    ],
)
def test_options_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must be|half-lives"):
        NeighbourOptions(**wrong)
