"""What is told of the one who asks, beside the events, and what it adds to the score of items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.coldstart.follows import Followed, follows_part
from recsys.coldstart.optimism import optimism_part
from recsys.coldstart.options import ColdstartSettings
from recsys.coldstart.reading import Statement, left_out, statement_part
from recsys.coldstart.segments import Segments, fading

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Told:
    """Beside the events."""

    statement: Statement | None = None
    """What the user says; None = nothing."""
    attributes: Mapping[str, Any] | None = None
    """Of the user; None = none are known."""
    followed: Followed | None = None
    """What those did whom the user follows; None = nobody is followed."""


@dataclass(frozen=True)
class ItemFacts:
    """What the parts read of N items at a moment."""

    directions: Floats
    """(N, D) of length 1; zero rows = nothing is known."""
    born: npt.NDArray[np.float64]
    """(N,) Unix seconds; -inf = always there."""
    says: Bools
    """(N,) with text."""
    trend_features: Floats
    """(N, Ht) log(1 + decayed events)."""
    as_of: float
    """Unix seconds."""


def told_parts(
    told: Told,
    items: ItemFacts,
    segments: Segments | None,
    n_seen: int,
    options: ColdstartSettings,
    is_ageless: bool = True,
) -> dict[str, Floats]:
    """Name of a part -> (N,); of ``ranking.TOLD`` those that say anything.

    Args:
        told: of the user.
        items: of the catalog.
        segments: of the bundle; None = it has none.
        n_seen: items that the user has touched.
        options: what counts, and how much.
        is_ageless: whether the age of items has no part in the score yet; else none is added.
    """
    found: dict[str, Floats] = {}
    if told.statement is not None and len(told.statement.heard) > 0:
        given = (told.statement, items.directions, options.statement)
        found["statement"] = statement_part(*given)
    if told.attributes and segments is not None and options.segments.weight > 0.0:
        own = segments.of(told.attributes)
        if len(own) > 0:
            weight = np.float32(options.segments.weight * fading(n_seen, options.segments))
            found["segments"] = weight * segments.lift(own, options.segments.strength)
    if told.followed is not None and options.follows.weight > 0.0:
        follows, n = options.follows, len(items.born)
        args = (told.followed, items.as_of, follows.half_life_s, n, follows.weight)
        found["follows"] = follows_part(*args)
    if options.optimism.weight > 0.0 and is_ageless and bool(np.isfinite(items.born).any()):
        exposure = np.expm1(items.trend_features[:, -1])
        args_of = (items.born, items.says, exposure, items.as_of, options.optimism)
        found["optimism"] = optimism_part(*args_of)
    return found


def not_wished(told: Told, directions: Floats, options: ColdstartSettings) -> Bools | None:
    """(N,) items that the user says not to want; None = that is said of none."""
    if told.statement is None or len(told.statement.of(False)) == 0:
        return None
    return left_out(told.statement, directions, options.statement)
