"""The latest events of each user, in rings of fixed size: for reasons and for refolds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt


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


_COLUMNS = tuple(f"_{name}" for name in RecentEvents._fields)


class RecentRing:
    """B rings of R events, each sorted by (ts, item, kind) from its oldest on.

    Args:
        n_recent: R.
    """

    def __init__(self, n_recent: int) -> None:
        self._n_recent = n_recent
        self._item = np.zeros((0, n_recent), np.int32)
        self._ts = np.zeros((0, n_recent), np.float64)
        self._importance = np.zeros((0, n_recent), np.float32)
        self._kind = np.zeros((0, n_recent), np.uint8)
        self._value = np.zeros((0, n_recent), np.float32)
        self._oldest = np.zeros(0, np.int32)
        self._count = np.zeros(0, np.int32)
        self._n_rows = 0

    def reserve(self, n_rows: int) -> None:
        """Make room for ``n_rows`` users."""
        for name in (*_COLUMNS, "_oldest", "_count"):
            array = getattr(self, name)
            larger = np.zeros((n_rows, *array.shape[1:]), array.dtype)
            larger[: len(array)] = array
            setattr(self, name, larger)

    def add(
        self,
        rows: npt.NDArray[np.int64],
        item: npt.NDArray[np.int64],
        ts: npt.NDArray[np.float64],
        importance: npt.NDArray[np.float32],
        kind: npt.NDArray[np.uint8],
        value: npt.NDArray[np.float32],
    ) -> None:
        """Add T events in any order; each ring keeps its R latest."""
        ring = (*(getattr(self, name) for name in _COLUMNS), self._oldest, self._count)
        _add(ring, (rows, item.astype(np.int32), ts, importance, kind, value))

    def of(self, row: int) -> RecentEvents:
        """The latest events of one user, newest first."""
        count = int(self._count[row])
        place = (int(self._oldest[row]) + np.arange(count - 1, -1, -1)) % self._n_recent
        return RecentEvents(*(getattr(self, name)[row, place] for name in _COLUMNS))

    def columns(self, n_rows: int) -> dict[str, npt.NDArray[Any]]:
        """``count`` (B,) and the events held, user by user and oldest first, (E,) each."""
        count = self._count[:n_rows].copy()
        order = (self._oldest[:n_rows, None] + np.arange(self._n_recent)) % self._n_recent
        place = order[np.arange(self._n_recent) < count[:, None]]
        rows = np.repeat(np.arange(n_rows), count)
        held = RecentEvents(*(getattr(self, name)[rows, place] for name in _COLUMNS))
        return {"count": count, **held._asdict()}

    @classmethod
    def from_columns(cls, columns: Mapping[str, npt.NDArray[Any]], n_recent: int) -> RecentRing:
        """The inverse of ``columns``; a smaller ring keeps the latest.

        Columns written before values were kept have none: their values read as NaN.
        """
        ring = cls(n_recent)
        count = columns["count"]
        ring.reserve(len(count))
        rows = np.repeat(np.arange(len(count)), count)
        item = columns["item"].astype(np.int64)
        value = columns.get("value", np.full(len(rows), np.nan, np.float32))
        ring.add(rows, item, columns["ts"], columns["importance"], columns["kind"], value)
        return ring


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _add(ring: Any, events: Any) -> None:
    item, ts, importance, kind, value, oldest, count = ring
    rows, new_item, new_ts, new_importance, new_kind, new_value = events
    n_recent = ts.shape[1]
    for t in range(rows.shape[0]):
        row = rows[t]
        if count[row] == n_recent:
            first = oldest[row]
            newest = (new_ts[t], new_item[t], new_kind[t])
            if newest <= (ts[row, first], item[row, first], kind[row, first]):
                continue
            oldest[row] = (first + 1) % n_recent
            count[row] -= 1
        place = (oldest[row] + count[row]) % n_recent
        for _ in range(count[row]):  # an event that is late moves back to its time
            before = (place - 1) % n_recent
            older = (ts[row, before], item[row, before], kind[row, before])
            if older <= (new_ts[t], new_item[t], new_kind[t]):
                break
            item[row, place] = item[row, before]
            ts[row, place] = ts[row, before]
            importance[row, place] = importance[row, before]
            kind[row, place] = kind[row, before]
            value[row, place] = value[row, before]
            place = before
        item[row, place] = new_item[t]
        ts[row, place] = new_ts[t]
        importance[row, place] = new_importance[t]
        kind[row, place] = new_kind[t]
        value[row, place] = new_value[t]
        count[row] += 1
