"""The encoder's trend part once more: its weight says how much more, or less, it should count.

It knows warm items from cold ones, and what the trend is to this user.
"""

from __future__ import annotations

import numpy as np

from recsys.ranker.viewed import Doubles, Viewed
from recsys.ranking import trend_parts

IS_PERSONAL = False


def read(viewed: Viewed) -> Doubles:
    """(V, n)."""
    found = viewed.encoder.get("trend")
    if found is None:
        warm = viewed.shelf.items.warm[viewed.rows]
        found = trend_parts(viewed.query, warm, viewed.trend)
    return found.astype(np.float64)
