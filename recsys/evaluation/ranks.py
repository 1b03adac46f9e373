"""Ranks: where right answers stand among all candidates."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


def ranks_of(
    scores: npt.NDArray[np.floating[Any]], allowed: npt.NDArray[np.bool_], target: Ints
) -> Ints:
    """0-based ranks of the right answers.

    Of equal scores the lower position stands first, as in a slate. A right answer that is no
    candidate stands behind all candidates.

    Args:
        scores: (N,) larger is better.
        allowed: (N,) False = no candidate.
        target: (n,) positions of the right answers.

    Returns:
        (n,) int64, distinct.
    """
    inside = allowed[target]
    masked = np.where(allowed, scores, -np.inf).astype(scores.dtype)
    ranks: Ints = _better(masked, np.asarray(target, np.int64))
    n_outside = int((~inside).sum())
    ranks[~inside] = int(allowed.sum()) + np.arange(n_outside)
    return ranks


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _better(scores: npt.NDArray[Any], target: Ints) -> Ints:
    """(n,) how many scores stand before each target; two plain counts, so that they vectorise."""
    found = np.zeros(len(target), np.int64)
    for place in range(len(target)):
        t = target[place]
        value = scores[t]
        count = 0
        for i in range(t):
            count += scores[i] >= value
        for i in range(t + 1, len(scores)):
            count += scores[i] > value
        found[place] = count
    return found
