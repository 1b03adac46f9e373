"""The interest graph of a bundle: nodes with their names, and what leads from one to another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from recsys.catalog import Catalog
from recsys.events import EventArrays
from recsys.graph.edges import EdgeSums, Floats, adjacency, edge_sums, no_edges
from recsys.graph.labels import NodeLabel
from recsys.graph.nodes import nodes
from recsys.graph.options import GraphSettings
from recsys.interest.model import ItemTable
from recsys.settings import InterestSettings

Ints = npt.NDArray[np.int64]


class Edge(NamedTuple):
    """From one interest to another."""

    source: int
    """Node."""
    target: int
    """Node."""
    passages: float
    """Decayed number of users who went this way."""
    weight: float
    """Share of the adjacency of the source, beyond chance."""


@dataclass(frozen=True)
class InterestGraph:
    """A nodes over N items; never changed."""

    centres: Floats
    """(A, D) unit rows."""
    node: Ints
    """(N,) of each item; -1 = nothing is known of it, so it is in none."""
    labels: tuple[NodeLabel, ...]
    """(A,) all different."""
    passages: Floats
    """(A, A) decayed passages."""
    mass: Floats
    """(A,) decayed positive events."""
    as_of: float
    """Unix seconds that masses and passages are decayed to; nothing later is in them."""
    options: GraphSettings

    def __len__(self) -> int:
        return len(self.centres)

    @cached_property
    def sizes(self) -> Ints:
        """(A,) items."""
        return np.bincount(self.node[self.node >= 0], minlength=len(self)).astype(np.int64)

    @cached_property
    def rows_of(self) -> list[Ints]:
        """(A,) the catalog rows of each node, rising."""
        order = np.argsort(self.node, kind="stable").astype(np.int64)
        bounds = np.searchsorted(self.node[order], np.arange(len(self) + 1))
        return [order[bounds[a] : bounds[a + 1]] for a in range(len(self))]

    @cached_property
    def adjacency(self) -> Floats:
        """(A, A) see ``edges.adjacency``."""
        return adjacency(self.passages)

    @cached_property
    def awakening(self) -> npt.NDArray[np.float64]:
        """(A, A) what each interest wakes of each: ``w_ia exp(h_a.h_i / tau)``, up to a factor."""
        reach = self.options.spread * self.adjacency.astype(np.float64)
        np.fill_diagonal(reach, 1.0)
        likeness = self.centres.astype(np.float64) @ self.centres.T
        found: npt.NDArray[np.float64] = reach * np.exp((likeness - 1.0) / self.options.temperature)
        return found

    def aligned(self, rows: Ints) -> InterestGraph:
        """The same for another catalog.

        Args:
            rows: (M,) row of each of its items in ours; -1 = we lack it, so it is in no node.
        """
        return replace(self, node=np.append(self.node, -1)[rows])

    def strongest(self, limit: int) -> list[Edge]:
        """Edges of most passages among those beyond chance, the strongest first."""
        worth = np.where(self.adjacency > 0.0, self.passages, 0.0).ravel()
        best = np.argsort(-worth, kind="stable")[:limit]
        pairs = [divmod(int(place), len(self)) for place in best if worth[place] > 0.0]
        return [
            Edge(a, b, float(self.passages[a, b]), float(self.adjacency[a, b])) for a, b in pairs
        ]


@dataclass(frozen=True)
class Unconnected:
    """Nodes and names, before any event is counted."""

    centres: Floats
    node: Ints
    labels: tuple[NodeLabel, ...]
    options: GraphSettings
    as_of: float

    def count(self, events: EventArrays, interest: InterestSettings) -> EdgeSums:
        """What some users did; the rows of the events are those of the catalog."""
        n, life = len(self.centres), self.options.edge_half_life_s
        return edge_sums(events, self.node, n, self.as_of, life, interest)

    def connected(self, counted: Sequence[EdgeSums]) -> InterestGraph:
        """The graph of everything counted."""
        whole = sum(counted, no_edges(len(self.centres)))
        return InterestGraph(
            self.centres,
            self.node,
            self.labels,
            whole.passages.astype(np.float32),
            whole.mass.astype(np.float32),
            self.as_of,
            self.options,
        )


def unconnected(
    catalog: Catalog, items: ItemTable, options: GraphSettings, data_until: float
) -> Unconnected:
    """Find and name the interests of a catalog.

    Args:
        catalog: N items.
        items: their vectors.
        options: of the graph.
        data_until: Unix seconds; events up to this moment may be counted.
    """
    found = nodes(catalog, items.directions, options.max_nodes, options.seed)
    centres, node, _ = found.clustering
    return Unconnected(centres, node, tuple(found.labels), options, data_until)
