"""Greedy search for the likeliest slate of a determinantal point process (Chen et al., 2018).

    log P(Y) = (1 - d) sum_{i in Y} rel_i  +  d log det S_Y  + const,    S_ij = (1 + cos(i, j)) / 2

Each place takes the item that raises it most. With the Cholesky factor of S_Y kept for every item,
``c_i`` its row and ``d_i`` its rest, an item is worth ``log d_i^2``, and a choice j changes both by

    e_i = (S_ji - <c_j, c_i>) / d_j,    c_i <- [c_i, e_i],    d_i^2 <- d_i^2 - e_i^2

so k places of n items cost O(k^2 n) beside the products of the vectors.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from recsys.ranking import Floats
from recsys.reranking.base import Ranked, directions, relevance
from recsys.reranking.options import DppSettings
from recsys.sources.base import Asked

_SPANNED = 1e-6
"""Rest of an item below which those chosen say all that it says (vectors are float32)."""


class Dpp:
    """See the module.

    Args:
        options: the trade-off ``d``, where a request gives none.
    """

    name = "dpp"

    def __init__(self, options: DppSettings) -> None:
        self._diversity = options.diversity

    def apply(self, ranked: Ranked, asked: Asked, k: int, /) -> Ranked:
        """``Step.apply``; the chosen k stand first, in the order of the ranking."""
        d = self._diversity if asked.diversity is None else asked.diversity
        if d == 0.0:
            return ranked
        return ranked.chosen(dpp_order(relevance(ranked), directions(ranked, asked), k, d))


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})  # type: ignore[untyped-decorator]
def dpp_order(relevance: npt.NDArray[np.float64], vectors: Floats, k: int, diversity: float) -> Any:
    """Places of the chosen, in their order: at most k, fewer where the others add nothing.

    Args:
        relevance: (n,) in [0, 1].
        vectors: (n, D) unit rows; a zero row is half like anything.
        k: most places.
        diversity: d, in (0, 1].
    """
    n = len(vectors)
    k = min(k, n)
    order, factor = np.empty(k, np.int64), np.zeros((k, n))
    rest = np.ones(n)
    for place in range(k):
        best, best_value = -1, -np.inf
        for i in range(n):
            if rest[i] > _SPANNED:
                value = (1.0 - diversity) * relevance[i] + diversity * np.log(rest[i])
                if value > best_value:
                    best, best_value = i, value
        if best < 0:
            return order[:place]
        order[place] = best
        root = np.sqrt(rest[best])
        _project(vectors, factor, place, best, root)
        for i in range(n):
            rest[i] -= factor[place, i] * factor[place, i]
        rest[best] = 0.0
    return order


@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})  # type: ignore[untyped-decorator]
def _project(vectors: Floats, factor: Any, place: int, best: int, root: float) -> None:
    """Write ``e`` of every item into the row ``place`` of the factor."""
    n, n_dims = vectors.shape
    for i in range(n):
        cosine = np.float32(0.0)
        for d in range(n_dims):
            cosine += vectors[i, d] * vectors[best, d]
        factor[place, i] = 0.5 + 0.5 * cosine
    for before in range(place):
        of_best = factor[before, best]
        for i in range(n):
            factor[place, i] -= of_best * factor[before, i]
    for i in range(n):
        factor[place, i] /= root


STEP = Dpp
