"""What may stand beside the query in a score: a part that is read from recent events themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Times = npt.NDArray[np.float64]


class NeighbourPart(Protocol):
    """A part of the score that is read from a user's recent events themselves."""

    def part(
        self,
        item: npt.NDArray[np.integer[Any]],
        ts: Times,
        as_of: float,
        importance: npt.NDArray[np.floating[Any]],
    ) -> Floats:
        """Scores of all items.

        Args:
            item: (n,) catalog rows, none unknown; the newest first.
            ts: (n,) Unix seconds.
            as_of: the moment.
            importance: (n,) signed: negative evidence is below 0.

        Returns:
            (N,) float32; zeros where n is 0.
        """
        ...


@dataclass(frozen=True)
class AlignedNeighbours:
    """Neighbours of one catalog, asked in the rows of another."""

    neighbours: NeighbourPart
    """In rows of the first catalog."""
    rows: Ints
    """(N,) row of each item in the first catalog; -1 = it has none, and no neighbours."""

    def part(
        self,
        item: npt.NDArray[np.integer[Any]],
        ts: Times,
        as_of: float,
        importance: npt.NDArray[np.floating[Any]],
    ) -> Floats:
        """See ``NeighbourPart.part``."""
        there = self.rows[item]
        kept = there >= 0
        found = self.neighbours.part(there[kept], ts[kept], as_of, importance[kept])
        out = np.zeros(len(self.rows), np.float32)
        known = self.rows >= 0
        out[known] = found[self.rows[known]]
        return out
