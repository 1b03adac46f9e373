"""The protocol: every system answers the same queries from the same past.

*New to the user*: candidates are all items that could be had, less those that the user has touched.
*Repeats*: candidates are the touched items, and the user's own habits are a part of the score.
Every query sees exactly the events before it (rolling); ``halflife-frozen`` sees none from the
split on, as a system would that is never updated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.coldstart.told import ItemFacts, not_wished, told_parts
from recsys.evaluation.baselines import DECAYED_MEAN, LAST_ITEM, POPULAR_WINDOWS_S
from recsys.evaluation.ranks import ranks_of
from recsys.evaluation.scene import Asked, Bools, Crowd, Ints, Scene
from recsys.evaluation.split import Queries
from recsys.evaluation.touched import Touches, last_positive, own_mass, recent_before
from recsys.events import EventArrays
from recsys.interest.model import ItemTable, Query, nobody
from recsys.interest.replay import ReplayQueries, ends_before, replay
from recsys.interest.zero_shot import ZeroShot
from recsys.ranking import Floats, default_weights, interest_parts, top_k, total
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
    """Look up what is known of the users of some queries: what we ask for, and what they touched.

    Returns:
        The queries sorted by time; of one instant in their old order.
    """
    queries = queries.pick(np.argsort(queries.as_of, kind="stable"))
    bounds, seen = touches.before(queries.user, queries.history_end)
    asked = ReplayQueries(queries.user, queries.history_end, queries.as_of)
    unknown = nobody(scene.model, settings.interest, scene.items.n_dims)
    found = Asked(queries, bounds, seen, nobody=unknown)
    return _with_ours(found, OURS, events, scene, asked, settings)


def with_baselines(
    asked: Asked,
    events: EventArrays,
    scene: Scene,
    positive: Bools,
    settings: Settings,
    frozen_at: float | None,
) -> Asked:
    """Add the query vectors of the other content systems, of ``FROZEN`` where it is asked for."""
    queries, items = asked.queries, ItemTable.all_warm(scene.items.directions)
    last = last_positive(events, positive, queries)
    even = ZeroShot(settings.interest, default_weights(settings.interest, settings.trend))
    rolling = ReplayQueries(queries.user, queries.history_end, queries.as_of)
    mean = replay(events, rolling, even, items, settings.interest)
    found = items.vectors[np.maximum(last, 0)]
    content = {
        LAST_ITEM: np.where(last[:, None] >= 0, found, np.float32(0)),
        DECAYED_MEAN: mean.vectors[:, 0],
    }
    asked = replace(asked, content=content)
    if frozen_at is None:
        return asked
    ends = ends_before(events, queries.user, np.full(len(queries), frozen_at))
    past = ReplayQueries(queries.user, np.minimum(ends, queries.history_end), queries.as_of)
    return _with_ours(asked, FROZEN, events, scene, past, settings)


def _with_ours(
    asked: Asked,
    name: str,
    events: EventArrays,
    scene: Scene,
    moments: ReplayQueries,
    settings: Settings,
) -> Asked:
    """Add a system of ours that sees the histories up to some moments."""
    known = (scene.model, scene.items, settings.interest, scene.texts)
    query = replay(events, moments, *known)
    recent = dict(asked.recent)
    if scene.neighbours is not None:
        user = np.asarray(moments.user, np.int64)
        recent[name] = recent_before(events, user, moments.end, settings.interest, settings.data)
    return replace(asked, u={**asked.u, name: query}, recent=recent)


def with_habits(
    asked: Asked, events: EventArrays, positive: Bools, half_lives_s: Sequence[float]
) -> Asked:
    """Add the users' own masses of the items that they touched."""
    touched = (asked.seen_bounds, asked.seen)
    banks = (*half_lives_s, _FOREVER_S)
    mass = own_mass(events, positive, asked.queries, touched, banks)
    return replace(asked, own=np.log1p(mass[:, :-1]), own_count=mass[:, -1])


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
    crowd = Crowd(scene, _used(asked), frozen_at)
    for q, dots in _walk(scene, asked):
        as_of, target, where, seen = _query(asked, q)
        crowd.advance_to(as_of)
        allowed = scene.candidates(as_of)
        allowed[seen] = False
        n_candidates[q] = allowed.sum() + (~allowed[target]).sum()
        scores = {
            **{name: dots[name] for name in asked.content},
            **crowd.popular(),
            OURS: _ours(scene, asked, q, dots, crowd),
            TREND: crowd.trend(_unknown(asked)),
        }
        if frozen_at is not None:
            trend = crowd.frozen_trend(asked.u[FROZEN].of(q))
            scores[FROZEN] = _sum(scene, asked, q, (FROZEN, dots[FROZEN], trend))
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
    crowd = Crowd(scene, _used(asked))
    for q, dots in _walk(scene, asked):
        as_of, target, where, seen = _query(asked, q)
        crowd.advance_to(as_of)
        order = np.argsort(seen)  # catalog order, which breaks ties
        rows = seen[order]
        habits = slice(asked.seen_bounds[q], asked.seen_bounds[q + 1])
        own = _own_part(scene, asked.own[habits])[order]
        scores = {name: counts[rows] for name, counts in crowd.popular().items()}
        scores[OURS] = _ours(scene, asked, q, dots, crowd)[rows] + own
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
    for q, scored, allowed in walk_ours(scene, asked, exclude_seen):
        seen = asked.seen[asked.seen_bounds[q] : asked.seen_bounds[q + 1]]
        if not exclude_seen and asked.own is not None:
            habits = asked.own[asked.seen_bounds[q] : asked.seen_bounds[q + 1]]
            scored[seen] += _own_part(scene, habits)
        best = top_k(scored, allowed, k)
        rows[q, : len(best)], scores[q, : len(best)] = best, scored[best]
    return {"rows": rows, "scores": scores}


