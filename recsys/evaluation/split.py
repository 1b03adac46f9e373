"""Splits: which moments are asked about, what is known at each, and what the right answers are.

*Time split* at T: every positive event from T on is asked for at its own time; all positive events
of one user and instant are one query with several right answers; the history is what the user did
strictly before. *Leave-one-out*: the user's last positive event by (ts, seq), the history is
everything before it in that order, or (``strict``) everything at an earlier time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.errors import DataError
from recsys.events import UNKNOWN_ITEM, EventArrays

Ints = npt.NDArray[np.int64]
Times = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Queries:
    """Q moments with M right answers, sorted by (user, history_end)."""

    user: Ints
    """(Q,) index into ``EventArrays.user_ids``."""
    as_of: Times
    """(Q,) Unix seconds."""
    history_end: Ints
    """(Q,) offset into the events; the history is ``bounds[user]:history_end``."""
    target_bounds: Ints
    """(Q + 1,) offsets into ``target``."""
    target: Ints
    """(M,) catalog rows of the right answers, unique in one query."""

    def __len__(self) -> int:
        return len(self.user)

    @property
    def target_query(self) -> Ints:
        """(M,) the query of each target."""
        return np.repeat(np.arange(len(self)), np.diff(self.target_bounds))

    def pick(self, rows: npt.NDArray[np.integer[Any]]) -> Queries:
        """Some queries, in the given order."""
        counts = np.diff(self.target_bounds)[rows]
        bounds = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        inside = np.arange(bounds[-1]) - np.repeat(bounds[:-1], counts)
        source = np.repeat(self.target_bounds[rows], counts) + inside
        return Queries(
            self.user[rows], self.as_of[rows], self.history_end[rows], bounds, self.target[source]
        )

    def with_targets(self, keep: Bools) -> Queries:
        """The same queries with only some targets (M,); a query may be left with none."""
        counts = np.bincount(self.target_query[keep], minlength=len(self))
        bounds = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return replace(self, target_bounds=bounds, target=self.target[keep])

    def asking(self, keep: Bools) -> Queries:
        """With only some targets (M,), and without the queries that have none left."""
        kept = self.with_targets(keep)
        return kept.pick(np.flatnonzero(np.diff(kept.target_bounds)))


def time_at_share(ts: Times, share: float) -> float:
    """The time from which the last ``1 - share`` of the events begin.

    Raises:
        DataError: if there is no event, or the share leaves one side empty.
    """
    if len(ts) == 0:
        raise DataError("split", "there are no events", "Run ingest first")
    ordered = np.sort(ts)
    found = float(ordered[min(int(share * len(ts)), len(ts) - 1)])
    if found <= ordered[0]:
        raise DataError(f"split time:{share}", "leaves no event before it", "Choose a larger share")
    return found


def time_queries(
    events: EventArrays, positive: Bools, start: float, end: float = np.inf
) -> Queries:
    """The queries of a time split.

    Args:
        events: T events.
        positive: (T,) right answers.
        start: the first moment that may be asked about, Unix seconds.
        end: the first moment that may not.
    """
    asked = positive & (events.item != UNKNOWN_ITEM) & (events.ts >= start) & (events.ts < end)
    return _grouped(events, np.flatnonzero(asked), strict=True)


def last_event_queries(events: EventArrays, positive: Bools, strict: bool = False) -> Queries:
    """The queries of leave-one-out: each user's last positive event, where something came before.

    Args:
        events: T events.
        positive: (T,) right answers.
        strict: the history ends before the target's instant, not only before its ``seq``.
    """
    asked = np.flatnonzero(positive & (events.item != UNKNOWN_ITEM))
    is_last = np.ones(len(asked), bool)
    is_last[:-1] = events.user[asked[1:]] != events.user[asked[:-1]]
    chosen = asked[is_last]
    return _grouped(events, chosen[chosen > events.bounds[events.user[chosen]]], strict)


def draw_users(queries: Queries, n_max: int, rng: np.random.Generator) -> Queries:
    """At most about ``n_max`` queries: whole users are drawn, so that intervals stay honest."""
    if len(queries) <= n_max:
        return queries
    users, counts = np.unique(queries.user, return_counts=True)
    order = rng.permutation(len(users))
    n_users = max(1, int(np.searchsorted(np.cumsum(counts[order]), n_max, side="right")))
    kept = np.isin(queries.user, users[order[:n_users]])
    return queries.pick(np.flatnonzero(kept))


def draw_queries(queries: Queries, n_max: int, rng: np.random.Generator) -> Queries:
    """At most ``n_max`` queries, each equally likely."""
    if len(queries) <= n_max:
        return queries
    return queries.pick(np.sort(rng.choice(len(queries), n_max, replace=False)))


def _grouped(events: EventArrays, asked: Ints, strict: bool) -> Queries:
    """One query per user and instant of the asked events (sorted offsets)."""
    user, ts = events.user[asked].astype(np.int64), events.ts[asked]
    is_new = np.ones(len(asked), bool)
    is_new[1:] = (user[1:] != user[:-1]) | (ts[1:] != ts[:-1])
    group = np.cumsum(is_new) - 1
    pairs = np.unique(np.stack([group, events.item[asked].astype(np.int64)]), axis=1)
    first = asked[is_new]
    return Queries(
        user=user[is_new],
        as_of=ts[is_new],
        history_end=_instant_start(events, first) if strict else first,
        target_bounds=np.searchsorted(pairs[0], np.arange(is_new.sum() + 1)).astype(np.int64),
        target=pairs[1],
    )


def _instant_start(events: EventArrays, offsets: Ints) -> Ints:
    """(n,) the first event of the same user and instant as each given event."""
    is_start = np.ones(len(events), bool)
    is_start[1:] = (events.user[1:] != events.user[:-1]) | (events.ts[1:] != events.ts[:-1])
    starts = np.flatnonzero(is_start)
    found: Ints = starts[np.searchsorted(starts, offsets, side="right") - 1]
    return found
