"""When the users of a pack first touched the candidates."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from recsys.training.sequences import Pack

Ints = npt.NDArray[np.int64]
Times = npt.NDArray[np.float64]


def first_touched(pack: Pack, rows: Ints, n_items: int) -> Times:
    """(U, C) when the user of each run first touched each candidate row; inf = never."""
    slot = np.full(n_items, -1, np.int64)
    slot[rows] = np.arange(len(rows))
    out = np.full((len(pack.bounds) - 1, len(rows)), np.inf)
    item = np.where(pack.sign != 0, pack.item, -1)  # a mere impression is no touch
    _first_touched(pack.bounds, item, pack.ts, slot, out)
    return out


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _first_touched(bounds: Ints, item: Any, ts: Times, slot: Ints, out: Times) -> None:
    for u in range(bounds.shape[0] - 1):
        for e in range(bounds[u], bounds[u + 1]):
            if item[e] >= 0 and slot[item[e]] >= 0:
                c = slot[item[e]]
                out[u, c] = min(out[u, c], ts[e])
