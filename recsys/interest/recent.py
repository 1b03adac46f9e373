"""The latest events of users and the items they have seen, read out of their blocks as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from recsys.interest.blocks import Blocks
from recsys.interest.records import N_EVENTS, RING, RING_COUNT, SEEN_COUNT, TICK
from recsys.interest.rings import (
    RING_BLOCK,
    begin,
    event_at,
    held_events,
    older_items,
    push_seen,
    value_at,
)
from recsys.memory import load_i32, load_i64, load_u16, prefetch, store_i32

Ints = npt.NDArray[np.int64]
_AHEAD = 8

Columns = dict[str, npt.NDArray[Any]]


class RecentEvents(NamedTuple):
    """The n latest events of one user, newest first."""

    item: npt.NDArray[np.int32]
    """(n,) position in the catalog."""
    ts: npt.NDArray[np.float64]
    """(n,) Unix seconds."""
    importance: npt.NDArray[np.float32]
    """(n,) signed: negative evidence is below 0."""
    kind: npt.NDArray[np.uint8]
    """(n,) position in the kinds of the settings; 255 = none of them."""
    value: npt.NDArray[np.float32]
    """(n,) rating or dwell; NaN where there is none."""


class Histories(NamedTuple):
    """What B users did, user by user: events newest first, seen items in rising order."""

    n_events: npt.NDArray[np.int32]
    """(B,) events of known items, passive ones included."""
    bounds: Ints
    """(B + 1,) offsets of each user's latest events."""
    item: npt.NDArray[np.int32]
    """(E,) position in the catalog."""
    ts: npt.NDArray[np.float64]
    """(E,) Unix seconds."""
    kind: npt.NDArray[np.uint8]
    """(E,) code of the kind."""
    value: npt.NDArray[np.float32]
    """(E,) rating or dwell; NaN where there is none."""
    seen_bounds: Ints
    """(B + 1,) offsets of each user's seen items."""
    seen: npt.NDArray[np.int32]
    """(S,) the distinct items that each user touched."""


def histories(records: Ints, n_recent: int, tick: int = -1) -> Histories:
    """Read users.

    Args:
        records: (B,) addresses; 0 = somebody unknown, who has done nothing.
        n_recent: most events of a user.
        tick: when this is, for what was read least recently; -1 = it does not count as a read.
    """
    n_events, n_held, n_older = _sizes(records, tick)
    bounds, longest = np.zeros(len(records) + 1, np.int64), np.zeros(len(records) + 1, np.int64)
    np.cumsum(np.minimum(n_held, n_recent), out=bounds[1:])
    np.cumsum(n_held + n_older, out=longest[1:])
    size = int(bounds[-1])
    found = (
        np.empty(size, np.int32),
        np.empty(size, np.float64),
        np.empty(size, np.uint8),
        np.empty(size, np.float32),
    )
    seen_bounds = np.zeros(len(records) + 1, np.int64)
    seen = np.empty(int(longest[-1]), np.int32)
    _read(records, bounds, found, seen_bounds, seen)
    return Histories(n_events, bounds, *found, seen_bounds, seen[: seen_bounds[-1]])


def recent_columns(records: Ints) -> Columns:
    """Group ``recent`` of a snapshot: all events held, user by user and oldest first."""
    _, count, _ = _sizes(records, -1)
    ends = np.cumsum(count)
    size = int(ends[-1]) if len(ends) else 0
    item, ts = np.empty(size, np.int32), np.empty(size, np.float64)
    kind, value = np.empty(size, np.uint8), np.empty(size, np.float32)
    _copy_held(records, ends - count, (ts, item, kind, value))
    return {"count": count.astype(np.int32), "item": item, "ts": ts, "kind": kind, "value": value}


def seen_columns(records: Ints) -> Columns:
    """Group ``seen`` of a snapshot: ``row`` and ``item`` of what is older than the events held."""
    _, _, count = _sizes(records, -1)
    ends = np.cumsum(count)
    item = np.empty(int(ends[-1]) if len(ends) else 0, np.int32)
    _copy_older(records, ends - count, item)
    row = np.repeat(np.arange(len(records), dtype=np.int32), count)
    return {"row": row, "item": item}


