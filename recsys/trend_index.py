"""Compiled: decayed masses of the items that have any, found by an open hash table.

An index is three arrays: slots (a power of two of them, at most half full), and by entry the items
and their masses. Room for more entries is made by ``recsys.trend``.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from recsys.events import UNKNOWN_ITEM

Times = npt.NDArray[np.float64]
Mass = npt.NDArray[np.float64]
Items = npt.NDArray[np.int32]

NO_ENTRY = -1


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def latest_counted(items: Items, ts: Times, weight: Times) -> float:
    """Time of the latest event that counts; ``-inf`` = none does."""
    latest = -np.inf
    for t in range(items.shape[0]):
        if items[t] != UNKNOWN_ITEM and weight[t] > 0.0 and ts[t] > latest:
            latest = ts[t]
    return latest


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _slot_of(slots: Items, items: Items, item: int) -> Any:
    """The slot of an item, or the empty one where it belongs."""
    mixed = np.uint64(item) * np.uint64(0x9E3779B97F4A7C15)
    slot = np.int64(mixed >> np.uint64(33)) & (slots.shape[0] - 1)
    while slots[slot] != NO_ENTRY and items[slots[slot]] != item:
        slot = (slot + 1) & (slots.shape[0] - 1)
    return slot


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def rehash(slots: Items, items: Items) -> None:
    """Find all items in slots that are empty still."""
    for entry in range(items.shape[0]):
        slots[_slot_of(slots, items, items[entry])] = entry


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _entry(index: tuple[Items, Items, Mass], n: int, item: int) -> int:
    """The entry of an item; the n-th, new and empty, where there is none."""
    slots, items, held = index
    slot = _slot_of(slots, items, item)
    if slots[slot] == NO_ENTRY:
        slots[slot] = n
        items[n] = item
        held[n] = 0.0
    return slots[slot]  # type: ignore[no-any-return]


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def add_counts(
    index: tuple[Items, Items, Mass],
    n: int,
    item: Items,
    since_base_s: Times,
    weight: Times,
    half_lives_s: Times,
) -> int:
    """Add T events to sparse masses; return how many items there are then."""
    for t in range(item.shape[0]):
        if item[t] != UNKNOWN_ITEM and weight[t] > 0.0:
            entry = _entry(index, n, item[t])
            n = max(n, entry + 1)
            for j in range(half_lives_s.shape[0]):
                age = since_base_s[t] / half_lives_s[j]
                index[2][entry, j] += weight[t] * 2.0**age
    return n


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def add_masses(index: tuple[Items, Items, Mass], n: int, items: Items, mass: Mass) -> int:
    """Add masses (m, Ht) of items, given as of the base; return how many items there are then."""
    for m in range(items.shape[0]):
        entry = _entry(index, n, items[m])
        n = max(n, entry + 1)
        index[2][entry] += mass[m]
    return n
