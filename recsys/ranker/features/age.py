"""What is left of an item's birth after a month: 1 = just born, 0 = old, or always there."""

from __future__ import annotations

import numpy as np

from recsys.freshness import freshness
from recsys.ranker.viewed import Doubles, Viewed

IS_PERSONAL = False

HALF_LIFE_S = 30 * 86_400.0


def read(viewed: Viewed) -> Doubles:
    """(V, n) in [0, 1], the same for every history."""
    born = viewed.shelf.catalog.available_from[viewed.rows]
    left = freshness(born, viewed.as_of, [HALF_LIFE_S])[:, 0].astype(np.float64)
    found: Doubles = np.broadcast_to(left, (len(viewed.held), len(left)))
    return found
