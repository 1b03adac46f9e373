"""Weights of interests over time: smoothed, blended and compared.

    smoothed   W(t) = alpha I(t) + (1 - alpha) W_prev
    blended    w = alpha w_history + (1 - alpha) w_current

``alpha`` is fixed, scheduled by how much is known, or learned.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def smoothed(previous: npt.ArrayLike, current: npt.ArrayLike, alpha: float) -> Array:
    """One step of smoothing: ``alpha`` of the current weights, the rest of the previous ones.

    Raises:
        ValueError: if ``alpha`` is not in [0, 1].

    >>> float(smoothed(0.6, 0.65498, alpha=0.5))
    0.62749
    """
    return _mixed(np.asarray(current, np.float64), np.asarray(previous, np.float64), alpha)


def smoothed_series(first: npt.ArrayLike, weights: Iterable[npt.ArrayLike], alpha: float) -> Array:
    """Smooth weights step by step.

    Args:
        first: the weight before the first step.
        weights: T weights, scalars or arrays of one shape.
        alpha: share of the current weight in each step.

    Returns:
        (T, ...) smoothed weights.
    """
    series, previous = [], np.asarray(first, np.float64)
    for current in weights:
        previous = smoothed(previous, current, alpha)
        series.append(previous)
    return np.array(series)


def blended(history: npt.ArrayLike, current: npt.ArrayLike, alpha: float) -> Array:
    """Long and short interest in one: ``alpha`` of the history, the rest of the current weights.

    Raises:
        ValueError: if ``alpha`` is not in [0, 1].
    """
    return _mixed(np.asarray(history, np.float64), np.asarray(current, np.float64), alpha)


def cosine(a: npt.ArrayLike, b: npt.ArrayLike) -> Array:
    """Cosines of vectors along the last axis, 0 where one is zero.

    >>> np.round(cosine([0.8, 0.5, 0.3, 0.2], np.eye(4)), 5).tolist()
    [0.79212, 0.49507, 0.29704, 0.19803]
    """
    left, right = np.asarray(a, np.float64), np.asarray(b, np.float64)
    norms = np.linalg.norm(left, axis=-1) * np.linalg.norm(right, axis=-1)
    return np.asarray((left * right).sum(-1) / np.where(norms > 0.0, norms, 1.0))


class Alpha(Protocol):
    """A share in [0, 1] that may depend on how many events are known."""

    def at(self, n_events: float) -> float:
        """The share after ``n_events`` events."""


@dataclass(frozen=True)
class FixedAlpha:
    """The same share always.

    Raises:
        ValueError: if the share is not in [0, 1].
    """

    share: float

    def __post_init__(self) -> None:
        _check_share(self.share)

    def at(self, n_events: float) -> float:  # noqa: ARG002 - the protocol's argument
        """``share``."""
        return self.share


@dataclass(frozen=True)
class ScheduledAlpha:
    """A share that moves from ``first`` to ``last``, half of the way every ``n_half`` events.

    Raises:
        ValueError: if a share is not in [0, 1] or ``n_half`` is not positive.

    >>> ScheduledAlpha(first=0.0, last=0.8, n_half=10.0).at(10)
    0.4
    """

    first: float
    last: float
    n_half: float

    def __post_init__(self) -> None:
        _check_share(self.first)
        _check_share(self.last)
        if not self.n_half > 0.0:
            raise ValueError(f"n_half = {self.n_half} must be positive")

    def at(self, n_events: float) -> float:
        """The share after ``n_events`` events."""
        return self.last + (self.first - self.last) * math.exp2(-n_events / self.n_half)


@dataclass(frozen=True)
class LearnedAlpha:
    """A share that a model learns: ``sigmoid(bias + slope * log(1 + n_events))``.

    Bias and slope are free real numbers, so any optimiser may move them.

    >>> LearnedAlpha(bias=0.0, slope=0.0).at(5)
    0.5
    """

    bias: float
    slope: float = 0.0

    def at(self, n_events: float) -> float:
        """The share after ``n_events`` events."""
        return 0.5 * (1.0 + math.tanh(0.5 * (self.bias + self.slope * math.log1p(n_events))))


def _mixed(a: Array, b: Array, alpha: float) -> Array:
    _check_share(alpha)
    return np.asarray(alpha * a + (1.0 - alpha) * b)


def _check_share(alpha: float) -> None:
    if not 0.0 <= alpha <= 1.0:
        raise ValueError(f"alpha = {alpha} must be in [0, 1]")
