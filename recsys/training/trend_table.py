"""Trend at any past moment, in memory that is bounded by the log's span and not by its length.

Time is cut into cells of a twenty-fourth of the shortest half-life. For each item the masses are
kept after each cell in which it had events, as of that cell's end; trend as of a moment is that of
the cells before the moment's own, decayed. So training sees trend that is at most a cell old, and
never an event of the future; serving and evaluation are exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from recsys.trend import trend_features

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

CELLS_PER_HALF_LIFE = 24


class CellCounts(NamedTuple):
    """How often items were chosen, by cell; sorted by item, then cell."""

    item: npt.NDArray[np.int32]
    """(n,) catalog rows."""
    cell: Ints
    """(n,) cells since the epoch."""
    n_events: Floats
    """(n,)"""


def cell_s(half_lives_s: Sequence[float]) -> float:
    """Seconds of a cell."""
    return min(half_lives_s) / CELLS_PER_HALF_LIFE


def count_cells(
    item: npt.NDArray[np.integer[Any]],
    ts: npt.NDArray[np.float64],
    weight: npt.NDArray[np.floating[Any]],
    width_s: float,
) -> CellCounts:
    """Sum weights by item and cell.

    Args:
        item: (T,) catalog rows, none negative.
        ts: (T,) Unix seconds.
        weight: (T,) of each event.
        width_s: seconds of a cell.
    """
    cell = np.floor(ts / width_s).astype(np.int64)
    order = np.lexsort((cell, item))
    return _summed(item[order].astype(np.int32), cell[order], weight[order].astype(np.float32))


def merge_counts(parts: Sequence[CellCounts]) -> CellCounts:
    """The counts of several logs together."""
    item, cell, count = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    order = np.lexsort((cell, item))
    return _summed(item[order], cell[order], count[order])


class TrendTable:
    """Trend features of all items at past moments.

    Args:
        counts: of the whole log.
        n_items: N.
        half_lives_s: (Ht,) seconds.
    """

    def __init__(self, counts: CellCounts, n_items: int, half_lives_s: Sequence[float]) -> None:
        self.half_lives_s = np.asarray(half_lives_s, np.float64)
        self.width_s = cell_s(half_lives_s)
        self._cell = counts.cell
        self._bounds = np.searchsorted(counts.item, np.arange(n_items + 1)).astype(np.int64)
        self._mass = np.zeros((len(counts.item), len(self.half_lives_s)), np.float32)
        decay = np.exp2(-self.width_s / self.half_lives_s)
        _accumulate(self._bounds, self._cell, counts.n_events, np.log(decay), self._mass)

    def cells(self, as_of: npt.NDArray[np.float64]) -> Ints:
        """(P,) the cell of each moment."""
        found: Ints = np.floor(as_of / self.width_s).astype(np.int64)
        return found

    def features(self, cells: Ints, rows: npt.NDArray[np.integer[Any]]) -> Floats:
        """Trend as of the beginning of cells.

        Args:
            cells: (G,) of ``cells``.
            rows: (C,) catalog rows.

        Returns:
            (G, C, Ht) float32 log(1 + decayed count).
        """
        mass = np.zeros((len(cells), len(rows), len(self.half_lives_s)), np.float32)
        rates = np.log(2.0) * self.width_s / self.half_lives_s
        where = np.ascontiguousarray(rows, np.int64)
        _look_up(self._bounds, self._cell, self._mass, (cells, where, rates), mass)
        return trend_features(mass)


def _summed(item: npt.NDArray[np.int32], cell: Ints, count: Floats) -> CellCounts:
    is_new = np.ones(len(item), bool)
    is_new[1:] = (item[1:] != item[:-1]) | (cell[1:] != cell[:-1])
    first = np.flatnonzero(is_new)
    total = np.add.reduceat(count, first) if len(first) else count
    return CellCounts(item[first], cell[first], total.astype(np.float32))


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _accumulate(bounds: Ints, cell: Ints, count: Floats, log_decay: Any, mass: Floats) -> None:
    for i in range(bounds.shape[0] - 1):
        for e in range(bounds[i], bounds[i + 1]):
            for h in range(log_decay.shape[0]):
                before = np.float32(0.0)
                if e > bounds[i]:
                    before = mass[e - 1, h] * np.exp(log_decay[h] * (cell[e] - cell[e - 1]))
                # within the cell events stand at its middle on average
                mass[e, h] = before + count[e] * np.exp(0.5 * log_decay[h])


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _look_up(bounds: Ints, cell: Ints, mass: Floats, asked: Any, out: Floats) -> None:
    cells, rows, rates = asked
    factors = np.empty(rates.shape[0])
    for g in range(cells.shape[0]):
        for c in range(rows.shape[0]):
            low, high = bounds[rows[c]], bounds[rows[c] + 1]
            first = low
            while low < high:
                middle = (low + high) // 2
                if cell[middle] < cells[g]:
                    low = middle + 1
                else:
                    high = middle
            if low > first:
                ends_ago = cells[g] - cell[low - 1] - 1
                for h in range(rates.shape[0]):
                    factors[h] = np.exp(-rates[h] * ends_ago)
                    out[g, c, h] = mass[low - 1, h] * factors[h]
