"""How awake the interest of an item is in the user: ``log(1 + A s_a)``, s by spreading activation.

``A`` interests share an activation of 1: an interest with its even share has log 2. Items in no
interest, and all items for users without any, have 0.
"""

from __future__ import annotations

import numpy as np

from recsys.ranker.viewed import Doubles, Viewed

IS_PERSONAL = True


def read(viewed: Viewed) -> Doubles:
    """(V, n) at least 0."""
    graph = viewed.shelf.graph
    if graph is None or len(graph) == 0:
        return np.zeros((len(viewed.held), len(viewed.rows)))
    node = graph.node[viewed.rows]
    whole = viewed.interests @ graph.awakening.sum(axis=1)
    woken = viewed.interests @ graph.awakening[:, np.maximum(node, 0)]
    share = np.divide(woken, whole[:, None], out=np.zeros_like(woken), where=whole[:, None] > 0)
    found: Doubles = np.where(node >= 0, np.log1p(len(graph) * share), 0.0)
    return found
