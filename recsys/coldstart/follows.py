"""Follows: what those did of late whom a user follows.

follows_i = log(1 + sum over positive events e of followed users on i of 2^(-(t - t_e)/tau))
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


class Followed(NamedTuple):
    """n recent events of followed users, in any order."""

    item: npt.NDArray[np.integer[Any]]
    """(n,) catalog rows; negative = unknown."""
    ts: npt.NDArray[np.float64]
    """(n,) Unix seconds."""
    importance: npt.NDArray[np.floating[Any]]
    """(n,) signed; what is not above 0 does not count."""


def follows_part(
    followed: Followed, as_of: float, half_life_s: float, n_items: int, weight: float
) -> Floats:
    """(N,) what the events of followed users add to the score of each item.

    Args:
        followed: their events.
        as_of: Unix seconds; later events do not count.
        half_life_s: in which an event counts half.
        n_items: N.
        weight: of the logarithm.
    """
    counted = (followed.item >= 0) & (followed.importance > 0) & (followed.ts <= as_of)
    left = np.exp2((followed.ts[counted] - as_of) / half_life_s)
    mass = np.bincount(followed.item[counted], left, minlength=n_items)
    return (weight * np.log1p(mass)).astype(np.float32)