def fill(
    records: Ints,
    blocks: tuple[Blocks, Blocks],
    n_recent: int,
    recent: Mapping[str, npt.NDArray[Any]],
    seen: Mapping[str, npt.NDArray[Any]],
) -> None:
    """Give users without history one: the inverse of the two above.

    Args:
        records: (B,) addresses of users without history.
        blocks: of recent events and of seen items.
        n_recent: R; of longer histories the items that are let go count as seen.
        recent: columns; of a time when values were not kept they read as NaN.
        seen: columns.
    """
    n = len(recent["item"])
    value = recent.get("value", np.full(n, np.nan, np.float32))
    events = recent["ts"], recent["item"].astype(np.int32), recent["kind"], value
    ends = np.cumsum(recent["count"], dtype=np.int64)
    ring = blocks[0].ready(n // RING_BLOCK + len(records))
    older = blocks[1].ready(n + len(seen["item"]))
    _fill(records, ring, older, n_recent, ends, events)
    _fill_older(records[seen["row"]], older, seen["item"])


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _sizes(records: Ints, tick: int) -> Any:
    n_events, held = np.zeros(len(records), np.int32), np.zeros(len(records), np.int64)
    older = np.zeros(len(records), np.int64)
    for b in range(len(records)):
        prefetch(records[min(b + _AHEAD, len(records) - 1)])
        if records[b] == 0:
            continue
        n_events[b] = load_i32(records[b] + N_EVENTS)
        held[b] = load_u16(records[b] + RING_COUNT)
        older[b] = load_i32(records[b] + SEEN_COUNT)
        if tick >= 0:
            store_i32(records[b] + TICK, tick)
    return n_events, held, older


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _read(
    records: Ints, bounds: Ints, found: Any, seen_bounds: Ints, seen: npt.NDArray[np.int32]
) -> None:
    for b in range(len(records)):
        first = seen_bounds[b]
        seen_bounds[b + 1] = first
        if records[b] == 0:
            continue
        n_held = _read_ring(records[b], bounds[b], bounds[b + 1], found, seen[first:])
        older = older_items(records[b])
        seen[first + n_held : first + n_held + len(older)] = older
        touched = seen[first : first + n_held + len(older)]
        touched.sort()
        for place in range(len(touched)):
            if place == 0 or touched[place] != seen[seen_bounds[b + 1] - 1]:
                seen[seen_bounds[b + 1]] = touched[place]
                seen_bounds[b + 1] += 1


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _read_ring(record: int, first: int, last: int, found: Any, items: npt.NDArray[np.int32]) -> Any:
    """Write the newest events into ``first:last``, and the items of all; return how many."""
    item, ts, kind, value = found
    count = np.int64(load_u16(record + RING_COUNT))
    block = load_i64(record + RING)
    for p in range(count):
        slot = p % RING_BLOCK
        if slot == 0:
            block = load_i64(block)  # at first from the newest to the oldest
        us, items[p], code = event_at(block, slot)
        to = first + count - 1 - p
        if to < last:
            item[to], ts[to], kind[to] = items[p], us / 1e6, code
            value[to] = value_at(block, slot)
    return count


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _copy_held(records: Ints, starts: Ints, to: Any) -> None:
    for b in range(len(records)):
        held = held_events(records[b])
        n = len(held[0])
        to[0][starts[b] : starts[b] + n] = held[0] / 1e6
        to[1][starts[b] : starts[b] + n] = held[1]
        to[2][starts[b] : starts[b] + n] = held[2]
        to[3][starts[b] : starts[b] + n] = held[3]


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _copy_older(records: Ints, starts: Ints, to: npt.NDArray[np.int32]) -> None:
    for b in range(len(records)):
        items = older_items(records[b])
        to[starts[b] : starts[b] + len(items)] = items


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _fill(records: Ints, ring: Any, seen: Any, n_recent: int, ends: Ints, events: Any) -> None:
    for b in range(len(records)):
        begin(records[b], ring, seen, n_recent, ends[b - 1] if b > 0 else 0, ends[b], events)


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _fill_older(records: Ints, seen: Any, item: npt.NDArray[np.int32]) -> None:
    for t in range(len(records)):
        push_seen(records[t], seen, item[t])
