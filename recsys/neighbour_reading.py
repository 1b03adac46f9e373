"""Compiled: reading fitted neighbours, whose entries stand row by row with rising items."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def add(out: Floats, rows: npt.NDArray[Any], weight: Floats, near: Any) -> None:
    """Add to out (N,) what events (n,) of these rows and weights give to their neighbours."""
    offsets, item, value = near
    for e in range(len(rows)):
        if rows[e] >= 0 and weight[e] > 0.0:
            for place in range(offsets[rows[e]], offsets[rows[e] + 1]):
                out[item[place]] += weight[e] * value[place]


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def look_up(out: Floats, rows: npt.NDArray[Any], wanted: npt.NDArray[np.int32], near: Any) -> None:
    """Write B of each event's row (n,) and each wanted item (m,), by halving."""
    offsets, item, value = near
    for e in range(len(rows)):
        for i in range(len(wanted) if rows[e] >= 0 else 0):
            low, high = offsets[rows[e]], offsets[rows[e] + 1]
            end = high
            while low < high:
                middle = (low + high) // 2
                if item[middle] < wanted[i]:
                    low = middle + 1
                else:
                    high = middle
            if low < end and item[low] == wanted[i]:
                out[e, i] = value[low]
