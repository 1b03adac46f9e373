"""Baselines: what a recommender must be ahead of.

``popular-all-time`` and ``popular-1/7/30-days`` count positive events strictly before the query;
``content-last-item`` ranks by likeness to the user's latest positive item, ``content-decayed-mean``
by likeness to the decayed mean of all of them, every half-life alike.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from recsys.settings import DAY_S

POPULAR_WINDOWS_S: dict[str, float] = {
    "popular-all-time": np.inf,
    "popular-1-day": DAY_S,
    "popular-7-days": 7 * DAY_S,
    "popular-30-days": 30 * DAY_S,
}
LAST_ITEM = "content-last-item"
DECAYED_MEAN = "content-decayed-mean"


class PopularReplay:
    """Counts of the events in ``[now - window, now)``, for rising moments.

    Args:
        item: (T,) catalog rows, none unknown.
        ts: (T,) Unix seconds, sorted.
        n_items: N.
        window_s: seconds; inf = all that came before.
    """

    def __init__(
        self,
        item: npt.NDArray[np.integer[Any]],
        ts: npt.NDArray[np.float64],
        n_items: int,
        window_s: float,
    ) -> None:
        self._item, self._ts, self._window_s = item, ts, window_s
        self._start = self._end = 0
        self.counts = np.zeros(n_items, np.float32)
        """(N,) as of the last ``advance_to``; exact up to 2^24."""

    def advance_to(self, now: float) -> None:
        """Let in what has happened and out what has become too old."""
        end = int(np.searchsorted(self._ts, now, side="left"))
        start = int(np.searchsorted(self._ts, now - self._window_s, side="left"))
        _count(self.counts, self._item[self._end : end], np.float32(1.0))
        _count(self.counts, self._item[self._start : start], np.float32(-1.0))
        self._start, self._end = start, end


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _count(counts: npt.NDArray[np.float32], item: npt.NDArray[Any], change: np.float32) -> None:
    for i in item:
        counts[i] += change
