"""Weights that move by feedback: one small step at a time, never far from where they were fitted.

    p        softmax of the shown items' scores           what the model expected to be chosen
    g_f      mean over slates of  sum_i (y_i - p_i) x_if / spread_f
    move_f   rate g_f, within +- max_step;  w_f spread_f stays within +- max_move of the fitted one

``y`` are the shares of the shown items that the user acted on. Everything is in units of a
feature's spread, so that one bound is for all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recsys.ranker.calibration import shares
from recsys.ranker.model import Ranker
from recsys.ranker.options import RankerSettings

Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Shown:
    """One slate that was answered: n items as the user saw them, read as of that moment."""

    encoder: Doubles
    """(n,) the encoder's score."""
    features: Doubles
    """(n, F) in the order of the model's features."""
    is_taken: Bools
    """(n,) some of them."""


@dataclass(frozen=True)
class Moved:
    """The weights after a step."""

    weights: dict[str, float]
    """Feature -> weight."""
    moved: dict[str, float]
    """Feature -> by how much, in spreads of the feature."""
    n_slates: int
    surprise: float
    """Mean of -log of what was expected of the items that were taken, before the step."""


def step(
    ranker: Ranker, weights: Mapping[str, float], slates: Sequence[Shown], options: RankerSettings
) -> Moved:
    """One bounded step along the mean gradient of some slates.

    Args:
        ranker: as it was fitted.
        weights: as they are now.
        slates: answered since the step before; without any nothing moves.
        options: rate and bounds.
    """
    names = list(ranker.options.features)
    spread = np.array([ranker.spreads.get(name, 0.0) for name in names])
    now = np.array([weights[name] for name in names])
    slope, surprise = np.zeros(len(names)), 0.0
    for slate in slates:
        score = slate.encoder + slate.features @ now
        p = shares(score / ranker.calibration.temperature)
        y = slate.is_taken / slate.is_taken.sum()
        slope += (y - p) @ slate.features
        surprise -= float(y @ np.log(np.maximum(p, 1e-12)))
    n = max(len(slates), 1)
    unit = np.where(spread > 0.0, spread, 1.0)
    move = np.clip(options.learning_rate * slope / n / unit, -options.max_step, options.max_step)
    fitted = np.array([ranker.weights[name] for name in names]) * unit
    wanted = np.clip(now * unit + move, fitted - options.max_move, fitted + options.max_move)
    after = np.where(spread > 0.0, wanted / unit, now)
    return Moved(
        weights=dict(zip(names, after.tolist(), strict=True)),
        moved=dict(zip(names, ((after - now) * unit).tolist(), strict=True)),
        n_slates=len(slates),
        surprise=surprise / n,
    )
