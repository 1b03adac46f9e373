"""The most variety for a stated price: items are swapped where being right costs least.

    worth(S)  = sum_j p_(j) / log2(1 + j)          expected DCG of a set, its likeliest first
    variety(S) = mean over pairs of  1 - cos(i, j)
    swap       argmax over (out, in) of  gain of variety / loss of worth,  while
               worth(S) >= (1 - cost) worth(best k)

Whole rankings are pulled apart by MMR and DPP from the second place on. Here the low places pay,
and those above them stay as they are ranked.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from recsys.ranking import Floats
from recsys.reranking.base import Ranked, directions, place_scores
from recsys.reranking.options import SwapSettings
from recsys.sources.base import Asked

Doubles = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]


class Swap:
    """See the module.

    Args:
        options: the price, where a request gives no ``diversity`` for it.
    """

    name = "swap"

    def __init__(self, options: SwapSettings) -> None:
        self._cost = options.cost

    def apply(self, ranked: Ranked, asked: Asked, k: int, /) -> Ranked:
        """``Step.apply``; the chosen k stand first, in the order of the ranking."""
        cost = self._cost if asked.diversity is None else asked.diversity
        if min(k, len(ranked)) < 2:
            return ranked
        return ranked.chosen(swapped(chances(ranked), directions(ranked, asked), k, cost))


def chances(ranked: Ranked) -> Doubles:
    """(n,) how likely the item at each place is chosen: as calibrated, else softmax of scores."""
    if ranked.probability is not None:
        found: Doubles = -np.sort(-ranked.probability.astype(np.float64))
        return found
    scores = place_scores(ranked)
    odds = np.exp(scores - scores[0])
    shares: Doubles = odds / odds.sum()
    return shares


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def swapped(chance: Doubles, vectors: Floats, k: int, cost: float) -> Any:
    """Places of the min(k, n) chosen, rising.

    A swap is told in O(1) from sums over the places before it: k (n - k) steps for each.

    Args:
        chance: (n,) falling.
        vectors: (n, D) unit rows; a zero row is like nothing.
        k: places of the slate; at least 2, as is n.
        cost: share of the worth of the first k that may be lost, in [0, 1].
    """
    n = len(chance)
    k = min(k, n)
    chosen = np.arange(k)
    slot = np.full(n, -1)  # of each chosen item its row in ``likeness``
    likeness = np.empty((k, n))
    for j in range(k):
        slot[j] = j
        _likeness(likeness[j], vectors, j)
    to_all = likeness.sum(axis=0)
    worth = _worths(chance, chosen)[1, k]
    floor = (1.0 - cost) * worth
    while True:
        out, new, worth = _best(chance, chosen, slot, likeness, to_all, (worth, floor))
        if out < 0:
            return chosen
        row = slot[chosen[out]]
        slot[chosen[out]], slot[new] = -1, row
        to_all -= likeness[row]
        _likeness(likeness[row], vectors, new)
        to_all += likeness[row]
        chosen[out] = new
        chosen.sort()


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _best(
    chance: Doubles,
    chosen: Places,
    slot: Places,
    likeness: Doubles,
    to_all: Doubles,
    bounds: tuple[float, float],
) -> Any:
    """The swap of most variety for its price: place in ``chosen``, new item, worth with it.

    Args:
        chance: (n,) falling.
        chosen: (k,) rising.
        slot: (n,) row of each chosen item in ``likeness``; -1 = not chosen.
        likeness: (k, n) of the chosen to all; 0 to themselves.
        to_all: (n,) its sums.
        bounds: worth of the chosen, and the least that it may become.

    Returns:
        A place of -1 where no swap is worth its price.
    """
    worth, floor = bounds
    k, sums = len(chosen), _worths(chance, chosen)
    best_rate, best_out, best_new, best_worth = 0.0, -1, -1, worth
    for out in range(k):
        gone, place = chosen[out], 0  # the new one's place among those that stay
        for i in range(len(chance)):
            if slot[i] >= 0:
                place += i != gone
                continue
            if place <= out:
                then = sums[1, place] + sums[2, out] - sums[2, place]
                then += sums[1, k] - sums[1, out + 1]
            else:
                then = sums[1, out] + sums[0, place + 1] - sums[0, out + 1]
                then += sums[1, k] - sums[1, place + 1]
            then += chance[i] / np.log2(2.0 + place)
            if then < floor:
                break  # those after it are less likely still
            gain = to_all[gone] - to_all[i] + likeness[slot[gone], i]
            rate = gain / max(worth - then, 1e-12)
            if gain > 1e-9 and rate > best_rate:
                best_rate, best_out, best_new, best_worth = rate, out, i, then
    return best_out, best_new, best_worth


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _worths(chance: Doubles, chosen: Places) -> Any:
    """(3, k + 1) worth of the first chosen, each a place higher, at its own, and a place lower."""
    sums = np.zeros((3, len(chosen) + 1))
    for j in range(len(chosen)):
        for down in range(3):
            place = max(j + down - 1, 0)  # nobody moves up from the first place
            sums[down, j + 1] = sums[down, j] + chance[chosen[j]] / np.log2(2.0 + place)
    return sums


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _likeness(out: Doubles, vectors: Floats, of: int) -> None:
    """Cosines (n,) of one item and all; 0 to itself."""
    for i in range(len(vectors)):
        out[i] = 0.0
        if i != of:
            for d in range(vectors.shape[1]):
                out[i] += vectors[i, d] * vectors[of, d]


STEP = Swap
