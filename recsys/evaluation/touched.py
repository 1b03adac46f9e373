"""What users have touched before a moment: the seen filter, and the weight of their own habits.

    own_h(t) = sum over the user's positive events e of the item of  2^(-(t - t_e)/tau_h)

is the additive state once more, keyed by (user, item): it ranks repeats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from recsys.evaluation.split import Queries
from recsys.events import UNKNOWN_ITEM, EventArrays
from recsys.interest.prepared import UNKNOWN_KIND
from recsys.interest.zero_shot import codes_of, signed_importance
from recsys.settings import DataSettings, InterestSettings

Ints = npt.NDArray[np.int64]
Times = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Recent:
    """The latest events of Q users, each query's side by side, the newest first."""

    bounds: Ints
    """(Q + 1,) offsets."""
    item: Ints
    """(P,) catalog rows."""
    ts: Times
    """(P,) Unix seconds."""
    importance: npt.NDArray[np.float32]
    """(P,) signed: negative evidence is below 0."""

    def part(self, start: int, stop: int) -> Recent:
        """A run of the queries."""
        run = slice(int(self.bounds[start]), int(self.bounds[stop]))
        columns = (self.item[run], self.ts[run], self.importance[run])
        return Recent(self.bounds[start : stop + 1] - self.bounds[start], *columns)

    def of(self, query: int) -> tuple[Ints, Times, npt.NDArray[np.float32]]:
        """Item, time and importance of one query's events."""
        run = slice(int(self.bounds[query]), int(self.bounds[query + 1]))
        return self.item[run], self.ts[run], self.importance[run]


def recent_before(
    events: EventArrays, user: Ints, end: Ints, settings: InterestSettings, data: DataSettings
) -> Recent:
    """The events that ``interest.recent.RecentRing`` would hold.

    Args:
        events: the log.
        user: (Q,) users; -1 = unknown.
        end: (Q,) offsets into the events, exclusive.
        settings: how many are held, and what they are worth.
        data: the kinds, and those of them that are passive.
    """
    active = (events.item != UNKNOWN_ITEM) & ~np.isin(events.kind.astype(str), data.passive_kinds)
    kept = np.flatnonzero(active)
    code_of_kind = {kind: code for code, kind in enumerate(data.kinds)}
    code = codes_of(events.kind[kept], code_of_kind, UNKNOWN_KIND)
    stop = np.searchsorted(kept, end)
    known = np.asarray(user) >= 0
    first = np.where(known, events.bounds[np.maximum(user, 0)], end)
    start = np.searchsorted(kept, first)
    ts, item = events.ts[kept], events.item[kept].astype(np.int64)
    chosen = [
        _latest(a, b, settings.n_recent, (code, item, ts)) for a, b in zip(start, stop, strict=True)
    ]
    bounds = np.concatenate([[0], np.cumsum([len(rows) for rows in chosen])]).astype(np.int64)
    rows = np.concatenate([*chosen, np.zeros(0, np.int64)]).astype(np.int64)
    used, place = np.unique(rows, return_inverse=True)
    worth = signed_importance(events.kind[kept[used]], events.value[kept[used]], settings)
    return Recent(bounds, item[rows], ts[rows], worth[place])


def _latest(start: int, stop: int, n: int, columns: tuple[Ints, Ints, Times]) -> Ints:
    """Positions of the n latest of ``start:stop``, by time, item and kind, the newest first."""
    ts = columns[2]
    first = max(start, stop - n)
    while first > start and ts[first - 1] == ts[first]:  # which of an instant's events are held
        first -= 1
    order = np.lexsort([column[first:stop] for column in columns])
    latest: Ints = first + order[::-1][:n]
    return latest


