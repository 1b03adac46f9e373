"""Calibrated slates (Steck, 2018): the proportions of the user's interests are kept.

    p(c)  share of category c in the user's recent events, decayed     q(c)  its share in the slate
    next = argmax_i  (1 - w) rel_i  -  w KL(p || (1 - a) q + a p)   of the slate with i

An item's one unit is split evenly among its categories. Only the categories of an item change when
it joins, so each place costs the categories of the candidates, not all that the user knows.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from recsys.reranking.base import Ranked, relevance
from recsys.reranking.options import CalibrateSettings
from recsys.shelf import Evidence, Shelf
from recsys.sources.base import Asked

Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_LEAST = -30.0
"""Log of a share that is none, where nothing is smoothed."""


class Calibrate:
    """See the module; nothing changes for a user without recent events in any category.

    Args:
        options: trade-off, forgetting and smoothing.
    """

    name = "calibrate"

    def __init__(self, options: CalibrateSettings) -> None:
        self._options = options

    def apply(self, ranked: Ranked, asked: Asked, k: int, /) -> Ranked:
        """``Step.apply``; the chosen k stand first, in the order of the ranking."""
        options = self._options
        wanted = proportions(asked.shelf, asked.evidence, asked.as_of, options.half_life_s)
        if len(ranked) == 0 or not wanted.any() or options.weight == 0.0:
            return ranked
        runs = (ranked.rows, *asked.shelf.category_runs)
        trade_off = (options.weight, options.smoothing)
        return ranked.chosen(calibrated_order(relevance(ranked), runs, wanted, k, trade_off))


def proportions(shelf: Shelf, evidence: Evidence, as_of: float, half_life_s: float) -> Doubles:
    """(C,) share of each category in the positive recent events; zeros where there are none."""
    good = (evidence.recent_item >= 0) & (evidence.recent_importance > 0)
    item = evidence.recent_item[good]
    age_s = np.maximum(0.0, as_of - evidence.recent_ts[good])
    weight = evidence.recent_importance[good] * np.exp2(-age_s / half_life_s)
    bounds, position = shelf.category_runs
    found = np.zeros(len(shelf.category_names))
    _spread(np.asarray(item, np.int64), weight.astype(np.float64), bounds, position, found)
    total = found.sum()
    return found / total if total > 0 else found


def divergence(wanted: Doubles, shares: Doubles, smoothing: float) -> float:
    """KL(p || (1 - a) q + a p), at least 0 where both sum to 1.

    Args:
        wanted: (C,) p.
        shares: (C,) q.
        smoothing: a, above 0.
    """
    some = wanted > 0
    p = wanted[some]
    return float(p @ np.log(p / ((1 - smoothing) * shares[some] + smoothing * p)))


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _spread(rows: Ints, weight: Doubles, bounds: Ints, position: Ints, out: Doubles) -> None:
    """Add the weight of each row to its categories, in even parts."""
    for i in range(len(rows)):
        first, last = bounds[rows[i]], bounds[rows[i] + 1]
        for g in range(first, last):
            out[position[g]] += weight[i] / (last - first)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def calibrated_order(
    relevance: Doubles,
    runs: tuple[Ints, Ints, Ints],
    wanted: Doubles,
    k: int,
    trade_off: tuple[float, float],
) -> Any:
    """Places of the min(k, n) chosen, in their order; of equals the first.

    Args:
        relevance: (n,) in [0, 1].
        runs: catalog rows (n,), and offsets and positions of the categories of all rows.
        wanted: (C,) p.
        k: most places.
        trade_off: w and a.
    """
    rows, bounds, position = runs
    smoothing = trade_off[1]
    order, is_free = np.empty(min(k, len(rows)), np.int64), np.ones(len(rows), np.bool_)
    held, without = np.zeros(len(wanted)), np.zeros(len(wanted))
    for place in range(len(order)):
        unit = (1.0 - smoothing) / (place + 1)
        for c in range(len(wanted)):
            share = unit * held[c] + smoothing * wanted[c]
            without[c] = np.log(share) if share > 0 else _LEAST
        now = (unit, smoothing, held, without)
        best = _next(relevance, is_free, runs, wanted, (trade_off[0], now))
        order[place], is_free[best] = best, False
        first, last = bounds[rows[best]], bounds[rows[best] + 1]
        for g in range(first, last):
            held[position[g]] += 1.0 / (last - first)
    return order


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _next(relevance: Doubles, is_free: Any, runs: Any, wanted: Doubles, how: Any) -> int:
    """The place of the item that makes most of relevance and proportions."""
    rows, bounds, position = runs
    weight, (unit, smoothing, held, without) = how
    best, best_value = -1, -np.inf
    for i in range(len(rows)):
        if not is_free[i]:
            continue
        first, last = bounds[rows[i]], bounds[rows[i] + 1]
        gain = 0.0
        for g in range(first, last):
            c = position[g]
            if wanted[c] > 0:
                share = unit * (held[c] + 1.0 / (last - first)) + smoothing * wanted[c]
                gain += wanted[c] * (np.log(share) - without[c])
        value = (1.0 - weight) * relevance[i] + weight * gain
        if best < 0 or value > best_value:
            best, best_value = i, value
    return best


STEP = Calibrate
