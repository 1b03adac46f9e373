"""From scores to probabilities that come true.

    p_i = exp(score_i / T) / sum over the ranked items of exp(score / T)      what the model says
    P_i = sigmoid(a logit(p_i) + b)                                           Platt, 1999

``P_i`` is the chance that the item is among what the user chooses next.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.ranker.alpha import logistic

Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

N_BINS = 10
_EDGE = 1e-9


@dataclass(frozen=True)
class Calibration:
    """From scores to probabilities, rising; by default the softmax alone."""

    temperature: float = 1.0
    """``T``; positive."""
    slope: float = 1.0
    """``a``; positive."""
    offset: float = 0.0
    """``b``."""

    def __post_init__(self) -> None:
        if not all(0.0 < x < np.inf for x in (self.temperature, self.slope)):
            raise ValueError(f"temperature and slope must be positive: {self}")
        if not np.isfinite(self.offset):
            raise ValueError(f"offset must be finite: {self}")

    def apply(self, scores: npt.NDArray[np.floating[Any]]) -> Doubles:
        """Probabilities of scores (n,) or (Q, n), each row the items of one ranking."""
        p = shares(np.asarray(scores, np.float64) / self.temperature)
        return logistic(self.slope * logits(p) + self.offset)

    def as_dict(self) -> dict[str, float]:
        """JSON-ready."""
        return dict(vars(self))

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Calibration:
        """The inverse of ``as_dict``."""
        names = ("temperature", "slope", "offset")
        return cls(*(float(found[name]) for name in names))


def shares(scores: npt.NDArray[np.floating[Any]]) -> Doubles:
    """(n,) or (Q, n) softmax along the last axis; -inf = not there. Nothing gives nothing."""
    exact = np.asarray(scores, np.float64)
    if exact.shape[-1] == 0:
        return exact
    odds = np.exp(exact - exact.max(axis=-1, keepdims=True))
    found: Doubles = odds / odds.sum(axis=-1, keepdims=True)
    return found


def logits(p: Doubles) -> Doubles:
    """log(p / (1 - p)), of probabilities kept away from 0 and 1."""
    kept = np.clip(p, _EDGE, 1.0 - _EDGE)
    found: Doubles = np.log(kept) - np.log1p(-kept)
    return found


def reliability(p: Doubles, is_taken: Bools, n_bins: int = N_BINS) -> list[dict[str, float]]:
    """What was said beside what was observed, in bins of as many cases each.

    Args:
        p: (M,) probabilities.
        is_taken: (M,).
        n_bins: most bins; what is said alike is in one bin.

    Returns:
        By rising ``said`` (mean probability): ``observed`` (share taken) and ``n``.
    """
    if len(p) == 0:
        return []
    edges = np.unique(np.quantile(p, np.linspace(0.0, 1.0, n_bins + 1)))
    bin_of = np.clip(np.searchsorted(edges, p, side="right") - 1, 0, max(len(edges) - 2, 0))
    n = np.bincount(bin_of)
    said, observed = np.bincount(bin_of, p), np.bincount(bin_of, is_taken)
    return [
        {"said": float(said[b] / n[b]), "observed": float(observed[b] / n[b]), "n": int(n[b])}
        for b in np.flatnonzero(n)
    ]


def calibration_error(bins: list[dict[str, float]]) -> float:
    """ECE: the mean distance of what was said and what was observed, over all cases."""
    n = sum(one["n"] for one in bins)
    off = sum(one["n"] * abs(one["said"] - one["observed"]) for one in bins)
    return float(off / n) if n > 0 else 0.0
