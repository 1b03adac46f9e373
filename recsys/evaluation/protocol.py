"""The protocol: every system answers the same queries from the same past.

*New to the user*: candidates are all items that could be had, less those that the user has touched.
*Repeats*: candidates are the touched items, and the user's own habits are a part of the score.
Every query sees exactly the events before it (rolling); ``halflife-frozen`` sees none from the
split on, as a system would that is never updated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.evaluation.baselines import DECAYED_MEAN, LAST_ITEM, POPULAR_WINDOWS_S
from recsys.evaluation.ranks import ranks_of
from recsys.evaluation.scene import Asked, Bools, Crowd, Ints, Scene
from recsys.evaluation.split import Queries
from recsys.evaluation.touched import Touches, last_positive, own_mass
from recsys.events import EventArrays
from recsys.interest.replay import ReplayQueries, ends_before, replay
from recsys.ranking import Floats, default_weights, interest_parts, top_k
from recsys.settings import Settings

OURS = "halflife"
FROZEN = "halflife-frozen"
TREND = "trend-only"
OWN_COUNT = "own-count"

REPEAT_SYSTEMS = (OURS, OWN_COUNT, *POPULAR_WINDOWS_S)

_BLOCK = 32
_FOREVER_S = 1e30

Result = dict[str, npt.NDArray[Any]]


def new_systems(frozen_at: float | None) -> tuple[str, ...]:
    """The systems that ``score_new`` compares; ``FROZEN`` only where there is a split time."""
    frozen = () if frozen_at is None else (FROZEN,)
    return (OURS, *frozen, TREND, *POPULAR_WINDOWS_S, LAST_ITEM, DECAYED_MEAN)


def ask(
    events: EventArrays, scene: Scene, queries: Queries, touches: Touches, settings: Settings
) -> Asked:
    """Look up what is known of the users of some queries: our query vectors and what they touched.

    Returns:
        The queries sorted by time; of one instant in their old order.
    """
    queries = queries.pick(np.argsort(queries.as_of, kind="stable"))
    bounds, seen = touches.before(queries.user, queries.history_end)
    asked = ReplayQueries(queries.user, queries.history_end, queries.as_of)
    u = replay(events, asked, scene.vectors, scene.weights, settings.interest)
    return Asked(queries, bounds, seen, {OURS: u})


def with_baselines(
    asked: Asked,
    events: EventArrays,
    scene: Scene,
    positive: Bools,
    settings: Settings,
    frozen_at: float | None,
) -> Asked:
    """Add the query vectors of the other content systems, of ``FROZEN`` where it is asked for."""
    queries, vectors = asked.queries, scene.vectors
    last = last_positive(events, positive, queries)
    even = default_weights(settings.interest, settings.trend)
    rolling = ReplayQueries(queries.user, queries.history_end, queries.as_of)
    u = {
        LAST_ITEM: np.where(last[:, None] >= 0, vectors[np.maximum(last, 0)], np.float32(0)),
        DECAYED_MEAN: replay(events, rolling, vectors, even, settings.interest),
    }
    if frozen_at is not None:
        ends = ends_before(events, queries.user, np.full(len(queries), frozen_at))
        past = ReplayQueries(queries.user, np.minimum(ends, queries.history_end), queries.as_of)
        u[FROZEN] = replay(events, past, vectors, scene.weights, settings.interest)
    return Asked(queries, asked.seen_bounds, asked.seen, {**asked.u, **u})


def with_habits(
    asked: Asked, events: EventArrays, positive: Bools, half_lives_s: Sequence[float]
) -> Asked:
    """Add the users' own masses of the items that they touched."""
    touched = (asked.seen_bounds, asked.seen)
    banks = (*half_lives_s, _FOREVER_S)
    mass = own_mass(events, positive, asked.queries, touched, banks)
    own = np.log1p(mass[:, :-1])
    return Asked(asked.queries, *touched, asked.u, own, mass[:, -1])


def score_new(scene: Scene, asked: Asked, k: int, frozen_at: float | None) -> Result:
    """Every system's ranks and slates for items that are new to the user.

    Returns:
        ``ranks`` (M, S), ``lists`` (Q, S, k; -1 = an empty place), ``n_candidates`` (Q,), with S
        in the order of ``new_systems(frozen_at)``.
    """
    systems = new_systems(frozen_at)
    n_systems = len(systems)
    ranks = np.zeros((len(asked.queries.target), n_systems), np.int64)
    lists = np.full((len(asked), n_systems, k), -1, np.int32)
    n_candidates = np.zeros(len(asked), np.int64)
    crowd = Crowd(scene, frozen_at)
    for q, dots in _walk(scene, asked):
        as_of, target, where, seen = _query(asked, q)
        crowd.advance_to(as_of)
        allowed = scene.candidates(as_of)
        allowed[seen] = False
        n_candidates[q] = allowed.sum() + (~allowed[target]).sum()
        trend = crowd.trend()
        scores = {
            **{name: dots[name] for name in (LAST_ITEM, DECAYED_MEAN)},
            **crowd.popular(),
            OURS: dots[OURS] + trend,
            TREND: trend,
        }
        if frozen_at is not None:
            scores[FROZEN] = dots[FROZEN] + crowd.frozen_trend()
        for s, name in enumerate(systems):
            ranks[where, s] = ranks_of(scores[name], allowed, target)
            best = top_k(scores[name], allowed, k)
            lists[q, s, : len(best)] = best
    return {"ranks": ranks, "lists": lists, "n_candidates": n_candidates}


