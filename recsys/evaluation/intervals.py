"""Intervals: how far a mean over queries could be off, had other users come.

Users are resampled with replacement, each with all their queries; the mean is over queries. Two
systems are compared on the same resamples, so what they share cancels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean and its bootstrap interval at ``LEVEL``."""

    mean: float
    low: float
    high: float

    def as_dict(self) -> dict[str, float]:
        """JSON-ready."""
        return {"mean": self.mean, "low": self.low, "high": self.high}


class UserBootstrap:
    """Resamples of the users behind Q queries, drawn once and used for every metric.

    Args:
        user: (Q,) the user of each query.
        n_resamples: how many.
        rng: of the draw.
    """

    def __init__(
        self, user: npt.NDArray[np.integer[Any]], n_resamples: int, rng: np.random.Generator
    ) -> None:
        users, self._group = np.unique(user, return_inverse=True)
        self.n_users = len(users)
        times = np.zeros((n_resamples, 0), np.int64)
        if self.n_users > 0:
            share = np.full(self.n_users, 1.0 / self.n_users)
            times = rng.multinomial(self.n_users, share, n_resamples)
        self._times = times.astype(np.float32)
        self._n = self._times @ np.bincount(self._group, minlength=self.n_users)

    def interval(self, values: Floats) -> Interval:
        """The mean of (Q,) values with its interval."""
        if len(values) == 0:
            return Interval(float("nan"), float("nan"), float("nan"))
        low, high = np.quantile(self.means(values), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return Interval(float(values.mean()), float(low), float(high))

    def compare(self, ours: Floats, theirs: Floats) -> dict[str, float]:
        """Paired difference ours - theirs of (Q,) values.

        Returns:
            ``mean``, ``low``, ``high`` and ``p``: the two-sided share of resamples in which the
            difference has the other sign, at least 1 / resamples.
        """
        found = self.interval(ours - theirs)
        if len(ours) == 0:
            return {**found.as_dict(), "p": float("nan")}
        means = self.means(ours - theirs)
        tail = min(float((means <= 0).mean()), float((means >= 0).mean()))
        return {**found.as_dict(), "p": min(1.0, max(2 * tail, 1 / len(means)))}

    def means(self, values: Floats) -> Floats:
        """(R,) the mean of (Q,) values in each resample."""
        sums = np.bincount(self._group, weights=values, minlength=self.n_users)
        result: Floats = (self._times @ sums) / self._n
        return result
