"""The past as plain arrays: what every query of an evaluation or a batch recommendation reads.

A ``Scene`` is the same for all queries, and ``Asked`` holds what is known of each; both are NumPy
only, so they travel to many processes cheaply. ``Crowd`` walks the scene through rising moments.
What a model is, is settled before: it has turned each user's past into a ``Query``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.catalog import Catalog
from recsys.coldstart.optimism import optimism_part
from recsys.coldstart.options import ColdstartSettings, OptimismSettings
from recsys.coldstart.segments import Segments
from recsys.coldstart.told import Told
from recsys.evaluation.baselines import POPULAR_WINDOWS_S, PopularReplay
from recsys.evaluation.split import Queries
from recsys.evaluation.touched import Recent
from recsys.events import UNKNOWN_ITEM, EventArrays
from recsys.freshness import fresh_part
from recsys.interest.beside import NeighbourPart
from recsys.interest.model import InterestModel, ItemTable, Query, TextTable
from recsys.item_side import ItemSideOptions, ItemSideReplay, Takers
from recsys.ranking import Floats, trend_part
from recsys.trend import TrendReplay

Ints = npt.NDArray[np.int64]
Times = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def _no_optimism() -> ColdstartSettings:
    return ColdstartSettings(optimism=OptimismSettings(weight=0.0))


@dataclass(frozen=True)
class Scene:
    """Items, and everybody's positive events sorted by time."""

    items: ItemTable
    """N items."""
    available_from: Times
    """(N,) Unix seconds."""
    available_until: Times
    """(N,) Unix seconds."""
    known_after: Times
    """(N,) -inf for items with text; else the time of the first event, inf without any."""
    item: npt.NDArray[np.int32]
    """(T,) catalog rows."""
    ts: Times
    """(T,) Unix seconds, rising."""
    model: InterestModel
    """What turns events into queries."""
    trend_half_lives_s: tuple[float, ...]
    own: Floats = field(default_factory=lambda: np.zeros(0, np.float32))
    """(H,) weights of the users' own habits, where seen items may come back; empty = none."""
    neighbours: NeighbourPart | None = None
    """A further part of the score; None = none."""
    texts: TextTable | None = None
    """What the users' own words are to the model; None = they are passed over."""
    coldstart: ColdstartSettings = field(default_factory=_no_optimism)
    """What counts of users and items of which little is known."""
    segments: Segments | None = None
    """What users choose who share an attribute; None = that is not known."""
    item_side: tuple[Takers, ItemSideOptions] | None = None
    """Profiles of the items, as a further part of our score, not of the frozen one; None = none."""

    @property
    def n_items(self) -> int:
        """N."""
        return len(self.items)

    def candidates(self, as_of: float) -> Bools:
        """(N,) items that can be had and of which anything is known, strictly before ``as_of``."""
        had = (self.available_from <= as_of) & (as_of < self.available_until)
        allowed: Bools = had & (self.known_after < as_of)
        return allowed

    def trend(self) -> TrendReplay:
        """Everybody's trend, at every half-life."""
        ones = np.ones(len(self.ts))
        return TrendReplay(self.item, self.ts, ones, self.n_items, self.trend_half_lives_s)


@dataclass(frozen=True)
class Asked:
    """Q queries, sorted by ``as_of``, with what is known of each user."""

    queries: Queries
    seen_bounds: Ints
    """(Q + 1,) offsets into ``seen``."""
    seen: Ints
    """(P,) catalog rows that the user has touched."""
    u: dict[str, Query] = field(default_factory=dict)
    """Name of a system of ours -> what its Q users ask for."""
    nobody: Query | None = None
    """What is asked for somebody unknown: one user."""
    content: dict[str, Floats] = field(default_factory=dict)
    """Name of a system of likeness alone -> (Q, D) its vectors, in the space of
    ``ItemTable.directions``."""
    recent: dict[str, Recent] = field(default_factory=dict)
    """Name of a system of ours -> the users' latest events, where there are neighbours."""
    own: Floats | None = None
    """(P, H) log(1 + own mass) of the touched items."""
    own_count: Floats | None = None
    """(P,) how often the user chose each touched item."""
    told: tuple[Told, ...] | None = None
    """(Q,) what is known of the users beside events; None = nothing."""

    def __len__(self) -> int:
        return len(self.queries)

    def part(self, start: int, stop: int) -> Asked:
        """A run of the queries."""
        rows = np.arange(start, stop)
        first, last = self.seen_bounds[start], self.seen_bounds[stop]
        return Asked(
            queries=self.queries.pick(rows),
            seen_bounds=self.seen_bounds[start : stop + 1] - first,
            seen=self.seen[first:last],
            u={name: u.pick(slice(start, stop)) for name, u in self.u.items()},
            nobody=self.nobody,
            content={name: u[start:stop] for name, u in self.content.items()},
            recent={name: recent.part(start, stop) for name, recent in self.recent.items()},
            own=None if self.own is None else self.own[first:last],
            own_count=None if self.own_count is None else self.own_count[first:last],
            told=None if self.told is None else self.told[start:stop],
        )


