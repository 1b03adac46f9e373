"""Drift: one user's future is spliced onto another's past; how soon does the slate follow?

In a world of topics, user *a* likes one until the split, and from there on does what user *b* does,
who likes another. After each of the new events a slate of ten is asked for; it follows once half of
it is of the new topic. Popularity does not follow at all, which is what it is here to show.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.evaluation.baselines import POPULAR_WINDOWS_S
from recsys.evaluation.split import Queries
from recsys.events import EventArrays
from recsys.settings import DAY_S
from recsys.testing.worlds import World, WorldSize, drift
from tests.benchmarks.peers.environment import run_peers
from tests.benchmarks.peers.exchange import read_answer
from tests.benchmarks.peers.writing import asking, write_folder
from tests.benchmarks.quality_parts.asked_peers import record_of
from tests.benchmarks.quality_parts.bench import Bench, Found
from tests.benchmarks.quality_parts.judged import OURS
from tests.benchmarks.quality_parts.material import TIME_SHARE, Log, of_world
from tests.benchmarks.quality_parts.others import (
    ZERO_SHOT,
    fit_others,
    narrowed,
    others,
)
from tests.benchmarks.quality_parts.systems import Answered, Ours, System, by_time, rank
from tests.benchmarks.quality_parts.trained import train

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

N_PAIRS, N_STEPS, K = 200, 20, 10
FOLLOWED = 0.5
SETTINGS = ("trend.half_lives_s=[7200, 28800, 86400, 259200, 864000, 2592000]",)
SPAN_S = 60 * DAY_S
N_ITEMS = 1_200
"""At any scale: of a small topic everything is soon seen, and then no slate can be full of it."""


@dataclass(frozen=True)
class Spliced:
    """P users with a past of one and a future of another."""

    log: Log
    """Of these users alone."""
    queries: Queries
    """P x (steps + 1), user by user: before the first new event, after it, after the second, ..."""
    topic: Ints
    """(P,) the new topic."""


def run(bench: Bench) -> Found:
    """Train on the world before the split; one seed."""
    settings = bench.settings(*SETTINGS)
    size = WorldSize(
        n_users=bench.scaled(800),
        n_items=N_ITEMS,
        n_events=bench.scaled(800) * 200,
        span_s=SPAN_S,
    )
    world = drift(size, np.random.default_rng(settings.evaluation.seed))
    log = of_world("drift", world, settings)
    start = log.split_time
    served = train(narrowed(log, start), settings, bench.say, bench.minutes)
    found = spliced(log, world, start, np.random.default_rng(settings.evaluation.seed))
    order = np.argsort(found.queries.as_of, kind="stable")
    queries = by_time(found.queries)
    scene = replace(
        served.scene(found.log), item=served.scene(log).item, ts=served.scene(log).ts
    )  # the crowd is that of the whole world
    systems: dict[str, System] = {OURS: Ours(found.log, scene, queries, served.interest)}
    fitted = fit_others(narrowed(log, start))
    systems.update(others(found.log, scene, queries, fitted, POPULAR_WINDOWS_S))
    systems.update(_peers(bench, log, found.log, queries))
    slates = rank(found.log, scene, queries, systems, K).lists
    assert slates is not None
    back = np.argsort(order)
    shares = new_share(slates[back], world.truth["item_topic"], found.topic)
    table = {name: _row(shares[:, :, s]) for s, name in enumerate(systems)}
    for name in (OURS, ZERO_SHOT, "popular-7-days", *bench.peer_systems):
        bench.say(f"drift, {name}: {table[name]}")
    return {
        "figures": {},
        "details": {
            "table": table,
            "n_pairs": len(found.topic),
            "n_steps": N_STEPS,
            "world": {"n_users": size.n_users, "n_items": N_ITEMS, "n_events": size.n_events},
            "seeds": [served.notes()],
        },
    }


def _peers(bench: Bench, log: Log, steps: Log, queries: Queries) -> dict[str, System]:
    """What other programs, trained on the world before the split, answer at the same moments.

    Args:
        bench: says which are asked, and where.
        log: the world.
        steps: the spliced users.
        queries: theirs, by time.
    """
    if bench.peers is None or not bench.peer_systems:
        return {}
    plain = asking(record_of(log), f"time:{TIME_SHARE}")
    record = record_of(replace(log, events=_beside(log.events, steps.events)))
    more = np.zeros(len(steps.events), bool)
    moved = replace(
        queries,
        user=queries.user + len(log.events.user_ids),
        history_end=queries.history_end + len(log.events),
    )
    asked = replace(
        plain,
        name="drift",
        queries=moved,
        train=np.append(plain.train, more),
        pilot=np.append(plain.pilot, more),
    )
    folder = bench.peers / "drift-steps"
    theirs = write_folder(folder, record, asked)
    run_peers(folder, bench.peer_systems)
    return {
        name: Answered(read_answer(folder, name, theirs, len(queries)), len(log.catalog))
        for name in bench.peer_systems
    }


def _beside(first: EventArrays, second: EventArrays) -> EventArrays:
    """The users of two logs, those of the second after those of the first."""
    return EventArrays(
        user_ids=[*first.user_ids, *second.user_ids],
        bounds=np.append(first.bounds, second.bounds[1:] + first.bounds[-1]),
        user=np.append(first.user, second.user + len(first.user_ids)).astype(np.int32),
        **{
            name: np.append(getattr(first, name), getattr(second, name))
            for name in ("item", "kind", "ts", "value")
        },
    )


def spliced(log: Log, world: World, start: float, rng: np.random.Generator) -> Spliced:
    """Draw pairs of users whose tastes at the split differ, and join past and future.

    A future only counts up to its own next change of taste, and has ``N_STEPS`` events by then.
    """
    topics, switches = world.truth["user_topics"], world.truth["switches"]
    number = np.array([int(user_id[1:]) for user_id in log.events.user_ids])
    taste = (switches[number] <= start).sum(axis=1)
    liked = topics[number, taste]
    ends = np.append(switches, np.full((len(switches), 1), np.inf), axis=1)[number, taste]
    events, bounds = log.events, log.events.bounds
    cut = np.array([_first(events, u, start) for u in range(len(number))])
    stop = np.array([_first(events, u, end) for u, end in enumerate(ends)])
    givers = np.flatnonzero(stop - cut >= N_STEPS)
    takers = np.flatnonzero(cut - bounds[:-1] >= K)
    parts, topic = [], []
    for _ in range(N_PAIRS if len(givers) and len(takers) else 0):
        a, b = rng.choice(takers), rng.choice(givers)
        if liked[a] != liked[b]:
            parts.append(np.r_[bounds[a] : cut[a], cut[b] : cut[b] + N_STEPS])
            topic.append(liked[b])
    joined = _joined(events, parts)
    return Spliced(replace(log, events=joined), _steps(joined), np.array(topic, np.int64))


def _first(events: EventArrays, user: int, ts: float) -> int:
    """The first event of a user at or after a moment."""
    run = slice(int(events.bounds[user]), int(events.bounds[user + 1]))
    return run.start + int(np.searchsorted(events.ts[run], ts))


def _joined(events: EventArrays, parts: list[npt.NDArray[Any]]) -> EventArrays:
    rows = np.concatenate([*parts, np.zeros(0, np.int64)]).astype(np.int64)
    lengths = [len(part) for part in parts]
    return EventArrays(
        user_ids=[f"spliced{n}" for n in range(len(parts))],
        bounds=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        user=np.repeat(np.arange(len(parts)), lengths).astype(np.int32),
        item=events.item[rows],
        kind=events.kind[rows],
        ts=events.ts[rows],
        value=events.value[rows],
    )


def _steps(events: EventArrays) -> Queries:
    """Every user's moments, right after each of the last ``N_STEPS`` events and before them."""
    n_users = len(events.user_ids)
    user = np.repeat(np.arange(n_users), N_STEPS + 1)
    end = (events.bounds[1:, None] - N_STEPS + np.arange(N_STEPS + 1)).ravel()
    as_of = events.ts[np.maximum(end - 1, 0)] + 1.0
    nothing = np.zeros(0, np.int64)
    bounds = np.zeros(len(user) + 1, np.int64)
    return Queries(user.astype(np.int64), as_of, end.astype(np.int64), bounds, nothing)


