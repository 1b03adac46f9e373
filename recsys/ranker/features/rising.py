"""How much of an item's popularity is of late: that of the shortest half-life less the longest's.

Both as rates of events, ``log(1 + mass)`` being all that is known of a mass:

    log(1 + T_short / tau_short) - log(1 + T_long / tau_long)      tau in days
"""

from __future__ import annotations

import numpy as np

from recsys.ranker.viewed import Doubles, Viewed

IS_PERSONAL = False

_DAY_S = 86_400.0


def read(viewed: Viewed) -> Doubles:
    """(V, n), the same for every history."""
    lives = np.asarray(viewed.shelf.trend.half_lives_s) / _DAY_S
    mass = np.expm1(viewed.trend[:, [0, -1]].astype(np.float64))
    rate = np.log1p(mass / lives[[0, -1]])
    found: Doubles = np.broadcast_to(rate[:, 0] - rate[:, 1], (len(viewed.held), len(rate)))
    return found
