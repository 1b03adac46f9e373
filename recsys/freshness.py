"""What is left of the birth of items: a part of the score where the age of items matters."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.interest.model import Query

Floats = npt.NDArray[np.float32]


def freshness(
    born: npt.NDArray[np.float64], as_of: npt.NDArray[np.float64] | float, half_lives_s: Any
) -> Floats:
    """What is left of the birth of items, as of a moment.

    Args:
        born: (N,) Unix seconds; -inf = always there, which leaves nothing.
        as_of: one moment, or one that broadcasts with ``born``; an item born later is just born.
        half_lives_s: (Ht,) seconds.

    Returns:
        (N, Ht) float32 in [0, 1].
    """
    age = np.maximum(as_of - born, 0.0)[..., None]
    left: Floats = np.exp2(-age / np.asarray(half_lives_s)).astype(np.float32)
    return left


def fresh_part(
    query: Query, born: npt.NDArray[np.float64], as_of: float, half_lives_s: Any
) -> Floats | None:
    """What each item's youth is to one user; None where age does not matter.

    Args:
        query: of one user.
        born: (N,) Unix seconds from which each item is available; -inf = always.
        as_of: Unix seconds.
        half_lives_s: (Ht,) of the trend.
    """
    weights = query.fresh[0]
    young = np.flatnonzero(np.isfinite(born))
    if not weights.any() or len(young) == 0:
        return None
    out = np.zeros(len(born), np.float32)
    out[young] = freshness(born[young], as_of, half_lives_s) @ weights
    return out