def score_repeats(scene: Scene, asked: Asked) -> Result:
    """Every system's ranks among the items that the user has touched.

    Returns:
        ``ranks`` (M, S) and ``n_candidates`` (Q,), with S in the order of ``REPEAT_SYSTEMS``.
    """
    assert asked.own is not None and asked.own_count is not None
    ranks = np.zeros((len(asked.queries.target), len(REPEAT_SYSTEMS)), np.int64)
    n_candidates = np.zeros(len(asked), np.int64)
    crowd = Crowd(scene)
    for q, dots in _walk(scene, asked):
        as_of, target, where, seen = _query(asked, q)
        crowd.advance_to(as_of)
        order = np.argsort(seen)  # catalog order, which breaks ties
        rows = seen[order]
        habits = slice(asked.seen_bounds[q], asked.seen_bounds[q + 1])
        own = _own_part(scene, asked.own[habits])[order]
        scores = {name: counts[rows] for name, counts in crowd.popular().items()}
        scores[OURS] = dots[OURS][rows] + crowd.trend()[rows] + own
        scores[OWN_COUNT] = asked.own_count[habits][order]
        allowed = scene.candidates(as_of)[rows]
        place = np.searchsorted(rows, target)
        n_candidates[q] = allowed.sum() + (~allowed[place]).sum()
        for s, name in enumerate(REPEAT_SYSTEMS):
            ranks[where, s] = ranks_of(scores[name], allowed, place)
    return {"ranks": ranks, "n_candidates": n_candidates}


def recommend(scene: Scene, asked: Asked, k: int, exclude_seen: bool = True) -> Result:
    """Our slates.

    Args:
        scene: the past.
        asked: the queries; ``own`` is read where seen items may come back.
        k: most items in a slate.
        exclude_seen: leave out what the user has touched.

    Returns:
        ``rows`` (Q, k) int32 (-1 = an empty place) and ``scores`` (Q, k) float32, best first.
    """
    rows = np.full((len(asked), k), -1, np.int32)
    scores = np.zeros((len(asked), k), np.float32)
    crowd = Crowd(scene, popular=False)
    for q, dots in _walk(scene, asked):
        as_of, _, _, seen = _query(asked, q)
        crowd.advance_to(as_of)
        allowed = scene.candidates(as_of)
        total = dots[OURS] + crowd.trend()
        if exclude_seen:
            allowed[seen] = False
        elif asked.own is not None:
            habits = asked.own[asked.seen_bounds[q] : asked.seen_bounds[q + 1]]
            total[seen] += _own_part(scene, habits)
        best = top_k(total, allowed, k)
        rows[q, : len(best)], scores[q, : len(best)] = best, total[best]
    return {"rows": rows, "scores": scores}


def _own_part(scene: Scene, own: Floats) -> Floats:
    """(n,) weighted own masses (n, H) of touched items, in the order of the half-lives."""
    total = np.zeros(len(own), np.float32)
    for h, weight in enumerate(scene.weights.own):
        total += weight * own[:, h]
    return total


def _walk(scene: Scene, asked: Asked) -> Iterator[tuple[int, dict[str, Floats]]]:
    """Each query with its (N,) dot products per system; multiplied a block at a time."""
    for start in range(0, len(asked), _BLOCK):
        block = {
            name: interest_parts(u[start : start + _BLOCK], scene.vectors)
            for name, u in asked.u.items()
        }
        for q in range(start, min(start + _BLOCK, len(asked))):
            yield q, {name: dots[q - start] for name, dots in block.items()}


def _query(asked: Asked, q: int) -> tuple[float, Ints, slice, Ints]:
    """One query: its time, its right answers, their places among all, and what was touched."""
    where = slice(int(asked.queries.target_bounds[q]), int(asked.queries.target_bounds[q + 1]))
    seen = asked.seen[asked.seen_bounds[q] : asked.seen_bounds[q + 1]]
    return float(asked.queries.as_of[q]), asked.queries.target[where], where, seen
