"""Who leaves memory, and how they come back: the least recently active users of a table.

Activity is a fold or a read, in the order of calls; being long away is measured against the latest
event that the table has folded, so no clock is asked.
"""

from __future__ import annotations

import logging
import weakref
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from recsys.errors import StoreError
from recsys.interest import records
from recsys.interest.id_map import NO_ROW, IdBytes
from recsys.interest.spill import SpillFile

if TYPE_CHECKING:
    from recsys.interest.profiles import ProfileTable

log = logging.getLogger(__name__)

Ints = npt.NDArray[np.int64]

_AT_ONCE = 32
"""A full table lets a part of so many go, so that not every batch has to look for the oldest."""
_CHECKS_PER_TTL = 64
_MOST = 4_096
"""Most users that leave by their age in one call: it bounds the pause."""


class Eviction:
    """The users of a table who are in a file.

    Args:
        table: of which ``storage`` says who may stay.
    """

    def __init__(self, table: ProfileTable) -> None:
        self._table: ProfileTable = weakref.proxy(table)  # no cycle: the file ends with the table
        self._file: SpillFile | None = None
        self._latest = -np.inf
        self._checked = -np.inf

    @property
    def n_evicted(self) -> int:
        """Users in the file."""
        return 0 if self._file is None else len(self._file)

    @property
    def file(self) -> SpillFile | None:
        """The file; None while nobody was evicted."""
        return self._file

    def saw(self, ts: npt.NDArray[np.float64]) -> None:
        """Take the times of folded events in."""
        if self._table.storage.ttl_s is not None and len(ts) > 0:
            self._latest = max(self._latest, float(ts.max()))

    def trim(self) -> int:
        """See ``ProfileTable.trim``."""
        storage, n_users = self._table.storage, len(self._table)
        if storage.spill is None:
            return 0
        leaving = np.zeros(0, np.int64)
        waiting = np.array([event.row for event in self._table.waiting], np.int64)
        if storage.ttl_s is not None and self._is_due(storage.ttl_s):
            leaving = np.flatnonzero(self._table.t_ref < self._latest - storage.ttl_s)[:_MOST]
            if len(leaving) < _MOST:
                self._checked = self._latest
        if storage.max_users is not None and n_users - len(leaving) > storage.max_users:
            n_stay = storage.max_users - storage.max_users // _AT_ONCE
            active = records.field(self._table.memory.chunks, n_users, records.TICK, np.int32)
            order = np.argsort(active, kind="stable")
            order = order[np.isin(order, waiting, invert=True)]
            leaving = np.union1d(leaving, order[: n_users - n_stay])
        leaving = np.setdiff1d(leaving, waiting)
        return self._evict(leaving[::-1]) if len(leaving) > 0 else 0

    def bring_back(self, ids: IdBytes, rows: Ints) -> int:
        """Bring those back who are asked for and have no row; how many came."""
        if self._file is None:
            return 0
        asked = [
            ids.data[ids.offsets[n] : ids.offsets[n + 1]].tobytes()
            for n in np.flatnonzero(rows == NO_ROW)
        ]
        found = self._file.take(asked)
        if len(found) > 0:
            self.restore(found, self._table)
        return len(found)

    @staticmethod
    def restore(profiles: list[tuple[bytes, bytes]], table: ProfileTable) -> None:
        """Add profiles, id and content each, to a table that lacks them."""
        table.ids.add(IdBytes.of([user.decode() for user, _ in profiles]))
        table.memory.unpack([data for _, data in profiles])

    def _is_due(self, ttl_s: float) -> bool:
        return self._latest - self._checked >= ttl_s / _CHECKS_PER_TTL

    def _evict(self, rows: Ints) -> int:
        """Write users (falling rows) to the file, then let them go; 0 if the disk takes none."""
        table = self._table
        users = [user.encode() for user in table.ids.ids(rows).strings()]
        try:
            if self._file is None and table.storage.spill is not None:
                self._file = SpillFile(table.storage.spill)
            if self._file is not None:
                self._file.put(zip(users, table.memory.pack(rows), strict=True))
        except StoreError as error:
            log.warning("everybody stays in memory: %s", error)
            return 0
        table.memory.remove(rows)
        moved: dict[int, int] = {}
        for row in rows.tolist():
            last = table.ids.remove(row)
            if last != row:
                moved[row] = moved.pop(last, last)
        table.waiting.move({old: new for new, old in moved.items()})
        return len(rows)
