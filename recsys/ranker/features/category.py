"""How much of what the user did is of an item's categories, beyond what the catalog has of them.

    sum over events e of left_e (likeness_ei - common_i) / (sum left_e + m_0)

where the likeness of two items is how much of the one's categories is also the other's.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from recsys.ranker.viewed import Doubles, Viewed

IS_PERSONAL = True

Ints = npt.NDArray[np.int64]


def read(viewed: Viewed) -> Doubles:
    """(V, n) in [-1, 1]."""
    shelf, rows = viewed.shelf, np.asarray(viewed.rows, np.int64)
    bounds, positions = shelf.category_runs
    likeness = np.zeros((len(viewed.events.item), len(rows)))
    mark = np.zeros(len(shelf.category_names))
    _likeness(likeness, mark, bounds, positions, viewed.events.item, rows)
    common = np.zeros((1, len(rows)))
    _common(common[0], shelf.category_shares, bounds, positions, rows)
    return viewed.mean(viewed.long, likeness - common)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _likeness(
    out: Doubles, mark: Doubles, bounds: Ints, positions: Ints, events: Ints, rows: Ints
) -> None:
    """``mark`` (C,) is scratch: what the current event has of each category."""
    for e in range(len(events)):
        start, stop = bounds[events[e]], bounds[events[e] + 1]
        for p in range(start, stop):
            mark[positions[p]] = 1.0 / (stop - start)
        _common(out[e], mark, bounds, positions, rows)
        for p in range(start, stop):
            mark[positions[p]] = 0.0


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _common(out: Any, share: Doubles, bounds: Ints, positions: Ints, rows: Ints) -> None:
    """The mean share of the categories of each item."""
    for i in range(len(rows)):
        start, stop = bounds[rows[i]], bounds[rows[i] + 1]
        total = 0.0
        for p in range(start, stop):
            total += share[positions[p]]
        out[i] = total / max(stop - start, 1)
