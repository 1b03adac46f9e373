"""The shelf: what every slate of one bundle is made from, and what a profile says in its words."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.catalog import Catalog
from recsys.coldstart.options import ColdstartSettings
from recsys.coldstart.segments import Segments
from recsys.coldstart.told import Told
from recsys.graph.interest_graph import InterestGraph
from recsys.interest.beside import NeighbourPart
from recsys.interest.model import Banks, InterestModel, ItemTable, Query, TextTable, nobody
from recsys.ranker.model import Ranker
from recsys.ranking import Floats, interest_part, top_k
from recsys.settings import InterestSettings, TrendSettings

N_NEAREST = 100


def _none() -> npt.NDArray[np.int64]:
    return np.zeros(0, np.int64)


def _no_times() -> npt.NDArray[np.float64]:
    return np.zeros(0, np.float64)


def _no_kinds() -> npt.NDArray[np.object_]:
    return np.zeros(0, object)


@dataclass(frozen=True)
class Shelf:
    """What every slate of one bundle is made from."""

    catalog: Catalog
    items: ItemTable
    """N items in the order of the catalog."""
    model: InterestModel
    interest: InterestSettings
    trend: TrendSettings
    neighbours: NeighbourPart | None = None
    """A further part of the score; None = none."""
    graph: InterestGraph | None = None
    """The interests of the catalog; None = the bundle has none."""
    segments: Segments | None = None
    """What users choose who share an attribute; None = the bundle has none."""
    coldstart: ColdstartSettings = field(default_factory=ColdstartSettings)
    """What counts of users and items of which little is known."""
    ranker: Ranker | None = None
    """What ranks the best by the encoder's score; None = that score stands."""

    @cached_property
    def nobody(self) -> Query:
        """What is asked for somebody of whom there is no event."""
        return nobody(self.model, self.interest, self.items.n_dims)

    @cached_property
    def common(self) -> Floats | None:
        """(N,) the interest part of somebody unknown; None = it is zero throughout."""
        vectors = self.nobody.vectors[0]
        return interest_part(vectors, self.items.vectors) if vectors.any() else None

    @cached_property
    def category_names(self) -> list[str]:
        """The C distinct categories, sorted."""
        return sorted({name for names in self.catalog.categories for name in names})

    @cached_property
    def category_rows(self) -> list[npt.NDArray[np.int64]]:
        """For each item the positions of its categories in ``category_names``."""
        position = {name: i for i, name in enumerate(self.category_names)}
        return [
            np.array(sorted({position[name] for name in names}), np.int64)
            for names in self.catalog.categories
        ]

    @cached_property
    def category_runs(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """``category_rows`` end to end: offsets (N + 1,) and positions."""
        sizes = [len(rows) for rows in self.category_rows]
        bounds = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        return bounds, np.concatenate([*self.category_rows, np.zeros(0, np.int64)])

    def attribute_codes(self, name: str) -> npt.NDArray[np.int64]:
        """(N,) number of each item's value of an attribute; -1 = it has none. Made once."""
        if name not in self._codes:
            values = self.catalog.attribute(name)
            number = {value: i for i, value in enumerate(sorted({v for v in values if v}))}
            self._codes[name] = np.array([number.get(v or "", -1) for v in values], np.int64)
        return self._codes[name]

    @cached_property
    def _codes(self) -> dict[str, npt.NDArray[np.int64]]:
        return {}

    @cached_property
    def category_shares(self) -> npt.NDArray[np.float64]:
        """(C,) share of all category labels of the catalog."""
        counts = np.zeros(len(self.category_names))
        for rows in self.category_rows:
            counts[rows] += 1.0
        shares: npt.NDArray[np.float64] = counts / max(counts.sum(), 1.0)
        return shares


@dataclass(frozen=True)
class Behind:
    """What the record of a user holds beside the recent events."""

    banks: Banks
    """Folded from all other events."""
    recent_text: npt.NDArray[np.int32] | None = None
    """(R,) ``FoldBatch.text`` of the recent events; None = none says anything."""
    texts: TextTable | None = None
    """What these words are."""
    next_item: npt.NDArray[np.integer[Any]] = field(default_factory=_none)
    """(0,) or (1,) the item that would be recent if one of the recent events were not."""
    next_ts: npt.NDArray[np.float64] = field(default_factory=_no_times)
    """As ``next_item``; Unix seconds."""
    next_importance: npt.NDArray[np.floating[Any]] = field(default_factory=_no_times)
    """As ``next_item``; signed."""


@dataclass(frozen=True)
class Evidence:
    """What one profile says at a moment."""

    query: Query
    """Of this one user."""
    mass_now: Floats | None = None
    """(H,) positive mass of each half-life; None = a fresh, empty profile."""
    banks: Banks | None = None
    """Of this one user; None = there is nothing to fold events out of, so no reason names one."""
    recent_item: npt.NDArray[np.integer[Any]] = field(default_factory=_none)
    """(R,) rows of the catalog; negative = unknown."""
    recent_ts: npt.NDArray[np.float64] = field(default_factory=_no_times)
    """(R,) Unix seconds."""
    recent_importance: npt.NDArray[np.floating[Any]] = field(default_factory=_no_times)
    """(R,) signed: negative evidence is below 0."""
    recent_kind: npt.NDArray[np.object_] = field(default_factory=_no_kinds)
    """(R,) kinds; may be left out where ``banks`` is."""
    recent_value: npt.NDArray[np.floating[Any]] = field(default_factory=_no_times)
    """(R,) ratings or dwell; as ``recent_kind``."""
    seen: npt.NDArray[np.integer[Any]] = field(default_factory=_none)
    """Rows of items that the user has touched."""
    shown_item: npt.NDArray[np.integer[Any]] = field(default_factory=_none)
    """(I,) rows of items in slates that the user was shown (impressions); negative = unknown."""
    shown_ts: npt.NDArray[np.float64] = field(default_factory=_no_times)
    """(I,) Unix seconds."""
    behind: Behind | None = None
    """What else the whole record holds; None = it was not read, and what stands behind the recent
    events is inferred from ``banks``."""
    told: Told = field(default_factory=Told)
    """What is known beside the events."""


def neighbour_part(shelf: Shelf, evidence: Evidence, as_of: float) -> Floats | None:
    """(N,) what the neighbours of the recent events add to each item; None without neighbours."""
    return None if shelf.neighbours is None else part_of(shelf.neighbours, evidence, as_of)


def part_of(neighbours: NeighbourPart, evidence: Evidence, as_of: float) -> Floats:
    """(N,) what some neighbours of the recent events add to each item."""
    known = evidence.recent_item >= 0
    events = (evidence.recent_item[known], evidence.recent_ts[known])
    return neighbours.part(*events, as_of, evidence.recent_importance[known])


def interests(
    shelf: Shelf, u: Floats, n_nearest: int = N_NEAREST, limit: int = 10
) -> list[tuple[str, float]]:
    """What a query is about: categories that stand out among the items it lifts most.

    Args:
        shelf: of the bundle.
        u: (D,) or (Q, D) query vectors of one user.
        n_nearest: how many items are looked at.
        limit: most categories.

    Returns:
        ``[(category, weight)]``, heaviest first; weights are positive and sum to 1. Empty when
        the query is somebody's of whom there is no event, or where there are no categories.
    """
    names = shelf.category_names
    if len(names) == 0 or not np.any(u):
        return []
    scores = interest_part(u, shelf.items.vectors)
    if shelf.common is not None:
        scores = scores - shelf.common
    near = top_k(scores, shelf.items.vectors.any(axis=1) & (scores > 0), n_nearest)
    counts = np.zeros(len(names))
    for place in near:
        counts[shelf.category_rows[place]] += 1.0
    excess = counts / max(counts.sum(), 1.0) - shelf.category_shares
    best = [int(i) for i in np.argsort(-excess, kind="stable")[:limit] if excess[i] > 0]
    total = float(sum(excess[i] for i in best))
    return [(names[i], float(excess[i]) / total) for i in best]
