"""Ids to rows without a Python object per id: bytes in one arena, found by an open hash table.

Collisions are told apart by comparing bytes, so ids of any length and any content work. The hash is
SipHash-1-3 under a key of this process, which nobody outside knows: ids cannot be made to collide.
Rows are numbered 0, 1, 2, ... without gaps: where one is removed, the last one takes its number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]

NO_ROW = -1
_MIN_SLOTS = 16
_MOST_BYTES = 2**32 - 1
_KEY = (np.uint64(hash("id map, first") & (2**64 - 1)), np.uint64(hash("second") & (2**64 - 1)))
"""Python salts the hash of strings anew in each process; nothing of it leaves memory."""


class IdBytes(NamedTuple):
    """T ids as UTF-8, one after another."""

    data: Bytes
    offsets: Ints
    """(T + 1,)."""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @classmethod
    def of(cls, ids: Sequence[str] | pa.Array) -> IdBytes:
        """Strings, or an Arrow array of strings without nulls."""
        array = ids if isinstance(ids, pa.Array) else pa.array(ids, pa.large_string())
        if array.type != pa.large_string():
            array = array.cast(pa.large_string())
        _, ends, data = array.buffers()
        offsets = np.zeros(1, np.int64) if ends is None else np.frombuffer(ends, np.int64)
        offsets = offsets[array.offset : array.offset + len(array) + 1]
        return cls(
            np.zeros(0, np.uint8) if data is None else np.frombuffer(data, np.uint8), offsets
        )

    def part(self, first: int, last: int) -> IdBytes:
        """The ids ``first:last``, which share the memory."""
        return IdBytes(self.data, self.offsets[first : last + 1])

    def array(self) -> pa.Array:
        """The ids as an Arrow array."""
        buffers = [None, pa.py_buffer(self.offsets), pa.py_buffer(self.data)]
        return pa.Array.from_buffers(pa.large_string(), len(self), buffers)

    def strings(self) -> list[str]:
        """The ids as Python strings."""
        return list(self.array().to_pylist())


class IdMap:
    """Ids by row, and rows by id."""

    def __init__(self) -> None:
        self._slots = np.full(_MIN_SLOTS, NO_ROW, np.int32)
        self._arena = np.zeros(0, np.uint8)
        self._start = np.zeros(0, np.uint32)  # (B,) where each id begins in the arena
        self._length = np.zeros(0, np.int32)
        self._hash = np.zeros(0, np.uint32)
        self._n = 0
        self._n_bytes = 0  # of the arena, those of removed ids included
        self._n_wasted = 0

    def __len__(self) -> int:
        """Number of ids."""
        return self._n

    def find(self, ids: IdBytes) -> Ints:
        """(T,) rows of ids; ``NO_ROW`` for those that are not there."""
        rows = np.empty(len(ids), np.int64)
        self.find_into(ids, rows)
        return rows

    def find_into(self, ids: IdBytes, rows: Ints) -> None:
        """``find``, into an array (T,)."""
        _find(self._table, ids.data, ids.offsets, rows, _KEY)

    def add(self, ids: IdBytes) -> Ints:
        """(T,) rows of ids; those that are not there get the next rows, in their order."""
        rows = self.find(ids)
        n_new = int(np.count_nonzero(rows == NO_ROW))
        if n_new > 0:
            self._reserve(n_new, int(ids.offsets[-1] - ids.offsets[0]))
            self._n, self._n_bytes = _add(self._table, *ids, rows, _KEY, (self._n, self._n_bytes))
        return rows

    def remove(self, row: int) -> int:
        """Remove an id; the last row takes its number. Returns what the number of that was."""
        last = self._n - 1
        self._n_wasted += int(self._length[row])
        _remove(self._table, row, last)
        self._n = last
        if 2 * self._n_wasted > max(self._n_bytes, 4_096):
            kept = self.ids()
            self._arena, self._n_wasted = kept.data.copy(), 0
            self._start[: self._n], self._n_bytes = kept.offsets[:-1], len(kept.data)
        return last

    def ids(self, rows: Ints | None = None) -> IdBytes:
        """The ids of some rows; None = of all, in their order."""
        rows = np.arange(self._n) if rows is None else np.asarray(rows, np.int64)
        offsets = np.zeros(len(rows) + 1, np.int64)
        np.cumsum(self._length[rows], out=offsets[1:])
        data = np.empty(int(offsets[-1]), np.uint8)
        _gather(self._arena, self._start, rows, offsets, data)
        return IdBytes(data, offsets)

    @property
    def _table(self) -> Any:
        return self._slots, self._arena, self._start, self._length, self._hash

    def _reserve(self, n_more: int, n_bytes: int) -> None:
        if self._n_bytes + n_bytes > _MOST_BYTES:
            raise ValueError(f"ids of a table take more than {_MOST_BYTES} bytes: shorten them")
        needed = self._n + n_more
        if needed > len(self._start):
            size = max(needed, len(self._start) * 3 // 2, _MIN_SLOTS)
            self._start = _grown(self._start, self._n, size)
            self._length = _grown(self._length, self._n, size)
            self._hash = _grown(self._hash, self._n, size)
        if self._n_bytes + n_bytes > len(self._arena):
            size = max(self._n_bytes + n_bytes, len(self._arena) * 3 // 2, 256)
            self._arena = _grown(self._arena, self._n_bytes, size)
        if 4 * needed > 3 * len(self._slots):
            self._slots = np.full(1 << (2 * needed - 1).bit_length(), NO_ROW, np.int32)
            _rehash(self._slots, self._hash, self._n)


def _grown(array: npt.NDArray[Any], n: int, size: int) -> npt.NDArray[Any]:
    larger = np.empty(size, array.dtype)
    larger[:n] = array[:n]
    return larger


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _rotated(x: Any, n: int) -> Any:
    return (x << np.uint64(n)) | (x >> np.uint64(64 - n))


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _round(v0: Any, v1: Any, v2: Any, v3: Any) -> tuple[Any, Any, Any, Any]:
    v0 = v0 + v1
    v1 = _rotated(v1, 13) ^ v0
    v0 = _rotated(v0, 32)
    v2 = v2 + v3
    v3 = _rotated(v3, 16) ^ v2
    v0 = v0 + v3
    v3 = _rotated(v3, 21) ^ v0
    v2 = v2 + v1
    v1 = _rotated(v1, 17) ^ v2
    v2 = _rotated(v2, 32)
    return v0, v1, v2, v3


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def hash_of(data: Bytes, first: int, last: int, key: Any) -> Any:
    """SipHash-1-3 (Aumasson and Bernstein 2012) of ``data[first:last]``, 64 bits."""
    v0, v1 = key[0] ^ np.uint64(0x736F6D6570736575), key[1] ^ np.uint64(0x646F72616E646F6D)
    v2, v3 = key[0] ^ np.uint64(0x6C7967656E657261), key[1] ^ np.uint64(0x7465646279746573)
    length = last - first
    for at in range(first, first + length // 8 * 8, 8):
        word = np.uint64(0)
        for n in range(8):
            word |= np.uint64(data[at + n]) << np.uint64(8 * n)
        v0, v1, v2, v3 = _round(v0, v1, v2, v3 ^ word)
        v0 = v0 ^ word
    word = np.uint64(length & 255) << np.uint64(56)
    for n in range(length % 8):
        word |= np.uint64(data[first + length // 8 * 8 + n]) << np.uint64(8 * n)
    v0, v1, v2, v3 = _round(v0, v1, v2, v3 ^ word)
    v0, v2 = v0 ^ word, v2 ^ np.uint64(0xFF)
    for _ in range(3):
        v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    return v0 ^ v1 ^ v2 ^ v3


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _slot_of(table: Any, data: Bytes, first: int, last: int, hashed: int) -> Any:
    """The slot of an id, or the empty one where it belongs."""
    slots, arena, start, length, hashes = table
    slot = hashed & (slots.shape[0] - 1)
    while slots[slot] != NO_ROW:
        row = slots[slot]
        if hashes[row] == hashed and length[row] == last - first:
            place, begin = 0, np.int64(start[row])
            while place < last - first and arena[begin + place] == data[first + place]:
                place += 1
            if place == last - first:
                break
        slot = (slot + 1) & (slots.shape[0] - 1)
    return slot


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _find(table: Any, data: Bytes, offsets: Ints, rows: Ints, key: Any) -> None:
    for t in range(rows.shape[0]):
        first, last = offsets[t], offsets[t + 1]
        hashed = np.int64(hash_of(data, first, last, key) >> np.uint64(32))
        rows[t] = table[0][_slot_of(table, data, first, last, hashed)]


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _add(
    table: Any, data: Bytes, offsets: Ints, rows: Ints, key: Any, ends: tuple[int, int]
) -> tuple[int, int]:
    slots, arena, start, length, hashes = table
    n, n_bytes = ends
    for t in range(rows.shape[0]):
        if rows[t] != NO_ROW:
            continue
        first, last = offsets[t], offsets[t + 1]
        hashed = np.int64(hash_of(data, first, last, key) >> np.uint64(32))
        slot = _slot_of(table, data, first, last, hashed)
        if slots[slot] == NO_ROW:
            slots[slot] = n
            start[n], length[n], hashes[n] = n_bytes, last - first, hashed
            for place in range(first, last):
                arena[n_bytes + place - first] = data[place]
            n, n_bytes = n + 1, n_bytes + last - first
        rows[t] = slots[slot]
    return n, n_bytes


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _slot_of_row(table: Any, row: int) -> Any:
    slots, hashes = table[0], table[4]
    slot = np.int64(hashes[row]) & (slots.shape[0] - 1)
    while slots[slot] != row:
        slot = (slot + 1) & (slots.shape[0] - 1)
    return slot


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _remove(table: Any, row: int, last: int) -> None:
    slots, _, start, length, hashes = table
    mask = slots.shape[0] - 1
    hole = _slot_of_row(table, row)
    of_last = _slot_of_row(table, last)
    start[row], length[row], hashes[row] = start[last], length[last], hashes[last]
    slots[of_last] = row
    slot = hole
    while True:  # what follows moves up, unless that would put it before its own place
        slot = (slot + 1) & mask
        if slots[slot] == NO_ROW:
            break
        own = np.int64(hashes[slots[slot]]) & mask
        if ((slot - own) & mask) >= ((slot - hole) & mask):
            slots[hole] = slots[slot]
            hole = slot
    slots[hole] = NO_ROW


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _rehash(slots: npt.NDArray[np.int32], hashes: npt.NDArray[np.uint32], n: int) -> None:
    for row in range(n):
        slot = np.int64(hashes[row]) & (slots.shape[0] - 1)
        while slots[slot] != NO_ROW:
            slot = (slot + 1) & (slots.shape[0] - 1)
        slots[slot] = row


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _gather(arena: Bytes, start: Any, rows: Ints, offsets: Ints, data: Bytes) -> None:
    for n in range(rows.shape[0]):
        for place in range(offsets[n], offsets[n + 1]):
            data[place] = arena[np.int64(start[rows[n]]) + place - offsets[n]]
