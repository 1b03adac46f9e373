"""How neighbours are fitted and used is chosen on a tail of the log, by NDCG@10 of what is new.

Neighbours learn from the events before the tail and are asked about the tail, every query with its
own history. A score is linear in the weights of the half-lives of its use, so one fit is read once
per half-life, and the mix is built up greedily: the best half-life alone, then whatever adds most.
Ways of fitting are tried one after the other, the pair kernel first, then the pull towards zero.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from recsys.evaluation.metrics import accuracy
from recsys.evaluation.split import Queries, draw_queries
from recsys.evaluation.touched import Touches
from recsys.events import EventArrays
from recsys.neighbours import FOREVER_S, NeighbourOptions, Neighbours
from recsys.settings import DAY_S, HOUR_S

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

PAIR_KERNELS = (
    (DAY_S, 1.0),
    (600.0, 0.1),
    (HOUR_S, 0.1),
    (DAY_S, 0.1),
    (14 * DAY_S, 0.1),
)
"""Half-life in seconds and floor of the fits that are compared."""
L2 = (30.0, 100.0, 300.0, 1_000.0)
HALF_LIVES_S = (15.0, 60.0, 600.0, HOUR_S, DAY_S, 7 * DAY_S, 30 * DAY_S, FOREVER_S)
ADDED = (0.03, 0.1, 0.3, 1.0)
"""Weights with which a half-life may join the mix."""

MIN_QUERIES = 50
"""Fewer queries than this choose nothing."""
MAX_QUERIES = 1_500

_MAX_ITEMS = 2_000
_MIN_GAIN = 1.01
_K = 10


@dataclass(frozen=True)
class _Tail:
    """A log, which part of it is learned from, and queries of what is new to their users."""

    events: EventArrays
    importance: npt.NDArray[np.floating[Any]]
    learned: EventArrays
    learned_importance: npt.NDArray[np.floating[Any]]
    queries: Queries
    seen: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]
    n_items: int


def choose_neighbours(
    events: EventArrays,
    importance: npt.NDArray[np.floating[Any]],
    learned: Bools,
    queries: Queries,
    touches: Touches,
    base: NeighbourOptions | None = None,
) -> tuple[NeighbourOptions, dict[str, Any]]:
    """Choose how neighbours are fitted and used.

    Args:
        events: T events, the tail included.
        importance: (T,) signed.
        learned: (T,) what is learned from while choosing: nothing that a query asks for.
        queries: of the tail; those of items that the user had touched are left out.
        touches: of ``events``.
        base: what stands where nothing can be chosen, and what is not chosen: the sizes.

    Returns:
        The options, and how they were chosen: ``n_queries``, ``ndcg10`` of each way of fitting.
        All are compared on the ``_MAX_ITEMS`` most frequent items alone.
    """
    base = NeighbourOptions() if base is None else base
    kept = queries.asking(~touches.is_repeat(queries))
    if len(kept) < MIN_QUERIES:
        return base, {"n_queries": len(kept), "ndcg10": {}}
    kept = draw_queries(kept, MAX_QUERIES, np.random.default_rng(0))
    n_items = int(events.item.max(initial=-1)) + 1
    past, asked_of = with_only(events, learned), touches.before(kept.user, kept.history_end)
    tail = _Tail(events, importance, past, importance[learned], kept, asked_of, n_items)
    small = replace(base, max_items=min(base.max_items, _MAX_ITEMS))
    found: dict[str, float] = {}
    best = (-1.0, small)
    for half_life_s, floor in PAIR_KERNELS:
        option = replace(small, pair_half_life_s=half_life_s, pair_floor=floor)
        best = max(best, _tried(tail, option, found), key=lambda pair: pair[0])
    for l2 in L2:
        option = replace(best[1], l2=l2)
        best = max(best, _tried(tail, option, found), key=lambda pair: pair[0])
    chosen = replace(best[1], max_items=base.max_items)
    return chosen, {"n_queries": len(kept), "ndcg10": found}


def with_only(events: EventArrays, kept: Bools) -> EventArrays:
    """The events that are kept (T,); users without any keep their place."""
    return events.kept(np.flatnonzero(kept))


def _tried(
    tail: _Tail, option: NeighbourOptions, found: dict[str, float]
) -> tuple[float, NeighbourOptions]:
    """NDCG of one way of fitting with its best mix; written into ``found``."""
    fitted = Neighbours.fit(tail.learned, tail.learned_importance, tail.n_items, option)
    gain, mix = _best_mix(_Scored.of(tail, fitted))
    used = np.flatnonzero(mix)
    lives = tuple(HALF_LIVES_S[h] for h in used)
    name = f"pair {option.pair_half_life_s:g} s, floor {option.pair_floor:g}, l2 {option.l2:g}"
    found[name] = gain
    return gain, replace(option, half_lives_s=lives, mix=tuple(float(mix[h]) for h in used))


@dataclass(frozen=True)
class _Scored:
    """What one fit says of the n items with neighbours, half-life by half-life."""

    queries: Queries
    scores: Floats
    """(K, Q, n); -inf = no candidate."""
    target_query: npt.NDArray[np.int64]
    """(M,)"""
    target: npt.NDArray[np.int64]
    """(M,) column of each right answer; -1 = it has no neighbours and is never found."""

    @classmethod
    def of(cls, tail: _Tail, fitted: Neighbours) -> _Scored:
        """Score every query with each half-life alone."""
        columns = np.flatnonzero(fitted.row >= 0)
        scores = np.stack([_scores(tail, fitted, h, columns) for h in HALF_LIVES_S])
        bounds, seen = tail.seen
        place = np.append(fitted.row, -1)[seen]
        query = np.repeat(np.arange(len(tail.queries)), np.diff(bounds))
        scores[:, query[place >= 0], place[place >= 0]] = -np.inf
        target = fitted.row[tail.queries.target].astype(np.int64)
        return cls(tail.queries, scores, tail.queries.target_query, target)

    def ndcg(self, mixed: Floats) -> float:
        """Mean NDCG@10 of scores (Q, n)."""
        ranks = np.int64(mixed.shape[1]) + np.arange(len(self.target))
        _count_better(ranks, mixed, self.target_query, self.target)
        n_candidates = np.full(len(self.queries), mixed.shape[1] + len(self.target))
        found = accuracy(ranks, self.queries.target_bounds, n_candidates, _K)
        return float(found["ndcg"].mean())


def _scores(
    tail: _Tail, fitted: Neighbours, half_life_s: float, columns: npt.NDArray[np.int64]
) -> Floats:
    """(Q, n) scores of the items with neighbours, every weight at one half-life."""
    alone, asked = fitted.used((half_life_s,), (1.0,)), tail.queries
    out = np.zeros((len(asked), len(columns)), np.float32)
    for q in range(len(asked)):
        run = slice(int(tail.events.bounds[asked.user[q]]), int(asked.history_end[q]))
        known = tail.events.item[run] >= 0
        past = (tail.events.item[run][known], tail.events.ts[run][known])
        worth = tail.importance[run][known]
        out[q] = alone.part(*past, float(asked.as_of[q]), worth)[columns]
    return out


def _best_mix(scored: _Scored) -> tuple[float, Doubles]:
    """NDCG and weights (K,), the largest 1, of the half-lives."""
    scores, ones = scored.scores, np.eye(len(HALF_LIVES_S))
    gains = [scored.ndcg(alone) for alone in scores]
    first = int(np.argmax(gains))
    gain, mix, mixed = gains[first], ones[first], scores[first]
    for _ in range(len(HALF_LIVES_S)):
        tries = [
            (scored.ndcg(mixed + np.float32(weight) * scores[h]), h, weight)
            for h in range(len(ones))
            for weight in ADDED
        ]
        found, h, weight = max(tries, key=lambda tried: tried[0])
        if found <= gain * _MIN_GAIN:
            break
        gain, mix, mixed = found, mix + weight * ones[h], mixed + np.float32(weight) * scores[h]
    return gain, mix / mix.max()


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _count_better(
    ranks: npt.NDArray[np.int64],
    scores: Floats,
    query: npt.NDArray[np.int64],
    target: npt.NDArray[np.int64],
) -> None:
    """Ranks (M,) of the targets that have a column, as ``recsys.evaluation.ranks`` counts them."""
    for m in range(len(target)):
        t = target[m]
        if t >= 0:
            row = scores[query[m]]
            value, count = row[t], 0
            for i in range(t):
                count += row[i] >= value
            for i in range(t + 1, len(row)):
                count += row[i] > value
            ranks[m] = count
