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
_BITS = 12
_LOW, _MASK = 1 << _BITS, (1 << _BITS) - 1
_NEVER = np.iinfo(np.int64).min


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
        self._tables: tuple[Floats, Floats] | None = None
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
            cells: (G,) of ``cells``, rising.
            rows: (C,) catalog rows.

        Returns:
            (G, C, Ht) float32 log(1 + decayed count).
        """
        mass = np.zeros((len(cells), len(rows), len(self.half_lives_s)), np.float32)
        where = np.ascontiguousarray(rows, np.int64)
        tables = self._fading(int(cells.max() - self._cell.min(initial=cells.max())))
        log = (self._bounds, self._cell, self._mass)
        _look_up(log, cells, where, tables, mass)
        return trend_features(mass)

    def fresh(self, cells: Ints, born: npt.NDArray[np.float64]) -> Floats:
        """What is left of the birth of items as of the beginning of cells.

        Args:
            cells: (G,) of ``cells``, rising.
            born: (C,) Unix seconds; -inf = always there.

        Returns:
            (G, C, Ht) float32 in [0, 1]; (G, C, 0) where no birth is known.
        """
        known = np.isfinite(born)
        if not known.any():
            return np.zeros((len(cells), len(born), 0), np.float32)
        out = np.zeros((len(cells), len(born), len(self.half_lives_s)), np.float32)
        birth = np.full(len(born), _NEVER, np.int64)
        birth[known] = self.cells(born[known])
        _left_of(cells, birth, self._fading(int(cells.max() - birth[known].min())), out)
        return out

    def _fading(self, n_cells: int) -> tuple[Floats, Floats]:
        """What a number of cells leaves, (., Ht) each: of its low bits, and of its high ones."""
        n = max(n_cells, 0) + 1
        if self._tables is None or len(self._tables[1]) * _LOW < n:
            rates = self.width_s / self.half_lives_s
            low = np.exp2(-np.arange(_LOW)[:, None] * rates)
            high = np.exp2(-_LOW * np.arange(-(-n // _LOW))[:, None] * rates)
            self._tables = low.astype(np.float32), high.astype(np.float32)
        return self._tables


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
def _look_up(log: Any, cells: Ints, rows: Ints, tables: Any, out: Floats) -> None:
    """Masses (G, C, Ht) of rows as of the beginning of rising cells."""
    bounds, cell, mass = log
    low, high = tables
    place = bounds[rows]
    for g in range(cells.shape[0]):
        for c in range(rows.shape[0]):
            end, at = bounds[rows[c] + 1], place[c]
            while at < end and cell[at] < cells[g]:
                at += 1
            place[c] = at
            if at > bounds[rows[c]]:
                ago = cells[g] - cell[at - 1] - 1
                for h in range(low.shape[1]):
                    left = low[ago & _MASK, h] * high[ago >> _BITS, h]
                    out[g, c, h] = mass[at - 1, h] * left


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _left_of(cells: Ints, birth: Ints, tables: Any, out: Floats) -> None:
    """What is left (G, C, Ht) of births (C,) as of the beginning of cells (G,)."""
    low, high = tables
    for g in range(cells.shape[0]):
        for c in range(birth.shape[0]):
            if birth[c] != _NEVER:
                ago = max(cells[g] - birth[c], 0)
                for h in range(low.shape[1]):
                    out[g, c, h] = low[ago & _MASK, h] * high[ago >> _BITS, h]
