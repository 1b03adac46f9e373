"""The latest impressions of a table's users: what fatigue is counted from.

They stand apart from profiles, because users whose client reports no impressions pay nothing for
them. A user has one row of ``n_shown`` places, kept in no order: which impressions are the latest,
by (ts, item), does not depend on the order in which they came.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from recsys.interest.id_map import NO_ROW, IdBytes, IdMap
from recsys.settings import DAY_S

IMPRESSION = "impression"
KEPT_S = 60 * DAY_S
"""Whose latest impression is so far behind the table's may be forgotten when room is made."""
_FEWEST = 16

Ints = npt.NDArray[np.int64]


class Shown(NamedTuple):
    """What B users were shown."""

    bounds: Ints
    """(B + 1,) of each user's impressions."""
    item: npt.NDArray[np.int32]
    """(I,) rows of the catalog."""
    ts: npt.NDArray[np.float64]
    """(I,) Unix seconds; of one user the oldest first."""

    def of(self, b: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]:
        """Items and times of one user."""
        some = slice(int(self.bounds[b]), int(self.bounds[b + 1]))
        return self.item[some], self.ts[some]


def joined(parts: Sequence[Shown]) -> Shown:
    """Several, one after another; at least one."""
    counts = np.concatenate([np.diff(part.bounds) for part in parts])
    return Shown(
        np.concatenate([[0], np.cumsum(counts)]),
        np.concatenate([part.item for part in parts]),
        np.concatenate([part.ts for part in parts]),
    )


class ShownItems:
    """Impressions by user.

    Args:
        n_shown: impressions kept per user; 0 = none.
    """

    def __init__(self, n_shown: int) -> None:
        self._ids = IdMap()
        self._count = np.zeros(0, np.int32)
        self._item = np.zeros((0, n_shown), np.int32)
        self._ts = np.zeros((0, n_shown), np.float64)

    def __len__(self) -> int:
        """Number of users."""
        return len(self._ids)

    @property
    def n_bytes(self) -> int:
        """Bytes that the impressions take, ids left out."""
        return int(self._count.nbytes + self._item.nbytes + self._ts.nbytes)

    @property
    def n_places(self) -> int:
        """Users that there is room for."""
        return len(self._count)

    def add(self, ids: IdBytes, item: npt.NDArray[np.integer[Any]], ts: npt.NDArray[Any]) -> None:
        """Take T impressions in, each for the first time.

        Args:
            ids: (T,) users; repeats welcome.
            item: (T,) rows of the catalog, none negative.
            ts: (T,) Unix seconds, finite.
        """
        if len(ids) == 0 or self._item.shape[1] == 0:
            return
        if len(self._ids) + len(ids) > len(self._count):
            self._make_room(len(ids), float(ts.max()))
        rows = self._ids.add(ids)
        arrays = (self._count, self._item, self._ts)
        _add(rows, np.asarray(item, np.int32), np.asarray(ts, np.float64), *arrays)

    def of(self, ids: IdBytes) -> Shown:
        """What users (B,) were shown; of somebody unknown nothing."""
        rows = self._ids.find(ids)
        known = np.flatnonzero(rows != NO_ROW)
        counts = np.zeros(len(rows) + 1, np.int64)
        counts[known + 1] = self._count[rows[known]]
        user, place = np.repeat(np.arange(len(rows)), counts[1:]), _places(counts[1:])
        item, ts = self._item[rows[user], place], self._ts[rows[user], place]
        order = np.lexsort((item, ts, user))
        return Shown(np.cumsum(counts), item[order], ts[order])

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """Named arrays for a snapshot."""
        ids = self._ids.ids()
        bounds, item, ts = self.of(ids)
        users = np.array([*ids.strings(), None], dtype=object)[:-1]
        return {"user_id": users, "n": np.diff(bounds), "item": item, "ts": ts}

    def fill(self, columns: Mapping[str, npt.NDArray[Any]]) -> None:
        """The inverse of ``columns``; where fewer are kept than there were, the latest stay."""
        users = np.repeat(np.asarray(columns["user_id"], object), columns["n"])
        self.add(IdBytes.of(users.tolist()), columns["item"], columns["ts"])

    def _make_room(self, n_more: int, now: float) -> None:
        """Forget those whose impressions have faded, and grow to hold the others and ``n_more``."""
        n = len(self._ids)
        filled = np.arange(self._item.shape[1]) < self._count[:n, None]
        latest = np.max(self._ts[:n], axis=1, initial=-np.inf, where=filled)
        now = max(now, float(latest.max(initial=-np.inf)))
        for row in np.flatnonzero(latest < now - KEPT_S)[::-1].tolist():
            last = self._ids.remove(row)
            for array in (self._count, self._item, self._ts):
                array[row] = array[last]
                array[last] = 0
        size = max(len(self._ids) + n_more, len(self._count) * 3 // 2, _FEWEST)
        self._count = _grown(self._count, size)
        self._item = _grown(self._item, size)
        self._ts = _grown(self._ts, size)


def _places(counts: Ints) -> Ints:
    """0, 1, ... n - 1 for each n."""
    ends = np.cumsum(counts)
    found: Ints = np.arange(int(ends[-1]) if len(ends) > 0 else 0) - np.repeat(
        ends - counts, counts
    )
    return found


def _grown(array: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    larger = np.zeros((size, *array.shape[1:]), array.dtype)
    larger[: len(array)] = array
    return larger


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _add(rows: Ints, item: Any, ts: Any, counts: Any, items: Any, times: Any) -> None:
    for t in range(len(rows)):
        row = rows[t]
        place = counts[row]
        if place < items.shape[1]:
            counts[row] = place + 1
        else:  # the oldest goes, which may be the new one
            place = 0
            for other in range(1, items.shape[1]):
                if (times[row, other], items[row, other]) < (times[row, place], items[row, place]):
                    place = other
            if (ts[t], item[t]) <= (times[row, place], items[row, place]):
                continue
        items[row, place], times[row, place] = item[t], ts[t]
