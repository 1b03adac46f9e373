"""Which nodes of a graph a user's wishes are about.

A wish goes to the node whose centre is nearest to its own, if their cosine is at least
``LEAST_COSINE``; else to the node of its label; else to none, and is kept. A model that was trained
anew has other directions, in which a chance likeness of that size does not happen (its cosines
spread by 1 / sqrt(D): .8 is more than six of these at 64 dimensions), so there labels decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recsys.graph.interest_graph import InterestGraph
from recsys.wishes.wish import Wish

LEAST_COSINE = 0.8
"""Least cosine of two centres that are one interest."""


@dataclass(frozen=True)
class Wished:
    """What a user wishes, by the nodes of one graph."""

    by_node: dict[int, Wish]
    inactive: tuple[Wish, ...] = ()
    """Wishes about what this graph does not have."""

    def __len__(self) -> int:
        return len(self.by_node) + len(self.inactive)


def matched(wishes: Sequence[Wish], graph: InterestGraph | None) -> Wished:
    """Find the node of each wish; several of one node are one wish, the latest of each field."""
    found: dict[int, Wish] = {}
    inactive = []
    for wish in wishes:
        node = None if graph is None else node_of(wish, graph)
        if node is None:
            inactive.append(wish)
        else:
            found[node] = found[node].merged(wish) if node in found else wish
    spoken = {node: wish for node, wish in found.items() if wish.says_something}
    return Wished(spoken, tuple(wish for wish in inactive if wish.says_something))


def node_of(wish: Wish, graph: InterestGraph) -> int | None:
    """The node that a wish is about; None = the graph does not have it."""
    centre = wish.centre
    if len(graph) > 0 and centre.shape == graph.centres.shape[1:] and centre.any():
        likeness = graph.centres @ (centre / np.linalg.norm(centre))
        nearest = int(np.argmax(likeness))
        if likeness[nearest] >= LEAST_COSINE:
            return nearest
    return labelled(wish.label, graph)


def labelled(label: str, graph: InterestGraph) -> int | None:
    """The node of a label; None = there is none."""
    names = [name.label for name in graph.labels]
    return names.index(label) if label in names else None
