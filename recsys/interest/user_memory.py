"""The memory of the users of one table: a record each, with blocks for what they did.

Rows are numbered without gaps: where a user leaves, the last one moves into the place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from recsys.decay.fold import Place
from recsys.interest import records
from recsys.interest.recent import fill, recent_columns, seen_columns
from recsys.interest.records import RING, RING_COUNT, SEEN, SEEN_COUNT, SEEN_LIMIT
from recsys.interest.rings import free_ring, free_seen, ring_blocks, seen_blocks
from recsys.memory import store_i32, store_i64, store_u16, u8_at

Ints = npt.NDArray[np.int64]

_LAST_TICK = 2**31 - 1
_PACKED = np.dtype([("item", "<i4"), ("ts", "<f8"), ("kind", "u1"), ("value", "<f4")])


class UserMemory:
    """Records of B users, and their blocks.

    Args:
        place: of a record.
        n_recent: R, events kept of a user.
    """

    def __init__(self, place: Place, n_recent: int) -> None:
        self.place = place
        self.n_recent = n_recent
        self.chunks = records.chunks_of(place)
        self.ring = ring_blocks()
        self.seen = seen_blocks()
        self._n = 0
        self._n_used = 0  # records that were ever anybody's
        self._tick = 0

    def __len__(self) -> int:
        """B."""
        return self._n

    def next_tick(self) -> int:
        """The number of a call, by which activity is told; after 31 bits all before is alike."""
        if self._tick == _LAST_TICK:
            records.put_matrix(self.chunks, records.TICK, np.zeros(self._n, np.int32))
            self._tick = 0
        self._tick += 1
        return self._tick

    def at(self, rows: Ints) -> Ints:
        """(T,) addresses of rows; -1 gives 0."""
        return self.chunks.at(rows)

    def locate(self, rows: Ints) -> None:
        """``at``, in place of the rows."""
        self.chunks.locate(rows, rows)

    def all(self) -> Ints:
        """(B,) addresses."""
        return self.chunks.at(np.arange(self._n))

    def add(self, n_more: int) -> Ints:
        """Make room for users of whom there is no event; their rows."""
        rows = np.arange(self._n, self._n + n_more)
        self._n += n_more
        self.chunks.reserve(self._n)
        records.empty(self.at(rows), max(self._n_used - self._n + n_more, 0), self.place)
        self._n_used = max(self._n_used, self._n)
        return rows

    def remove(self, rows: Ints) -> None:
        """Let users go: for each row, from the largest down, the last one moves there.

        Args:
            rows: distinct, falling.
        """
        lasts = self._n - 1 - np.arange(len(rows))
        _remove(
            self.at(rows), self.at(lasts), self.ring.ready(0), self.seen.ready(0),
            self.place.record_bytes,
        )  # fmt: skip
        self._n -= len(rows)
        if self.chunks.capacity - self._n > 2 << self.chunks.shift:
            self.chunks.forget(self._n + (1 << self.chunks.shift))
            self._n_used = min(self._n_used, self.chunks.capacity)

    def pack(self, rows: Ints) -> list[bytes]:
        """All that is held of each of some users, to the last bit."""
        found = self.at(rows)
        states = np.empty((len(rows), self.place.record_bytes), np.uint8)
        _copy_out(found, states)
        recent, seen = recent_columns(found), seen_columns(found)
        events = np.empty(len(recent["item"]), _PACKED)
        for name in _PACKED.names or ():
            events[name] = recent[name]
        ends = np.cumsum(recent["count"])
        n_seen = np.bincount(seen["row"], minlength=len(rows))
        seen_ends = np.cumsum(n_seen)
        return [
            state.tobytes() + np.array([n, m], np.int32).tobytes() + some.tobytes() + old.tobytes()
            for state, n, m, some, old in zip(
                states,
                recent["count"],
                n_seen,
                np.split(events, ends[:-1]),
                np.split(seen["item"], seen_ends[:-1]),
                strict=True,
            )
        ]

    def unpack(self, packed: Sequence[bytes]) -> Ints:
        """Add users of ``pack``; their rows."""
        rows = self.add(len(packed))
        found, size = self.at(rows), self.place.record_bytes
        states = np.stack([np.frombuffer(data, np.uint8, size) for data in packed])
        _copy_in(found, states)
        counts = np.stack([np.frombuffer(data, np.int32, 2, size) for data in packed])
        events, items = [], []
        for data, (n, m) in zip(packed, counts.tolist(), strict=True):
            start = size + counts.dtype.itemsize * 2
            events.append(np.frombuffer(data, _PACKED, n, start))
            items.append(np.frombuffer(data, np.int32, m, start + n * _PACKED.itemsize))
        held = np.concatenate(events)
        recent: dict[str, npt.NDArray[Any]] = {
            name: np.ascontiguousarray(held[name]) for name in _PACKED.names or ()
        }
        recent["count"] = counts[:, 0]
        seen: dict[str, npt.NDArray[Any]] = {
            "row": np.repeat(np.arange(len(packed)), counts[:, 1]),
            "item": np.concatenate(items),
        }
        fill(found, (self.ring, self.seen), self.n_recent, recent, seen)
        return rows


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _remove(found: Ints, lasts: Ints, ring: Any, seen: Any, record_bytes: int) -> None:
    for n in range(len(found)):
        free_ring(found[n], ring)
        free_seen(found[n], seen)
        if found[n] != lasts[n]:
            last = numba.carray(u8_at(lasts[n]), (record_bytes,))
            numba.carray(u8_at(found[n]), (record_bytes,))[:] = last


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _copy_out(found: Ints, states: npt.NDArray[np.uint8]) -> None:
    for n in range(len(found)):
        states[n] = numba.carray(u8_at(found[n]), (states.shape[1],))


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _copy_in(found: Ints, states: npt.NDArray[np.uint8]) -> None:
    """The blocks that a state knew are not its own any more."""
    for n in range(len(found)):
        numba.carray(u8_at(found[n]), (states.shape[1],))[:] = states[n]
        store_i64(found[n] + RING, 0)
        store_i64(found[n] + SEEN, 0)
        store_u16(found[n] + RING_COUNT, 0)
        store_i32(found[n] + SEEN_COUNT, 0)
        store_u16(found[n] + SEEN_LIMIT, 0)
