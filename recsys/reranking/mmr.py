"""Maximal marginal relevance (Carbonell and Goldstein, 1998).

    next = argmax_i  (1 - d) rel_i  -  d max_{j chosen} cos(i, j)

The first is the most relevant. It costs one product of n vectors with one for each place.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from recsys.ranking import Floats
from recsys.reranking.base import Ranked, directions, relevance
from recsys.reranking.options import MmrSettings
from recsys.sources.base import Asked


class Mmr:
    """See the module.

    Args:
        options: the trade-off ``d``, where a request gives none.
    """

    name = "mmr"

    def __init__(self, options: MmrSettings) -> None:
        self._diversity = options.diversity

    def apply(self, ranked: Ranked, asked: Asked, k: int, /) -> Ranked:
        """``Step.apply``; the chosen k stand first, in the order of the ranking."""
        d = self._diversity if asked.diversity is None else asked.diversity
        return ranked.chosen(mmr_order(relevance(ranked), directions(ranked, asked), k, d))


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})  # type: ignore[untyped-decorator]
def mmr_order(relevance: npt.NDArray[np.float64], vectors: Floats, k: int, diversity: float) -> Any:
    """Places of the min(k, n) chosen, in their order; of equals the first.

    Args:
        relevance: (n,) in [0, 1].
        vectors: (n, D) unit rows; a zero row is like nothing.
        k: most places.
        diversity: d, in [0, 1].
    """
    n, n_dims = vectors.shape
    order = np.empty(min(k, n), np.int64)
    is_free, nearest = np.ones(n, np.bool_), np.full(n, -2.0)
    for place in range(len(order)):
        best, best_value = -1, -np.inf
        for i in range(n):
            value = (1.0 - diversity) * relevance[i]
            if place > 0:
                value -= diversity * nearest[i]
            if is_free[i] and (best < 0 or value > best_value):
                best, best_value = i, value
        order[place], is_free[best] = best, False
        for i in range(n):
            likeness = np.float32(0.0)
            for d in range(n_dims):
                likeness += vectors[i, d] * vectors[best, d]
            nearest[i] = max(nearest[i], likeness)
    return order


STEP = Mmr
