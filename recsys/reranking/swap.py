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

    Args:
        chance: (n,) falling.
        vectors: (n, D) unit rows; a zero row is like nothing.
        k: places of the slate; at least 2, as is n.
        cost: share of the worth of the first k that may be lost, in [0, 1].
    """
    n = len(chance)
    k = min(k, n)
    discount = 1.0 / np.log2(2.0 + np.arange(k))
    chosen = np.arange(k)
    like = np.zeros(n)
    for j in range(k):
        _add(like, vectors, chosen[j], 1.0)
    worth = (chance[chosen] * discount).sum()
    floor = (1.0 - cost) * worth
    while True:
        out, new, then = _best(chance, vectors, chosen, like, (worth, floor))
        if out < 0:
            return chosen
        _add(like, vectors, chosen[out], -1.0)
        _add(like, vectors, new, 1.0)
        chosen[out] = new
        chosen.sort()
        worth = then


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _best(
    chance: Doubles, vectors: Floats, chosen: Places, like: Doubles, bounds: tuple[float, float]
) -> Any:
    """The swap of most variety for its price: place in ``chosen``, new item, worth with it.

    Args:
        chance: (n,) falling.
        vectors: (n, D).
        chosen: (k,) rising.
        like: (n,) likeness to all that are chosen, itself left out.
        bounds: worth of the chosen, and the least that it may become.

    Returns:
        A place of -1 where no swap is worth its price.
    """
    worth, floor = bounds
    is_in = np.zeros(len(chance), np.bool_)
    is_in[chosen] = True
    best_rate, best_out, best_new, best_worth = 0.0, -1, -1, worth
    for out in range(len(chosen)):
        for i in range(len(chance)):
            if is_in[i]:
                continue
            then = _with(chance, chosen, out, i)
            if then < floor:
                break  # those after it are less likely still
            gain = like[chosen[out]] - like[i] + _dot(vectors, i, chosen[out])
            rate = gain / max(worth - then, 1e-12)
            if gain > 1e-9 and rate > best_rate:
                best_rate, best_out, best_new, best_worth = rate, out, i, then
    return best_out, best_new, best_worth


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _dot(vectors: Floats, i: int, j: int) -> float:
    total = 0.0
    for d in range(vectors.shape[1]):
        total += vectors[i, d] * vectors[j, d]
    return total


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _add(like: Doubles, vectors: Floats, of: int, sign: float) -> None:
    for i in range(len(like)):
        if i != of:
            like[i] += sign * _dot(vectors, i, of)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _with(chance: Doubles, chosen: Places, out: int, new: int) -> float:
    """The worth of a rising set with one of its items for another."""
    total, place, is_placed = 0.0, 0, False
    for j in range(len(chosen)):
        if j == out:
            continue
        if not is_placed and new < chosen[j]:
            total += chance[new] / np.log2(2.0 + place)
            place, is_placed = place + 1, True
        total += chance[chosen[j]] / np.log2(2.0 + place)
        place += 1
    return total if is_placed else total + chance[new] / np.log2(2.0 + place)


STEP = Swap
