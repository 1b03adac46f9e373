"""The calibration of greatest likelihood: a temperature, then Platt's two numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize, minimize_scalar

from recsys.ranker.alpha import logistic
from recsys.ranker.calibration import Calibration, logits, shares

Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_SHRINK = 1e-4
_COOLEST, _HOTTEST = -3.0, 7.0
_LEAST = 1e-12


def fit_calibration(scores: npt.NDArray[np.floating[Any]], is_right: Bools, k: int) -> Calibration:
    """Calibrate on what came of past rankings.

    Args:
        scores: (Q, C) of candidates; -inf = an empty place.
        is_right: (Q, C) those that were chosen.
        k: places of a slate: the probabilities of these have to come true.
    """
    answered = is_right.any(axis=1)
    if not answered.any():
        return Calibration()
    some, right = np.asarray(scores, np.float64)[answered], is_right[answered]

    def surprise(log_t: float) -> float:
        chance = np.where(right, shares(some / np.exp(log_t)), 0.0).sum(axis=1)
        return -float(np.log(np.maximum(chance, _LEAST)).mean())

    found = minimize_scalar(surprise, bounds=(_COOLEST, _HOTTEST), method="bounded")
    temperature = float(np.exp(found.x))
    p, is_taken = of_slates(scores, is_right, Calibration(temperature), k)
    return _platt(logits(p), is_taken, temperature)


def of_slates(
    scores: npt.NDArray[np.floating[Any]], is_right: Bools, calibration: Calibration, k: int
) -> tuple[Doubles, Bools]:
    """What is said of the items of past slates, and what came of it.

    Args:
        scores: (Q, C) of candidates; -inf = an empty place.
        is_right: (Q, C).
        calibration: what says it.
        k: length of the slates.

    Returns:
        (M,) probabilities, and (M,) whether each was chosen.
    """
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    p = np.take_along_axis(calibration.apply(scores), order, axis=1)
    there = np.isfinite(np.take_along_axis(scores, order, axis=1))
    return p[there], np.take_along_axis(is_right, order, axis=1)[there]


def _platt(x: Doubles, is_taken: Bools, temperature: float) -> Calibration:
    """The map of log odds (M,); none where all or nothing was taken."""
    if is_taken.all() or not is_taken.any():
        return Calibration(temperature)
    y = is_taken.astype(np.float64)

    def loss(at: Doubles) -> tuple[float, Doubles]:
        slope = np.exp(at[0])
        z = slope * x + at[1]
        error = logistic(z) - y
        value = float((np.logaddexp(0.0, z) - y * z).mean()) + _SHRINK * float(at @ at)
        down = np.array([(error * x).mean() * slope, error.mean()]) + 2 * _SHRINK * at
        return value, down

    bounds = [(-4.0, 4.0), (-20.0, 20.0)]
    found = minimize(loss, np.zeros(2), jac=True, method="L-BFGS-B", bounds=bounds).x
    return Calibration(temperature, float(np.exp(found[0])), float(found[1]))