def walk_ours(
    scene: Scene, asked: Asked, exclude_seen: bool = True
) -> Iterator[tuple[int, Floats, Bools]]:
    """Each query with (N,) our scores and (N,) what may be recommended; by time."""
    crowd = Crowd(scene, _used(asked), popular=False)
    for q, dots in _walk(scene, asked):
        as_of, _, _, seen = _query(asked, q)
        crowd.advance_to(as_of)
        allowed = scene.candidates(as_of)
        if asked.told is not None:
            unwished = not_wished(asked.told[q], scene.items.directions, scene.coldstart)
            allowed &= True if unwished is None else ~unwished
        if exclude_seen:
            allowed[seen] = False
        yield q, _ours(scene, asked, q, dots, crowd), allowed


def _ours(scene: Scene, asked: Asked, q: int, dots: dict[str, Floats], crowd: Crowd) -> Floats:
    """(N,) our scores of one query."""
    query = asked.u[OURS].of(q)
    scores = _sum(scene, asked, q, (OURS, dots[OURS], crowd.trend(query)))
    side = crowd.item_side(query)
    return scores if side is None else scores + side


def _sum(scene: Scene, asked: Asked, q: int, found: tuple[str, Floats, Floats]) -> Floats:
    """(N,) interest and trend part of a system of ours with its neighbour part."""
    name, interest, trend = found
    parts = {"interest": interest, "trend": trend}
    if scene.neighbours is not None:
        item, ts, importance = asked.recent[name].of(q)
        as_of = float(asked.queries.as_of[q])
        parts["neighbours"] = scene.neighbours.part(item, ts, as_of, importance)
    parts.update(_told(scene, asked, q))
    return total(parts)


def _told(scene: Scene, asked: Asked, q: int) -> dict[str, Floats]:
    """What is known of a user beside events; optimism is a part of the trend here."""
    if asked.told is None:
        return {}
    as_of, n_seen = float(asked.queries.as_of[q]), int(np.diff(asked.seen_bounds[q : q + 2])[0])
    nothing = np.zeros((scene.n_items, 1), np.float32)
    says = np.isneginf(scene.known_after)
    items = ItemFacts(scene.items.directions, scene.available_from, says, nothing, as_of)
    given = (scene.segments, n_seen, scene.coldstart)
    return told_parts(asked.told[q], items, *given, is_ageless=False)


def _used(asked: Asked) -> Bools:
    """(Ht,) half-lives of the trend that weigh in any query."""
    used: Bools = _unknown(asked).uses_trend
    for query in asked.u.values():
        used = used | query.uses_trend
    return used


def _unknown(asked: Asked) -> Query:
    assert asked.nobody is not None
    return asked.nobody


def _own_part(scene: Scene, own: Floats) -> Floats:
    """(n,) weighted own masses (n, H) of touched items, in the order of the half-lives."""
    habits = np.zeros(len(own), np.float32)
    for h, weight in enumerate(scene.own):
        habits += weight * own[:, h]
    return habits


def _walk(scene: Scene, asked: Asked) -> Iterator[tuple[int, dict[str, Floats]]]:
    """Each query with its (N,) dot products per system; multiplied a block at a time."""
    for start in range(0, len(asked), _BLOCK):
        some, directions = slice(start, start + _BLOCK), scene.items.directions
        vectors = scene.items.vectors
        block = {
            **{name: interest_parts(u.vectors[some], vectors) for name, u in asked.u.items()},
            **{name: interest_parts(u[some], directions) for name, u in asked.content.items()},
        }
        for q in range(start, min(start + _BLOCK, len(asked))):
            yield q, {name: dots[q - start] for name, dots in block.items()}


def _query(asked: Asked, q: int) -> tuple[float, Ints, slice, Ints]:
    """One query: its time, its right answers, their places among all, and what was touched."""
    where = slice(int(asked.queries.target_bounds[q]), int(asked.queries.target_bounds[q + 1]))
    seen = asked.seen[asked.seen_bounds[q] : asked.seen_bounds[q + 1]]
    return float(asked.queries.as_of[q]), asked.queries.target[where], where, seen
