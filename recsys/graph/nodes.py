"""The nodes of a catalog: as many interests as can be told apart by their names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from recsys.catalog import Catalog
from recsys.graph.clusters import Clustering, Floats, clusterings
from recsys.graph.labels import NodeLabel, Reader

NAMED_SHARE = 0.9
"""Share of the nodes that must have a name of their own, of words that are not rare in them."""
RARE = 0.3
"""A word that a smaller share of a node's items has is rare in it."""
HIT_SHARE = 0.7
"""Share of a node's items that must have the words of its name, in the median."""


class Nodes(NamedTuple):
    """A nodes, with their names."""

    clustering: Clustering
    labels: list[NodeLabel]
    """(A,)."""


def nodes(catalog: Catalog, directions: Floats, max_nodes: int, seed: int) -> Nodes:
    """The finest clustering of the grid whose nodes can still be named.

    Where none can (items that say nothing), it is the one of the best silhouette.

    Args:
        catalog: N items.
        directions: (N, D) unit rows; a zero row is in no node.
        max_nodes: most nodes.
        seed: of every draw.
    """
    reader = Reader(catalog)
    found = [
        Nodes(one, reader.labels(one.node, len(one.centres)))
        for one in clusterings(directions, max_nodes, seed)
    ]
    if len(found) == 0:
        nothing = np.full(len(directions), -1, np.int64)
        return Nodes(Clustering(directions[:0], nothing, 0.0), [])
    named = [one for one in found if _can_be_named(one.labels)]
    if len(named) > 0:
        return named[-1]
    return max(found, key=lambda one: one.clustering.silhouette)


def _can_be_named(labels: Sequence[NodeLabel]) -> bool:
    own = [min(one.shares, default=0.0) >= RARE and "#" not in one.label for one in labels]
    shares = [float(np.mean(one.shares)) if one.shares else 0.0 for one in labels]
    return bool(np.mean(own) >= NAMED_SHARE and np.median(shares) >= HIT_SHARE)
