"""Systems that score all items at rising moments, from the same past; and their ranks.

Ours is the serving path: the exported model read by ``recsys.interest.replay``, the trend, and the
neighbour part, added as a slate adds them. The others see the same events before each query.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from recsys.evaluation.baselines import PopularReplay
from recsys.evaluation.ranks import ranks_of
from recsys.evaluation.scene import Scene
from recsys.evaluation.split import Queries
from recsys.evaluation.touched import last_positive, recent_before
from recsys.freshness import fresh_part
from recsys.interest.model import ItemTable, nobody
from recsys.interest.replay import ReplayQueries, ends_before, replay
from recsys.interest.zero_shot import ZeroShot, signed_importance
from recsys.item_side import ItemSideReplay
from recsys.neighbours import Neighbours
from recsys.ranking import default_weights, interest_parts, top_k, total, trend_part
from recsys.settings import InterestSettings
from recsys.trend import TrendReplay
from tests.benchmarks.quality_parts.material import Bools, Floats, Log

Ints = npt.NDArray[np.int64]

_BLOCK = 32


class System(Protocol):
    """Scores at the moments of Q queries, asked one after the other, by time."""

    def scores(self, q: int, as_of: float) -> Floats:
        """(N,) scores of all items for one query; larger is better."""
        ...


class Ours:
    """A model of ours.

    Args:
        log: what is known.
        scene: the log through the model.
        queries: sorted by time.
        interest: the settings with the model's half-lives.
        frozen_at: what happens from this moment on stays unseen; None = everything is seen.
        mute: (N,) items that have no trend; None = all have theirs.
    """

    def __init__(
        self,
        log: Log,
        scene: Scene,
        queries: Queries,
        interest: InterestSettings,
        frozen_at: float | None = None,
        mute: Bools | None = None,
    ) -> None:
        end = queries.history_end
        until = np.inf if frozen_at is None else frozen_at
        if frozen_at is not None:
            past = ends_before(log.events, queries.user, np.full(len(queries), frozen_at))
            end = np.minimum(past, end)
        moments = ReplayQueries(queries.user, end, queries.as_of)
        self._query = replay(log.events, moments, scene.model, scene.items, interest)
        self._scene, self._mute = scene, mute
        empty = nobody(scene.model, interest, scene.items.n_dims)
        self._uses_trend = bool(self._query.uses_trend.any() or empty.uses_trend.any())
        n = int(np.searchsorted(scene.ts, until, side="left"))
        lives = scene.trend_half_lives_s
        self._trend = TrendReplay(scene.item[:n], scene.ts[:n], np.ones(n), scene.n_items, lives)
        self._none = np.zeros((scene.n_items, len(lives)), np.float32)
        self._item_side = None
        if scene.item_side is not None and frozen_at is None:
            takers, options = scene.item_side
            self._item_side = ItemSideReplay(takers, scene.n_items, options)
        self._recent = None
        if scene.neighbours is not None:
            self._recent = recent_before(log.events, queries.user, end, interest, log.settings.data)
        self._block: tuple[int, Floats] = (-1, self._none)

    def scores(self, q: int, as_of: float) -> Floats:
        """See ``System.scores``."""
        features = self._none
        if self._uses_trend:
            self._trend.advance_to(as_of)
            features = self._trend.features()
            if self._mute is not None:
                features = np.where(self._mute[:, None], np.float32(0), features)
        parts = {
            "interest": self._interest(q),
            "trend": trend_part(self._query.of(q), self._scene.items.warm, features),
        }
        scene = self._scene
        fresh = fresh_part(self._query.of(q), scene.available_from, as_of, scene.trend_half_lives_s)
        if fresh is not None:
            parts["fresh"] = fresh
        if self._scene.neighbours is not None and self._recent is not None:
            item, ts, importance = self._recent.of(q)
            parts["neighbours"] = self._scene.neighbours.part(item, ts, as_of, importance)
        if self._item_side is not None:
            self._item_side.advance_to(as_of)
            parts["item_side"] = self._item_side.part(self._query.vectors[q])
        return total(parts)

    def _interest(self, q: int) -> Floats:
        if self._block[0] != q // _BLOCK:
            some = slice(q // _BLOCK * _BLOCK, (q // _BLOCK + 1) * _BLOCK)
            dots = interest_parts(self._query.vectors[some], self._scene.items.vectors)
            self._block = (q // _BLOCK, dots)
        found: Floats = self._block[1][q % _BLOCK]
        return found


class Popular:
    """Counts of positive events in a window before each query.

    Args:
        scene: everybody's positive events.
        window_s: seconds; inf = all that came before.
    """

    def __init__(self, scene: Scene, window_s: float) -> None:
        self._replay = PopularReplay(scene.item, scene.ts, scene.n_items, window_s)

    def scores(self, q: int, as_of: float) -> Floats:
        """See ``System.scores``."""
        self._replay.advance_to(as_of)
        return self._replay.counts


class Content:
    """Likeness of text: cosines of the items with one vector per query."""

    def __init__(self, wanted: Floats, directions: Floats) -> None:
        self._wanted, self._directions = wanted, directions

    def scores(self, q: int, as_of: float) -> Floats:
        """See ``System.scores``."""
        found: Floats = self._directions @ self._wanted[q]
        return found


class Near:
    """Neighbours of all that a user did before each query."""

    def __init__(self, log: Log, neighbours: Neighbours, queries: Queries) -> None:
        self._log, self._near, self._queries = log, neighbours, queries
        events = log.events
        self._worth = signed_importance(events.kind, events.value, log.settings.interest)

    def scores(self, q: int, as_of: float) -> Floats:
        """See ``System.scores``."""
        events, queries = self._log.events, self._queries
        run = slice(int(events.bounds[queries.user[q]]), int(queries.history_end[q]))
        known = events.item[run] >= 0
        item, ts, worth = events.item[run][known], events.ts[run][known], self._worth[run][known]
        return self._near.part(item, ts, as_of, worth)


class Answered:
    """What another program answered: (Q, n) rows of the catalog, best first, -1 = none."""

    def __init__(self, rows: Ints, n_items: int) -> None:
        self._rows, self._n_items = rows, n_items

    def scores(self, q: int, as_of: float) -> Floats:
        """See ``System.scores``; items that were not named stand behind all that were."""
        found = np.zeros(self._n_items, np.float32)
        named = self._rows[q][self._rows[q] >= 0]
        found[named] = np.arange(len(named), 0, -1)
        return found


@dataclass(frozen=True)
class Ranked:
    """What S systems answered to Q queries with M right answers."""

    queries: Queries
    """By time."""
    names: tuple[str, ...]
    ranks: Ints
    """(M, S) from 0; -1 never occurs."""
    n_candidates: Ints
    """(Q,)."""
    lists: npt.NDArray[np.int32] | None = None
    """(Q, S, k) slates where they were asked for; -1 = an empty place."""


def by_time(queries: Queries) -> Queries:
    """The queries in the order in which systems are asked."""
    return queries.pick(np.argsort(queries.as_of, kind="stable"))


def rank(
    log: Log, scene: Scene, queries: Queries, systems: Mapping[str, System], k: int = 0
) -> Ranked:
    """Ask every system; candidates are the items that could be had, less those touched before.

    Args:
        log: says what was touched.
        scene: says what could be had.
        queries: sorted by time (``by_time``); with or without right answers.
        systems: by name.
        k: longest slate that is kept; 0 = none.
    """
    bounds, seen = log.touches.before(queries.user, queries.history_end)
    ranks = np.zeros((len(queries.target), len(systems)), np.int64)
    n_candidates = np.zeros(len(queries), np.int64)
    lists = np.full((len(queries), len(systems), k), -1, np.int32)
    for q in range(len(queries)):
        as_of = float(queries.as_of[q])
        where = slice(int(queries.target_bounds[q]), int(queries.target_bounds[q + 1]))
        target = queries.target[where]
        allowed = scene.candidates(as_of)
        allowed[seen[bounds[q] : bounds[q + 1]]] = False
        n_candidates[q] = allowed.sum() + (~allowed[target]).sum()
        for s, system in enumerate(systems.values()):
            scores = system.scores(q, as_of)
            ranks[where, s] = ranks_of(scores, allowed, target)
            if k > 0:
                best = top_k(scores, allowed, k)
                lists[q, s, : len(best)] = best
    return Ranked(queries, tuple(systems), ranks, n_candidates, lists if k > 0 else None)


def last_item(log: Log, queries: Queries) -> Content:
    """Likeness of text to the user's latest positive item."""
    directions = unit_text(log)
    last = last_positive(log.events, log.positive, queries)
    wanted = np.where(last[:, None] >= 0, directions[np.maximum(last, 0)], np.float32(0))
    return Content(wanted, directions)


def decayed_mean(log: Log, queries: Queries) -> Content:
    """Likeness of text to the decayed mean of what a user liked, every half-life alike."""
    settings, directions = log.settings, unit_text(log)
    even = ZeroShot(settings.interest, default_weights(settings.interest, settings.trend))
    moments = ReplayQueries(queries.user, queries.history_end, queries.as_of)
    items = ItemTable.all_warm(directions)
    mean = replay(log.events, moments, even, items, settings.interest)
    return Content(mean.vectors[:, 0], directions)


def unit_text(log: Log) -> Floats:
    """(N, E) text vectors at length 1; the log has text."""
    assert log.text is not None
    return ItemTable.all_warm(log.text).directions
