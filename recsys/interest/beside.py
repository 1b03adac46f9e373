"""What may stand beside the query in a score: a part that is read from recent events themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Times = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Events = tuple[npt.NDArray[np.integer[Any]], Times, npt.NDArray[np.floating[Any]]]
"""Items, times and importances of n events, as of ``NeighbourPart.part``."""


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


@runtime_checkable
class PartOfMany(NeighbourPart, Protocol):
    """A ``NeighbourPart`` that reads many histories of one user at once."""

    def parts(
        self, events: Events, held: Bools, moments: Times, rows: npt.NDArray[np.integer[Any]]
    ) -> Floats:
        """See ``parts_of``."""
        ...


def parts_of(
    neighbours: NeighbourPart,
    events: Events,
    held: Bools,
    moments: Times,
    rows: npt.NDArray[np.integer[Any]],
) -> Floats:
    """What some items have of several histories that are subsets of the same events.

    Args:
        neighbours: read one history at a time where they know no better.
        events: n of them, the newest first, none of an unknown item.
        held: (V, n) what each history holds.
        moments: (V,) Unix seconds that each is read at.
        rows: (m,) the items.

    Returns:
        (V, m).
    """
    if isinstance(neighbours, PartOfMany):
        return neighbours.parts(events, held, moments, rows)
    item, ts, worth = events
    found = np.zeros((len(held), len(rows)), np.float32)
    for place, (some, as_of) in enumerate(zip(held, moments.tolist(), strict=True)):
        found[place] = neighbours.part(item[some], ts[some], as_of, worth[some])[rows]
    return found


def ages_at(moments: Times, ts: Times) -> tuple[Times, npt.NDArray[np.intp]]:
    """(M, n) ages of events at the distinct moments, never below 0; (V,) which is each one's."""
    distinct, which = np.unique(moments, return_inverse=True)
    return np.maximum(distinct[:, None] - np.asarray(ts, np.float64), 0.0), which


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

    def parts(
        self, events: Events, held: Bools, moments: Times, rows: npt.NDArray[np.integer[Any]]
    ) -> Floats:
        """See ``parts_of``."""
        item, ts, worth = events
        there, wanted = self.rows[item], self.rows[rows]
        kept, known = there >= 0, wanted >= 0
        mine = (there[kept], ts[kept], worth[kept])
        out = np.zeros((len(held), len(rows)), np.float32)
        out[:, known] = parts_of(self.neighbours, mine, held[:, kept], moments, wanted[known])
        return out