def new_share(
    slates: npt.NDArray[np.int32], item_topic: npt.NDArray[np.integer[Any]], topic: Ints
) -> npt.NDArray[np.float64]:
    """(P, steps + 1, S) share of each slate that is of the user's new topic.

    Args:
        slates: (P x (steps + 1), S, k) user by user.
        item_topic: (N,).
        topic: (P,).
    """
    by_user = slates.reshape(len(topic), N_STEPS + 1, *slates.shape[1:])
    is_new = (item_topic[np.maximum(by_user, 0)] == topic[:, None, None, None]) & (by_user >= 0)
    found: npt.NDArray[np.float64] = is_new.mean(axis=3)
    return found


def _row(share: npt.NDArray[np.float64]) -> dict[str, Any]:
    """Of one system: (P, steps + 1) shares become figures.

    The first item is waited for where none was in the slate before the switch.
    """
    after = events_to_follow(share)
    followed = np.isfinite(after)
    foreign = share[share[:, 0] == 0.0] if len(share) else share
    first = events_to_follow(foreign, least=0.0)
    return {
        "first_events": _none_if_never(float(np.median(first))) if len(first) else None,
        "median_events": _none_if_never(float(np.median(after))) if len(after) else None,
        "followed_share": round(float(followed.mean()), 4) if len(after) else None,
        **{
            f"share_after_{n}": round(float(share[:, n].mean()), 4)
            for n in (0, 1, 2, 3, 5, 10, N_STEPS)
            if len(share)
        },
    }


def events_to_follow(
    share: npt.NDArray[np.float64], least: float = FOLLOWED
) -> npt.NDArray[np.float64]:
    """(P,) events until more than nothing, and at least ``least``, of a slate is of the new taste.

    Args:
        share: (P, steps + 1) of the slates.
        least: share of a slate; 0.0 = its first item.

    Returns:
        inf = never.
    """
    reached = (share >= least) & (share > 0.0)
    return np.where(reached.any(axis=1), reached.argmax(axis=1), np.inf)


def _none_if_never(value: float) -> float | None:
    return value if np.isfinite(value) else None
