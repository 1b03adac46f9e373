"""Edges: how often users went from one interest to another, each passage decayed by its age.

    E_ab = sum over consecutive events of a user in nodes a, b of 2^(-(T - t_b)/tau)
    M_a  = sum over events in a of 2^(-(T - t)/tau)

A sum, so the order of users does not matter and partitions are merged by addition.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from recsys.events import EventArrays
from recsys.interest.zero_shot import is_positive
from recsys.settings import InterestSettings

Floats = npt.NDArray[np.float32]
Masses = npt.NDArray[np.float64]


class EdgeSums(NamedTuple):
    """What is counted of a log, as of one moment."""

    passages: Masses
    """(A, A) from a row's node to a column's; on the diagonal those who stayed."""
    mass: Masses
    """(A,) decayed positive events."""

    def __add__(self, other: object) -> EdgeSums:
        """Counted together; of the same nodes and moment."""
        if not isinstance(other, EdgeSums):
            return NotImplemented
        return EdgeSums(self.passages + other.passages, self.mass + other.mass)


def no_edges(n_nodes: int) -> EdgeSums:
    """Of no event."""
    return EdgeSums(np.zeros((n_nodes, n_nodes)), np.zeros(n_nodes))


def edge_sums(
    events: EventArrays,
    node: npt.NDArray[np.int64],
    n_nodes: int,
    as_of: float,
    half_life_s: float,
    interest: InterestSettings,
) -> EdgeSums:
    """Count some users.

    Args:
        events: whole histories; those after ``as_of`` are passed over, as are events that are not
            positive and items without node: the interests before and after them are consecutive.
        node: (N,) of each item; negative = none.
        n_nodes: A.
        as_of: T, Unix seconds.
        half_life_s: tau, seconds.
        interest: says what is positive.
    """
    of_event = np.where(events.item >= 0, np.append(node, -1)[events.item], -1)
    positive = is_positive(events.kind, events.value, interest)
    kept = np.flatnonzero(positive & (of_event >= 0) & (events.ts <= as_of))
    at, user, ts = of_event[kept], events.user[kept], events.ts[kept]
    weight = np.exp2(-(as_of - ts) / half_life_s)
    mass = np.bincount(at, weights=weight, minlength=n_nodes)
    same = user[1:] == user[:-1]
    pair = at[:-1][same] * n_nodes + at[1:][same]
    passages = np.bincount(pair, weights=weight[1:][same], minlength=n_nodes * n_nodes)
    whole = np.asarray(passages.reshape(n_nodes, n_nodes), np.float64)
    return EdgeSums(whole, np.asarray(mass, np.float64))


def adjacency(passages: npt.NDArray[np.floating]) -> Floats:
    """(A, A) where interests lead, beyond what chance would have: rows sum to 1, or are zero.

    The share of those who go from a to b, less the share of all who arrive at b; what is below
    chance, and staying, is no edge.
    """
    moved = np.array(passages, np.float64)
    np.fill_diagonal(moved, 0.0)
    out, total = moved.sum(axis=1, keepdims=True), moved.sum()
    if total <= 0.0:
        return np.zeros(moved.shape, np.float32)
    share = np.divide(moved, out, out=np.zeros_like(moved), where=out > 0.0)
    arrive = moved.sum(axis=0) / total
    excess = np.where(moved > 0.0, np.maximum(share - arrive, 0.0), 0.0)
    rows = excess.sum(axis=1, keepdims=True)
    found: Floats = np.divide(excess, rows, out=excess, where=rows > 0.0).astype(np.float32)
    return found