class Touches:
    """The distinct items of each user, in the order of the first touch.

    Args:
        events: the log.
        passive_kinds: kinds in which the user did nothing.
    """

    def __init__(self, events: EventArrays, passive_kinds: Sequence[str]) -> None:
        active = (events.item != UNKNOWN_ITEM) & ~np.isin(events.kind.astype(str), passive_kinds)
        offset = np.flatnonzero(active)
        width = int(events.item.max(initial=0)) + 1
        key = events.user[offset].astype(np.int64) * width + events.item[offset]
        self._first = offset[np.sort(np.unique(key, return_index=True)[1])]
        self._item = events.item[self._first].astype(np.int64)
        self._starts = np.searchsorted(self._first, events.bounds[:-1])

    def before(self, user: Ints, end: Ints) -> tuple[Ints, Ints]:
        """Items touched before some offsets.

        Args:
            user: (Q,) users; -1 = unknown, who touched nothing.
            end: (Q,) offsets into the events, exclusive.

        Returns:
            ``(bounds (Q + 1,), item)``: the rows of query q are ``item[bounds[q]:bounds[q + 1]]``.
        """
        stop = np.searchsorted(self._first, end)
        start = np.where(user >= 0, self._starts[np.maximum(user, 0)], stop)
        n = np.maximum(stop - start, 0)
        bounds = np.concatenate([[0], np.cumsum(n)]).astype(np.int64)
        source = np.arange(bounds[-1]) - np.repeat(bounds[:-1], n) + np.repeat(start, n)
        return bounds, self._item[source]

    def is_repeat(self, queries: Queries) -> Bools:
        """(M,) which targets the user had touched before."""
        if len(queries.target) == 0:
            return np.zeros(0, bool)
        bounds, item = self.before(queries.user, queries.history_end)
        width = int(max(queries.target.max(), self._item.max(initial=0))) + 1
        touched = np.repeat(np.arange(len(queries)), np.diff(bounds)) * width + item
        result: Bools = np.isin(queries.target_query * width + queries.target, touched)
        return result


def own_mass(
    events: EventArrays,
    positive: Bools,
    queries: Queries,
    touched: tuple[Ints, Ints],
    half_lives_s: Sequence[float],
) -> npt.NDArray[np.float32]:
    """The decayed count of a user's positive events of each touched item.

    Args:
        events: T events.
        positive: (T,) which of them count.
        queries: Q moments.
        touched: ``Touches.before`` of the queries, P rows in all.
        half_lives_s: H half-lives.

    Returns:
        (P, H) float32.
    """
    bounds, item = touched
    out = np.zeros((len(item), len(half_lives_s)), np.float32)
    place = np.full(int(events.item.max(initial=0)) + 1, -1, np.int64)
    log = (np.asarray(events.item, np.int64), events.ts, positive)
    asked = (events.bounds[queries.user], queries.history_end, queries.as_of)
    _own_mass(out, place, log, asked, (bounds, item), np.asarray(half_lives_s, np.float64))
    return out


def last_positive(events: EventArrays, positive: Bools, queries: Queries) -> Ints:
    """(Q,) the item of the user's latest positive event in the history; -1 = none."""
    useful = np.flatnonzero(positive & (events.item != UNKNOWN_ITEM))
    if len(useful) == 0:
        return np.full(len(queries), -1)
    place = np.searchsorted(useful, queries.history_end) - 1
    offset = useful[np.maximum(place, 0)]
    found = (place >= 0) & (offset >= events.bounds[queries.user])
    return np.where(found, events.item[offset], -1).astype(np.int64)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _own_mass(
    out: npt.NDArray[np.float32],
    place: Ints,
    log: tuple[Ints, Times, Bools],
    asked: tuple[Ints, Ints, Times],
    touched: tuple[Ints, Ints],
    half_lives_s: npt.NDArray[Any],
) -> None:
    """``place`` (N,) is scratch: where the current query keeps an item."""
    event_item, ts, positive = log
    starts, ends, as_of = asked
    bounds, item = touched
    for q in range(len(ends)):
        for p in range(bounds[q], bounds[q + 1]):
            place[item[p]] = p
        for e in range(starts[q], ends[q]):
            if positive[e] and event_item[e] >= 0 and place[event_item[e]] >= 0:
                row = place[event_item[e]]
                for h in range(len(half_lives_s)):
                    out[row, h] += 2.0 ** (-max(0.0, as_of[q] - ts[e]) / half_lives_s[h])
        for p in range(bounds[q], bounds[q + 1]):
            place[item[p]] = -1
