"""What features read: some items, seen from several histories of one user at once.

A slate has one history. Reasons have many: the whole one, and that without each recent event, so
that what is said of an event is what the model would say without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.interest.model import Query
from recsys.interest.shown import IMPRESSION
from recsys.ranker.options import RankerSettings
from recsys.ranking import Floats
from recsys.shelf import Evidence, Shelf

Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Events:
    """R events of known items, in any order."""

    item: Rows
    """(R,) catalog rows."""
    ts: Doubles
    """(R,) Unix seconds."""
    importance: Doubles
    """(R,) signed."""
    is_shown: Bools
    """(R,) impressions: the user did nothing."""

    @classmethod
    def of(
        cls, item: Rows, ts: Any, importance: Any, kind: npt.NDArray[np.object_]
    ) -> tuple[Events, Bools]:
        """The events of known items, and which these are; without kinds nothing is an impression.

        Args:
            item: (R,) catalog rows; negative = unknown.
            ts: (R,).
            importance: (R,).
            kind: (R,), or fewer.
        """
        item = np.asarray(item, np.int64)
        kinds = np.full(len(item), None, object)
        kinds[: len(kind)] = kind[: len(item)]
        known = item >= 0
        times, worth = np.asarray(ts, np.float64), np.asarray(importance, np.float64)
        found = cls(item[known], times[known], worth[known], (kinds == IMPRESSION)[known])
        return found, known


@dataclass(frozen=True)
class Viewed:
    """n items and V histories that are subsets of the same events."""

    shelf: Shelf
    rows: Rows
    """(n,) catalog rows."""
    trend: Floats
    """(n, Ht) log(1 + decayed popularity) of the items."""
    as_of: float
    """Unix seconds, of the slate."""
    moments: Doubles
    """(V,) Unix seconds that each history is read at."""
    query: Query
    """Of the V histories."""
    events: Events
    held: Bools
    """(V, R) what each history holds."""
    encoder: Mapping[str, Floats]
    """Name -> (V, n): the parts of the encoder's score that are at hand."""
    options: RankerSettings
    shown_item: Rows = field(default_factory=lambda: np.zeros(0, np.int64))
    """(I,) items that the user was shown beside ``events``."""
    shown_ts: Doubles = field(default_factory=lambda: np.zeros(0))
    """(I,) Unix seconds."""

    @cached_property
    def directions(self) -> Floats:
        """(n, D) the items' vectors at length 1."""
        return self.shelf.items.directions[self.rows]

    @cached_property
    def short(self) -> Doubles:
        """(V, R) what is left of the positive evidence at the short half-life."""
        return self._left(self.options.short_half_life_s)

    @cached_property
    def long(self) -> Doubles:
        """(V, R) the same at the long one."""
        return self._left(self.options.long_half_life_s)

    @cached_property
    def interests(self) -> Doubles:
        """(V, A) the long mass of each interest of the graph; (V, 0) without one."""
        graph = self.shelf.graph
        if graph is None:
            return np.zeros((len(self.held), 0))
        node = graph.node[self.events.item]
        kept = np.flatnonzero(node >= 0)
        place = np.zeros((len(kept), len(graph)))
        place[np.arange(len(kept)), node[kept]] = 1.0
        return self.long[:, kept] @ place

    def mean(self, left: Doubles, likeness: npt.NDArray[np.floating[Any]]) -> Doubles:
        """(V, n) the mean likeness to events, times the confidence in it.

        Args:
            left: (V, R) weights of the events.
            likeness: (R, n) of events and items.
        """
        mass = left.sum(axis=1, keepdims=True)
        found: Doubles = (left @ likeness) / (mass + self.options.confidence_mass)
        return found

    def taste(self, left: Doubles) -> Doubles:
        """(V, n) likeness of the items to the events' items; ``left`` as of ``mean``."""
        vectors = self.shelf.items.directions[self.events.item].astype(np.float64)
        mass = left.sum(axis=1, keepdims=True)
        mean = (left @ vectors) / (mass + self.options.confidence_mass)
        found: Doubles = mean @ self.directions.T
        return found

    def _left(self, half_life_s: float) -> Doubles:
        age = np.maximum(self.moments[:, None] - self.events.ts, 0.0)
        worth = np.maximum(self.events.importance, 0.0)
        found: Doubles = self.held.astype(np.float64) * worth * np.exp2(-age / half_life_s)
        return found


def one_view(
    shelf: Shelf,
    evidence: Evidence,
    items: tuple[Rows, Floats, Mapping[str, Floats]],
    as_of: float,
    options: RankerSettings,
) -> Viewed:
    """Items as one profile sees them.

    Args:
        shelf: of the bundle.
        evidence: of the user.
        items: n rows, (N, Ht) trend features of the whole catalog, and parts (n,) of the scores.
        as_of: Unix seconds.
        options: of the model.
    """
    rows, trend, parts = items
    recent = (evidence.recent_item, evidence.recent_ts, evidence.recent_importance)
    events, _ = Events.of(*recent, evidence.recent_kind)
    known = np.asarray(evidence.shown_item) >= 0
    return Viewed(
        shelf=shelf,
        rows=rows,
        trend=trend[rows],
        as_of=as_of,
        moments=np.array([as_of]),
        query=evidence.query,
        events=events,
        held=np.ones((1, len(events.item)), np.bool_),
        encoder={name: values[None] for name, values in parts.items()},
        options=options,
        shown_item=np.asarray(evidence.shown_item, np.int64)[known],
        shown_ts=np.asarray(evidence.shown_ts, np.float64)[known],
    )
