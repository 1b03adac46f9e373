from __future__ import annotations

from typing import Any

import numpy as np

from recsys.decay.fold import FORGOTTEN_MASS, fold_events

HALF_LIVES_S = np.array([10.0, 1e6])
VECTORS = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]], np.float32)


def fold(rows: list[int], ts: list[float], vectors: list[int], n_states: int = 3) -> Any:
    sums, mass = np.zeros((n_states, 2, 2), np.float32), np.zeros((n_states, 2), np.float32)
    t_ref = np.full(n_states, -np.inf)
    importance = np.ones((len(rows), 2), np.float32)
    fold_events(
        sums,
        mass,
        t_ref,
        np.array(rows),
        np.array(ts),
        importance,
        np.array(vectors),
        VECTORS,
        HALF_LIVES_S,
    )
    return sums, mass, t_ref


def test_a_newer_event_decays_what_is_stored() -> None:
    sums, mass, t_ref = fold([1, 1], [100.0, 110.0], [0, 1])
    np.testing.assert_allclose(sums[1, 0], [0.5, 1.0])
    assert (mass[1, 0], t_ref[1]) == (1.5, 110.0)


def test_a_late_event_is_decayed_to_the_reference_time() -> None:
    sums, mass, t_ref = fold([1, 1], [110.0, 100.0], [1, 0])
    np.testing.assert_allclose(sums[1, 0], [0.5, 1.0])
    assert (mass[1, 0], t_ref[1]) == (1.5, 110.0)


def test_states_without_events_stay_as_they_are() -> None:
    sums, mass, t_ref = fold([1], [100.0], [0])
    assert not sums[[0, 2]].any()
    assert not mass[[0, 2]].any()
    assert np.all(np.isneginf(t_ref[[0, 2]]))


def test_an_event_without_a_vector_changes_nothing() -> None:
    sums, mass, t_ref = fold([0], [100.0], [-1])
    assert not sums.any()
    assert not mass.any()
    assert np.isneginf(t_ref[0])


def test_a_vector_of_zeros_is_no_evidence_but_moves_the_reference_time() -> None:
    _, mass, t_ref = fold([0, 0], [100.0, 110.0], [0, 2])
    assert (mass[0, 0], t_ref[0]) == (0.5, 110.0)


def test_what_is_forgotten_becomes_zero_instead_of_denormal() -> None:
    sums, mass, _ = fold([0, 0], [0.0, 10.0 * 50], [0, 1])
    assert FORGOTTEN_MASS > 2.0**-50
    np.testing.assert_array_equal(sums[0, 0], [0.0, 1.0])
    assert mass[0, 0] == 1.0


def test_read_only_vectors_are_accepted() -> None:
    vectors = VECTORS.copy()
    vectors.flags.writeable = False  # as they come out of shared memory
    sums, mass, t_ref = np.zeros((1, 2, 2), "f4"), np.zeros((1, 2), "f4"), np.full(1, -np.inf)
    one = np.zeros(1, np.int64)
    fold_events(
        sums, mass, t_ref, one, np.ones(1), np.ones((1, 2), "f4"), one, vectors, HALF_LIVES_S
    )
    assert mass[0, 0] == 1.0
