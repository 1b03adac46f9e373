"""The exact set of items that each user has touched.

Every (user, item) pair is one entry of an arena. A hash table over the entries finds duplicates in
O(1), and a list per user, threaded through the arena from its newest entry back, enumerates them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int32]

_NONE = -1
_MIN_SLOTS = 64


class SeenItems:
    """Distinct items per user, in about 20 bytes a pair; at most 2^31 pairs."""

    def __init__(self) -> None:
        self._head = np.zeros(0, np.int32)  # (B,) newest entry of each user
        self._row = np.zeros(0, np.int32)
        self._item = np.zeros(0, np.int32)
        self._prev = np.zeros(0, np.int32)
        self._slots = np.full(_MIN_SLOTS, _NONE, np.int32)  # entry by hash, open addressing
        self._n = 0

    def __len__(self) -> int:
        """Number of (user, item) pairs."""
        return self._n

    def reserve(self, n_rows: int) -> None:
        """Make room for ``n_rows`` users."""
        more = np.full(n_rows - len(self._head), _NONE, np.int32)
        self._head = np.concatenate([self._head, more])

    def add(self, rows: npt.NDArray[np.int64], item: npt.NDArray[np.int64]) -> None:
        """Mark T items as seen by the users of T rows; again is no change."""
        needed = self._n + len(rows)
        if needed > len(self._item):
            more = max(needed, len(self._item) * 3 // 2) - len(self._item)
            self._row, self._item, self._prev = (
                np.concatenate([array, np.zeros(more, np.int32)])
                for array in (self._row, self._item, self._prev)
            )
        if 2 * needed > len(self._slots):
            n_slots = 1 << (2 * needed - 1).bit_length()
            self._slots = np.full(n_slots, _NONE, np.int32)
            _rehash(self._slots, self._row, self._item, self._n)
        arena = (self._row, self._item, self._prev)
        self._n = _insert(self._head, arena, self._slots, self._n, rows, item)

    def of(self, row: int) -> Ints:
        """(n,) distinct items of one user, the newest to come first."""
        return _enumerate(self._head[row], self._item, self._prev)  # type: ignore[no-any-return]

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """``row`` and ``item`` of every pair, in order of arrival."""
        return {"row": self._row[: self._n].copy(), "item": self._item[: self._n].copy()}

    @classmethod
    def from_columns(cls, columns: Mapping[str, npt.NDArray[Any]], n_rows: int) -> SeenItems:
        """The inverse of ``columns``, for ``n_rows`` users."""
        seen = cls()
        seen.reserve(n_rows)
        seen.add(columns["row"].astype(np.int64), columns["item"].astype(np.int64))
        return seen


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _slot(row: int, item: int, n_slots: int) -> int:
    """First slot to look at; ``n_slots`` is a power of two."""
    mixed = (np.uint64(row) * np.uint64(0x9E3779B97F4A7C15)) ^ np.uint64(item)
    mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = mixed ^ (mixed >> np.uint64(32))
    return np.int64(mixed & np.uint64(n_slots - 1))  # type: ignore[return-value]


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _rehash(slots: Ints, row: Ints, item: Ints, n: int) -> None:
    for entry in range(n):
        slot = _slot(row[entry], item[entry], slots.shape[0])
        while slots[slot] != _NONE:
            slot = (slot + 1) & (slots.shape[0] - 1)
        slots[slot] = entry


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _insert(
    head: Ints,
    arena: tuple[Ints, Ints, Ints],
    slots: Ints,
    n: int,
    rows: npt.NDArray[np.int64],
    items: npt.NDArray[np.int64],
) -> int:
    row, item, prev = arena
    for t in range(rows.shape[0]):
        slot = _slot(rows[t], items[t], slots.shape[0])
        while slots[slot] != _NONE:
            entry = slots[slot]
            if row[entry] == rows[t] and item[entry] == items[t]:
                break
            slot = (slot + 1) & (slots.shape[0] - 1)
        if slots[slot] == _NONE:
            slots[slot] = n
            row[n], item[n] = rows[t], items[t]
            prev[n] = head[rows[t]]
            head[rows[t]] = n
            n += 1
    return n


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _enumerate(head: int, item: Ints, prev: Ints) -> Ints:
    n = 0
    entry = head
    while entry != _NONE:
        n += 1
        entry = prev[entry]
    items = np.empty(n, np.int32)
    entry = head
    for place in range(n):
        items[place] = item[entry]
        entry = prev[entry]
    return items
