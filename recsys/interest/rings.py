"""Compiled: the latest events of each user, and the items that are older than those.

Both stand in blocks of fixed size, linked from a user's record, so a user takes the memory of what
there is, and nothing is copied when a user's history grows.

A ring is a circle of blocks of 8 events in order of (ts, item, kind): the record names the newest
block, whose ``next`` is the oldest. When all its blocks are full, the oldest one becomes the
newest, and its items go to the user's older items: a chain of blocks of 14. Those may repeat
themselves; repeats are taken out whenever the chain has doubled. So the set of seen items is exact.
Times are whole microseconds, the resolution of every stored time, in 7 bytes.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from recsys.interest.blocks import Blocks, give, take
from recsys.interest.records import (
    N_EVENTS,
    RING,
    RING_COUNT,
    SEEN,
    SEEN_COUNT,
    SEEN_LIMIT,
    TICK,
)
from recsys.memory import (
    load_f32,
    load_i8,
    load_i32,
    load_i64,
    load_u8,
    load_u16,
    load_u32,
    store_f32,
    store_i8,
    store_i32,
    store_i64,
    store_u8,
    store_u16,
    store_u32,
)

Ints = npt.NDArray[np.int64]

RING_BLOCK, SEEN_BLOCK = 8, 14
_RING_BYTES, _ITEM, _VALUE, _TS_LOW, _TS_MIDDLE, _TS_HIGH, _KIND = 136, 8, 40, 72, 104, 120, 128
_US_PER_S = 1e6
_SEEN_BYTES, _SEEN_ITEM = 64, 8
_FEW = 8 * SEEN_BLOCK


def ring_blocks() -> Blocks:
    """Blocks of recent events."""
    return Blocks(_RING_BYTES)


def seen_blocks() -> Blocks:
    """Blocks of older items."""
    return Blocks(_SEEN_BYTES)


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _chain(record: int, seen: Any, item: int) -> Any:
    """Add an item to a user's chain; return how many stand there."""
    count, head = load_i32(record + SEEN_COUNT), load_i64(record + SEEN)
    if count % SEEN_BLOCK == 0:
        new = take(seen)
        store_i64(new, head)
        head = new
        store_i64(record + SEEN, head)
    store_i32(head + _SEEN_ITEM + 4 * (count % SEEN_BLOCK), item)
    store_i32(record + SEEN_COUNT, count + 1)
    return count + 1


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def push_seen(record: int, seen: Any, item: int) -> None:
    """Add an item to the older ones of a user."""
    count = _chain(record, seen, item)
    limit = load_u16(record + SEEN_LIMIT)
    if count >= _FEW << limit:
        items = np.unique(older_items(record))
        free_seen(record, seen)
        for known in items:
            _chain(record, seen, known)
        while _FEW << limit < 2 * len(items):
            limit += 1
        store_u16(record + SEEN_LIMIT, limit)


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def older_items(record: int) -> npt.NDArray[np.int32]:
    """(n,) the older items of a user, as they stand."""
    count, block = load_i32(record + SEEN_COUNT), load_i64(record + SEEN)
    found = np.empty(count, np.int32)
    left = count
    while left > 0:
        used = (left - 1) % SEEN_BLOCK + 1
        for slot in range(used):
            found[left - used + slot] = load_i32(block + _SEEN_ITEM + 4 * slot)
        left -= used
        block = load_i64(block)
    return found


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def free_seen(record: int, seen: Any) -> None:
    """Give back the blocks of a user's older items."""
    left, block = load_i32(record + SEEN_COUNT), load_i64(record + SEEN)
    while left > 0:
        following = load_i64(block)
        give(seen, block)
        left -= (left - 1) % SEEN_BLOCK + 1
        block = following
    store_i64(record + SEEN, 0)
    store_i32(record + SEEN_COUNT, 0)


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def free_ring(record: int, ring: Any) -> None:
    """Give back the blocks of a user's recent events."""
    count, newest = load_u16(record + RING_COUNT), load_i64(record + RING)
    block = newest
    for _ in range((count + RING_BLOCK - 1) // RING_BLOCK):
        following = load_i64(block)
        give(ring, block)
        block = following
    store_i64(record + RING, 0)
    store_u16(record + RING_COUNT, 0)


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _append(record: int, ring: Any, seen: Any, most_blocks: int) -> int:
    """Make a place for an event after the newest; its address, less the offset of the slot."""
    count, newest = load_u16(record + RING_COUNT), load_i64(record + RING)
    if count % RING_BLOCK == 0:
        if count // RING_BLOCK == most_blocks:
            newest = load_i64(newest)  # the oldest, to be the newest
            for slot in range(RING_BLOCK):
                push_seen(record, seen, load_i32(newest + _ITEM + 4 * slot))
            count -= RING_BLOCK
        else:
            new = take(ring)
            oldest = new
            if newest != 0:
                oldest = load_i64(newest)
                store_i64(newest, new)
            store_i64(new, oldest)
            newest = new
        store_i64(record + RING, newest)
    store_u16(record + RING_COUNT, count + 1)
    return newest  # type: ignore[no-any-return]


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def in_us(ts: float) -> Any:
    """Unix seconds as whole microseconds, within what 56 bits hold."""
    return np.int64(np.round(min(max(ts, -3.6e10), 3.6e10) * _US_PER_S))


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _put(at: int, slot: int, us: int, item: int, kind: int, value: float) -> None:
    store_u32(at + _TS_LOW + 4 * slot, us & 0xFFFFFFFF)
    store_u16(at + _TS_MIDDLE + 2 * slot, (us >> 32) & 0xFFFF)
    store_i8(at + _TS_HIGH + slot, us >> 48)
    store_i32(at + _ITEM + 4 * slot, item)
    store_f32(at + _VALUE + 4 * slot, value)
    store_u8(at + _KIND + slot, kind)


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def event_at(at: int, slot: int) -> tuple[Any, Any, Any]:
    """Microseconds, item and kind of an event of a block."""
    high, middle = np.int64(load_i8(at + _TS_HIGH + slot)), load_u16(at + _TS_MIDDLE + 2 * slot)
    low = np.int64(load_u32(at + _TS_LOW + 4 * slot))
    return (
        (high << 48) | (np.int64(middle) << 32) | low,
        load_i32(at + _ITEM + 4 * slot),
        load_u8(at + _KIND + slot),
    )


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def value_at(at: int, slot: int) -> Any:
    """Value of an event of a block."""
    return load_f32(at + _VALUE + 4 * slot)


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def add_event(  # noqa: PLR0913, PLR0917
    record: int, ring: Any, seen: Any, n_recent: int, us: int, item: int, kind: int, value: float
) -> None:
    """Add an event, in any order; a ring of more than ``n_recent`` lets its oldest ones go."""
    count, newest = load_u16(record + RING_COUNT), load_i64(record + RING)
    key = (us, item, kind)
    is_late = count > 0 and key < event_at(newest, (count - 1) % RING_BLOCK)
    if is_late and count >= n_recent:
        oldest = load_i64(newest)
        if key < event_at(oldest, 0):
            push_seen(record, seen, item)
            return
    at = _append(record, ring, seen, (n_recent + RING_BLOCK - 1) // RING_BLOCK + 1)
    count = load_u16(record + RING_COUNT)
    _put(at, (count - 1) % RING_BLOCK, us, item, kind, value)
    if is_late:
        _move_back(record)


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _move_back(record: int) -> None:
    """Bring the last event of a ring to its time."""
    count = load_u16(record + RING_COUNT)
    us, item, kind, value = held_events(record)
    new = (us[-1], item[-1], kind[-1])
    new_value = value[-1]
    place = count - 1
    while place > 0 and new < (us[place - 1], item[place - 1], kind[place - 1]):
        us[place], item[place] = us[place - 1], item[place - 1]
        kind[place], value[place] = kind[place - 1], value[place - 1]
        place -= 1
    us[place], item[place], kind[place] = new
    value[place] = new_value
    block = load_i64(load_i64(record + RING))
    for p in range(count):
        if p > 0 and p % RING_BLOCK == 0:
            block = load_i64(block)
        if p >= place:
            _put(block, p % RING_BLOCK, us[p], item[p], kind[p], value[p])


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def held_events(record: int) -> Any:
    """Microseconds, item, kind and value (n,) of all events of a ring, the oldest first."""
    count = load_u16(record + RING_COUNT)
    us, item = np.empty(count, np.int64), np.empty(count, np.int32)
    kind, value = np.empty(count, np.uint8), np.empty(count, np.float32)
    block = load_i64(load_i64(record + RING)) if count > 0 else 0
    for p in range(count):
        slot = p % RING_BLOCK
        if p > 0 and slot == 0:
            block = load_i64(block)
        us[p], item[p], kind[p] = event_at(block, slot)
        value[p] = value_at(block, slot)
    return us, item, kind, value


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def touch(records: Ints, ring: Any, seen: Any, n_recent: int, tick: int, events: Any) -> None:
    """Count T events, and keep those that are kept as recent and seen.

    Args:
        records: (T,) address of the record that each event belongs to.
        ring: blocks, with room for T more.
        seen: blocks, with room for T more.
        n_recent: R.
        tick: of this batch.
        events: ts, item, kind, value and what is kept, (T,) each; items below 0 do not count.
    """
    ts, item, kind, value, kept = events
    for t in range(records.shape[0]):
        record = records[t]
        store_i32(record + TICK, tick)
        if item[t] >= 0:
            store_i32(record + N_EVENTS, load_i32(record + N_EVENTS) + 1)
        if kept[t]:
            add_event(record, ring, seen, n_recent, in_us(ts[t]), item[t], kind[t], value[t])


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def begin(  # noqa: PLR0913, PLR0917
    record: int, ring: Any, seen: Any, n_recent: int, first: int, last: int, events: Any
) -> None:
    """Give a user without history the events ``first:last``, sorted from the oldest on."""
    ts, item, kind, value = events
    most = ((n_recent + RING_BLOCK - 1) // RING_BLOCK + 1) * RING_BLOCK
    while last - first > most:
        push_seen(record, seen, item[first])
        first += 1
    if last == first:
        return
    oldest, block = 0, 0
    for t in range(first, last):
        slot = (t - first) % RING_BLOCK
        if slot == 0:
            new = take(ring)
            if block == 0:
                oldest = new
            else:
                store_i64(block, new)
            block = new
        _put(block, slot, in_us(ts[t]), item[t], kind[t], value[t])
    store_i64(block, oldest)
    store_i64(record + RING, block)
    store_u16(record + RING_COUNT, last - first)
