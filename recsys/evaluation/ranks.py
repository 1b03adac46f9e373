"""Ranks: where right answers stand among all candidates, in one pass over the scores."""

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
    order = np.lexsort((target, -scores[target], ~allowed[target]))
    beaten = np.zeros(len(target) + 1, np.int64)
    n_inside = int(allowed[target].sum())
    _count_beaten(scores, allowed, target[order[:n_inside]], beaten)
    above = np.cumsum(beaten[:n_inside])
    ranks = np.empty(len(target), np.int64)
    ranks[order[:n_inside]] = above
    ranks[order[n_inside:]] = int(allowed.sum()) + np.arange(len(target) - n_inside)
    return ranks


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _count_beaten(
    scores: npt.NDArray[Any], allowed: npt.NDArray[np.bool_], ordered: Ints, beaten: Ints
) -> None:
    """For every candidate count the best of the ordered targets that it stands before."""
    n = len(ordered)
    if n == 0:
        return
    worst = scores[ordered[n - 1]]
    for i in range(len(scores)):
        if not allowed[i] or scores[i] < worst:
            continue
        low, high = 0, n
        while low < high:
            middle = (low + high) // 2
            t = ordered[middle]
            if scores[i] > scores[t] or (scores[i] == scores[t] and i < t):
                high = middle
            else:
                low = middle + 1
        beaten[low] += 1
