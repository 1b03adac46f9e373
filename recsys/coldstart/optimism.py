"""Optimism: the benefit of the doubt for an item that says something, but is new and unproven.

optimism_i = weight * 2^(-(t - born_i)/tau) / (1 + n_i / n_half)

with ``n`` the decayed events of the item: it is gone when the item is old, or has been tried.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from recsys.coldstart.options import OptimismSettings
from recsys.freshness import freshness

Floats = npt.NDArray[np.float32]


def optimism_part(
    born: npt.NDArray[np.float64],
    says: npt.NDArray[np.bool_],
    exposure: npt.NDArray[np.floating],
    as_of: float,
    options: OptimismSettings,
) -> Floats:
    """(N,) what optimism adds to the score of each item.

    Args:
        born: (N,) Unix seconds; -inf = always there, for which there is no optimism.
        says: (N,) items with text: of others nothing can be hoped.
        exposure: (N,) decayed events.
        as_of: Unix seconds.
        options: how much, and how it decays.
    """
    part = np.zeros(len(born), np.float32)
    young = np.flatnonzero(np.isfinite(born) & says)
    left = freshness(born[young], as_of, (options.half_life_s,))[:, 0]
    tried = 1.0 + np.maximum(exposure[young], 0.0) / options.half_exposure
    part[young] = options.weight * left / tried
    return part
