"""The past as plain arrays: what every query of an evaluation or a batch recommendation reads.

A ``Scene`` is the same for all queries, and ``Asked`` holds what is known of each; both are NumPy
only, so they travel to many processes cheaply. ``Crowd`` walks the scene through rising moments.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.catalog import Catalog
from recsys.evaluation.baselines import POPULAR_WINDOWS_S, PopularReplay
from recsys.evaluation.split import Queries
from recsys.events import UNKNOWN_ITEM, EventArrays
from recsys.ranking import Floats, RankingWeights, trend_part
from recsys.trend import TrendReplay

Ints = npt.NDArray[np.int64]
Times = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Scene:
    """Items, and everybody's positive events sorted by time."""

    vectors: Floats
    """(N, D) item vectors."""
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
    weights: RankingWeights
    trend_half_lives_s: tuple[float, ...]

    @property
    def n_items(self) -> int:
        """N."""
        return len(self.vectors)

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
    u: dict[str, Floats] = field(default_factory=dict)
    """Name of a system -> (Q, D) its queries."""
    own: Floats | None = None
    """(P, H) log(1 + own mass) of the touched items."""
    own_count: Floats | None = None
    """(P,) how often the user chose each touched item."""

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
            u={name: u[start:stop] for name, u in self.u.items()},
            own=None if self.own is None else self.own[first:last],
            own_count=None if self.own_count is None else self.own_count[first:last],
        )


class Crowd:
    """Everybody's behaviour, strictly before each of many rising moments.

    Args:
        scene: the past.
        frozen_at: also keep the trend of the events before this moment alone; None = do not.
        popular: also count popularity in windows.
    """

    def __init__(self, scene: Scene, frozen_at: float | None = None, popular: bool = True) -> None:
        self._trend = _WeightedTrend(scene, np.inf)
        self._frozen = None if frozen_at is None else _WeightedTrend(scene, frozen_at)
        windows = POPULAR_WINDOWS_S if popular else {}
        self._popular = {
            name: PopularReplay(scene.item, scene.ts, scene.n_items, window_s)
            for name, window_s in windows.items()
        }

    def advance_to(self, now: float) -> None:
        """Count every event before ``now``."""
        for part in (self._trend, self._frozen, *self._popular.values()):
            if part is not None:
                part.advance_to(now)

    def trend(self) -> Floats:
        """(N,) weighted trend now."""
        return self._trend.scores()

    def frozen_trend(self) -> Floats:
        """(N,) weighted trend now of the events before ``frozen_at``."""
        assert self._frozen is not None
        return self._frozen.scores()

    def popular(self) -> dict[str, Floats]:
        """Name -> (N,) counts now."""
        return {name: part.counts for name, part in self._popular.items()}


class _WeightedTrend:
    """The weighted trend of the events before ``until``; only half-lives that weigh are kept."""

    def __init__(self, scene: Scene, until: float) -> None:
        weights, end = scene.weights, int(np.searchsorted(scene.ts, until, side="left"))
        used = np.flatnonzero(weights.trend > 0)
        lives = np.array(scene.trend_half_lives_s)[used]
        self._weights = RankingWeights(weights.interest, weights.negative, weights.trend[used])
        self._none = np.zeros(scene.n_items, np.float32)
        self._replay: TrendReplay | None = None
        if len(used) > 0:
            log = (scene.item[:end], scene.ts[:end], np.ones(end))
            self._replay = TrendReplay(*log, scene.n_items, lives.tolist())

    def advance_to(self, now: float) -> None:
        """Count every event before ``now``."""
        if self._replay is not None:
            self._replay.advance_to(now)

    def scores(self) -> Floats:
        """(N,) weighted sum of the features now."""
        if self._replay is None:
            return self._none
        return trend_part(self._replay.features(), self._weights)


def scene_of(
    events: EventArrays,
    positive: Bools,
    catalog: Catalog,
    vectors: Floats,
    weights: RankingWeights,
    trend_half_lives_s: tuple[float, ...],
) -> Scene:
    """The scene of a whole log.

    Args:
        events: T events.
        positive: (T,) which of them count as popularity.
        catalog: N items.
        vectors: (N, D).
        weights: of the bundle.
        trend_half_lives_s: of the bundle.
    """
    known = events.item != UNKNOWN_ITEM
    first = np.full(len(catalog), np.inf)
    np.minimum.at(first, events.item[known], events.ts[known])
    counted = np.flatnonzero(known & positive)
    order = counted[np.argsort(events.ts[counted], kind="stable")]
    return Scene(
        vectors=np.ascontiguousarray(vectors, np.float32),
        available_from=catalog.available_from,
        available_until=catalog.available_until,
        known_after=np.where(catalog.has_text, -np.inf, first),
        item=events.item[order],
        ts=events.ts[order],
        weights=weights,
        trend_half_lives_s=trend_half_lives_s,
    )


def parts_of(asked: Asked, n_parts: int) -> list[Asked]:
    """Cut queries into runs of about the same length, none empty."""
    cuts = np.linspace(0, len(asked), max(1, min(n_parts, len(asked))) + 1).astype(int)
    return [asked.part(a, b) for a, b in pairwise(cuts) if b > a]


def stacked(parts: list[dict[str, npt.NDArray[Any]]]) -> dict[str, npt.NDArray[Any]]:
    """Results of the runs, joined along their first axis."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