class Crowd:
    """Everybody's behaviour, strictly before each of many rising moments.

    Args:
        scene: the past.
        used: (Ht,) half-lives of the trend that weigh for anybody; the others are not kept.
        frozen_at: also keep the trend of the events before this moment alone; None = do not.
        popular: also count popularity in windows.
    """

    def __init__(
        self, scene: Scene, used: Bools, frozen_at: float | None = None, popular: bool = True
    ) -> None:
        self._scene, self._now = scene, -np.inf
        self._trend = _UsedTrend(scene, used, np.inf)
        self._frozen = None if frozen_at is None else _UsedTrend(scene, used, frozen_at)
        self._hope = {np.inf: _Hope(scene, np.inf)}
        if frozen_at is not None:
            self._hope[frozen_at] = _Hope(scene, frozen_at)
        self._frozen_at = np.inf if frozen_at is None else frozen_at
        self._item_side = None
        if scene.item_side is not None:
            takers, options = scene.item_side
            self._item_side = ItemSideReplay(takers, scene.n_items, options)
        windows = POPULAR_WINDOWS_S if popular else {}
        self._popular = {
            name: PopularReplay(scene.item, scene.ts, scene.n_items, window_s)
            for name, window_s in windows.items()
        }

    def advance_to(self, now: float) -> None:
        """Count every event before ``now``."""
        self._now = now
        for part in (self._trend, self._frozen, self._item_side, *self._popular.values()):
            if part is not None:
                part.advance_to(now)

    def trend(self, query: Query) -> Floats:
        """(N,) what trend and age of the items are now to one user."""
        return self._with_fresh(query, self._trend.part(query), np.inf)

    def frozen_trend(self, query: Query) -> Floats:
        """(N,) what the trend of the events before ``frozen_at`` is now to one user."""
        assert self._frozen is not None
        return self._with_fresh(query, self._frozen.part(query), self._frozen_at)

    def _with_fresh(self, query: Query, trend: Floats, until: float) -> Floats:
        scene = self._scene
        fresh = fresh_part(query, scene.available_from, self._now, scene.trend_half_lives_s)
        if fresh is not None:
            return trend + fresh
        hope = self._hope[until].part(self._now)
        return trend if hope is None else trend + hope

    def item_side(self, query: Query) -> Floats | None:
        """(N,) what the profiles of the items are now to one user; None where there are none."""
        return None if self._item_side is None else self._item_side.part(query.vectors[0])

    def popular(self) -> dict[str, Floats]:
        """Name -> (N,) counts now."""
        return {name: part.counts for name, part in self._popular.items()}


class _Hope:
    """Optimism for new items, by the events before ``until``."""

    def __init__(self, scene: Scene, until: float) -> None:
        self._scene, self._replay = scene, None
        if scene.coldstart.optimism.weight > 0.0 and bool(np.isfinite(scene.available_from).any()):
            end = int(np.searchsorted(scene.ts, until, side="left"))
            log = (scene.item[:end], scene.ts[:end], np.ones(end))
            self._replay = TrendReplay(*log, scene.n_items, scene.trend_half_lives_s[-1:])

    def part(self, now: float) -> Floats | None:
        """(N,) at a moment that never goes back; None where there is none."""
        if self._replay is None:
            return None
        self._replay.advance_to(now)
        born, says = self._scene.available_from, np.isneginf(self._scene.known_after)
        exposure = self._replay.mass()[:, 0]
        return optimism_part(born, says, exposure, now, self._scene.coldstart.optimism)


class _UsedTrend:
    """The trend of the events before ``until``; only half-lives that weigh are kept."""

    def __init__(self, scene: Scene, used: Bools, until: float) -> None:
        end = int(np.searchsorted(scene.ts, until, side="left"))
        self._used = np.flatnonzero(used)
        self._warm = scene.items.warm
        self._none = np.zeros((scene.n_items, 0), np.float32)
        self._replay: TrendReplay | None = None
        self._now: Floats | None = None
        if len(self._used) > 0:
            log = (scene.item[:end], scene.ts[:end], np.ones(end))
            lives = np.array(scene.trend_half_lives_s)[self._used]
            self._replay = TrendReplay(*log, scene.n_items, lives.tolist())

    def advance_to(self, now: float) -> None:
        """Count every event before ``now``."""
        self._now = None
        if self._replay is not None:
            self._replay.advance_to(now)

    def part(self, query: Query) -> Floats:
        """(N,) weighted sum of the features now."""
        if self._now is None:
            self._now = self._none if self._replay is None else self._replay.features()
        used = query._replace(
            warm_trend=query.warm_trend[:, self._used], cold_trend=query.cold_trend[:, self._used]
        )
        return trend_part(used, self._warm, self._now)


def scene_of(
    events: EventArrays,
    positive: Bools,
    catalog: Catalog,
    items: ItemTable,
    model: InterestModel,
    trend_half_lives_s: tuple[float, ...],
) -> Scene:
    """The scene of a whole log.

    Args:
        events: T events.
        positive: (T,) which of them count as popularity.
        catalog: N items.
        items: their vectors.
        model: of the bundle.
        trend_half_lives_s: of the bundle.
    """
    known = events.item != UNKNOWN_ITEM
    first = np.full(len(catalog), np.inf)
    np.minimum.at(first, events.item[known], events.ts[known])
    counted = np.flatnonzero(known & positive)
    order = counted[np.argsort(events.ts[counted], kind="stable")]
    return Scene(
        items=items,
        available_from=catalog.available_from,
        available_until=catalog.available_until,
        known_after=np.where(catalog.has_text, -np.inf, first),
        item=events.item[order],
        ts=events.ts[order],
        model=model,
        trend_half_lives_s=trend_half_lives_s,
    )


def parts_of(asked: Asked, n_parts: int) -> list[Asked]:
    """Cut queries into runs of about the same length, none empty."""
    cuts = np.linspace(0, len(asked), max(1, min(n_parts, len(asked))) + 1).astype(int)
    return [asked.part(a, b) for a, b in pairwise(cuts) if b > a]


def stacked(parts: list[dict[str, npt.NDArray[Any]]]) -> dict[str, npt.NDArray[Any]]:
    """Results of the runs, joined along their first axis."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
