"""How like an item is to the strongest interests of the user.

    sum_a m_a^2 centre_a . x_i / (sum_a m_a^2 + m_0^2)

over the interests of the graph: the squares let the strong ones speak, without a first place that
two of the same mass would have to share.
"""

from __future__ import annotations

import numpy as np

from recsys.ranker.viewed import Doubles, Viewed

IS_PERSONAL = True


def read(viewed: Viewed) -> Doubles:
    """(V, n); 0 where the bundle has no graph, or the user no interest."""
    graph = viewed.shelf.graph
    if graph is None:
        return np.zeros((len(viewed.held), len(viewed.rows)))
    loud = np.square(viewed.interests)
    least = viewed.options.confidence_mass**2
    asked = (loud @ graph.centres) / (loud.sum(axis=1, keepdims=True) + least)
    found: Doubles = asked @ viewed.directions.T
    return found
