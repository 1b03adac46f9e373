"""What a log says of impression fatigue."""

from __future__ import annotations

import numpy as np
import pytest

from recsys.evaluation.fatigue import fit_discount, read_impressions
from recsys.events import event_arrays
from recsys.testing.fakes import tiny_log


def test_impressions_know_those_before_them_that_nobody_answered() -> None:
    rows = [
        ("ann", "a", "impression", 0.0),
        ("ann", "b", "impression", 0.0),
        ("ann", "a", "impression", 100.0),
        ("ann", "a", "impression", 200.0),
        ("ann", "a", "click", 210.0),
        ("ann", "a", "impression", 300.0),
        ("ann", "b", "click", 5_000.0),
        ("bob", "a", "impression", 400.0),
    ]
    events = event_arrays(tiny_log(rows), {"a": 0, "b": 1})
    found = read_impressions(events, "impression", half_life_s=100.0, window_s=1_000.0)
    # ann: a at 0, b at 0, a at 100, 200, 300; bob: a
    assert found.event.tolist() == [0, 1, 2, 3, 5, 7]
    assert found.n_before.tolist() == pytest.approx([0.0, 0.0, 0.5, 0.75, 0.0, 0.0])
    assert found.is_answered.tolist() == [False, False, False, True, False, False]


def test_the_discount_is_found_again(rng: np.random.Generator) -> None:
    n = rng.integers(0, 6, 40_000).astype(np.float64)
    scores = rng.normal(size=len(n))
    answered = rng.random(len(n)) < 1 / (1 + np.exp(1.5 - scores + 0.4 * n))
    assert fit_discount(n, answered, scores) == pytest.approx(0.4, abs=0.03)


def test_repetition_that_helps_and_logs_without_answers_give_no_discount(
    rng: np.random.Generator,
) -> None:
    n = rng.integers(0, 6, 5_000).astype(np.float64)
    assert fit_discount(n, rng.random(len(n)) < 0.1 + 0.1 * n) == 0.0
    assert fit_discount(n, np.zeros(len(n), np.bool_)) == 0.0
    assert fit_discount(np.zeros(0), np.zeros(0, np.bool_)) == 0.0
