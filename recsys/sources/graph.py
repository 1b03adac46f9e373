"""Items of the interests that are awake in a user: the strongest, and those that they lead to.

Each interest brings its share of what is wanted, its best items first; the lists are merged by
turns, an interest twice as awake having twice as many.
"""

from __future__ import annotations

import numpy as np

from recsys.graph.activation import activation
from recsys.graph.overlay import overlay
from recsys.ranking import interest_part, top_k
from recsys.sources.base import Asked, Rows

_LEAST = 0.01
"""Of all activation: an interest that has less brings nothing."""


class Graph:
    """See the module; nothing where the bundle has no graph, or the user no interest."""

    name = "graph"

    def find(self, asked: Asked, wanted: int) -> Rows:
        """``Source.find``."""
        graph = asked.shelf.graph
        if graph is None:
            return np.zeros(0, np.int64)
        awake = activation(overlay(asked.evidence, graph, asked.as_of).weight, graph)
        found, turns = [np.zeros(0, np.int64)], [np.zeros(0)]
        for a in np.flatnonzero(awake >= _LEAST).tolist():
            rows = graph.rows_of[a]
            near = interest_part(asked.evidence.query.vectors[0], asked.shelf.items.vectors[rows])
            n_wanted = min(int(np.ceil(awake[a] * wanted)), len(rows))
            best = rows[top_k(near + asked.trend[rows], asked.allowed[rows], n_wanted)]
            found.append(best)
            turns.append((np.arange(len(best)) + 1.0) / awake[a])
        order = np.argsort(np.concatenate(turns), kind="stable")
        return np.concatenate(found)[order][:wanted]


SOURCE = Graph()
