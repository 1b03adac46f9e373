"""Transitions at their edges."""

from __future__ import annotations

import numpy as np

from recsys.transitions import Transitions, pasts

N_ITEMS = 3
LONG_AGO_S = 1e6


def transitions() -> Transitions:
    """Of one half-life, a second."""
    weights = np.full((N_ITEMS, N_ITEMS), 0.1, np.float32)
    return Transitions(np.arange(N_ITEMS), N_ITEMS, weights, (1.0,), 8)


def test_a_history_that_has_faded_to_nothing_adds_nothing() -> None:
    form = transitions()
    item, ts, worth = np.array([0, 1]), np.zeros(2), np.ones(2)
    assert form.part(item, ts, 2.0, worth).min() > 0.0
    np.testing.assert_array_equal(form.part(item, ts, LONG_AGO_S, worth), np.zeros(N_ITEMS))
    banks = np.ones((1, 2), bool)
    events = (item, ts, worth)
    faded = form.parts(events, banks, np.array([LONG_AGO_S]), np.arange(N_ITEMS))
    np.testing.assert_array_equal(faded, np.zeros((1, N_ITEMS)))


def test_what_has_faded_to_nothing_weighs_nothing_in_training() -> None:
    none, one = np.zeros(2, np.int64), np.array([0, 1])
    events = (np.array([0, 1]), np.zeros(2), np.ones(2, np.int64))
    found = pasts(transitions(), events, (none, one, np.array([LONG_AGO_S, 1.0]), none))
    assert found.bounds.tolist() == [0, 1, 3]
    np.testing.assert_allclose(found.weight, [0.0, 0.5**0.5, 0.5**0.5], rtol=1e-6)
