"""What each recent event adds to the scores of a user: the score with it minus the score without.

The state without an event is put together again from the events held, never divided out of the
state: what the other recent events weigh, plus a rest that older events have left. The rest is what
remains of the state when all recent events are taken off; where that is no more than rounding it
is nothing. So the result is exact where the ring holds all of a user's events, and exact up to the
rounding of a float32 state elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from recsys.interest.model import Banks, FoldBatch, InterestModel, ItemTable, Query, split_banks
from recsys.ranking import interest_parts

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

_MAX_OCTAVES = 1_000.0
_ROUNDING = 1e-4
"""Share of a mass below which what is left of it is rounding."""


def contributions(
    query: Query, items: ItemTable, trend_features: Floats, fresh_features: Floats
) -> npt.NDArray[np.float64]:
    """What each left-out event adds to the score of each item.

    Args:
        query: of R + 1 profiles: the whole one, then that without each of R events
            (``without_each``).
        items: n items.
        trend_features: (n, Ht) of these items.
        fresh_features: (n, Ht) ``recsys.ranking.freshness`` of these items.

    Returns:
        (n, R).
    """
    interest = interest_parts(query.vectors, items.vectors).astype(np.float64)
    warm = query.warm_trend.astype(np.float64) @ trend_features.T
    cold = query.cold_trend.astype(np.float64) @ trend_features.T + query.cold_offset[:, None]
    is_new = ~(trend_features != 0.0).any(axis=1)
    cold = np.where(is_new, query.new_offset[:, None], cold)
    scores = interest + np.where(items.warm, warm, cold)
    if query.fresh.shape[1] > 0:
        scores = scores + query.fresh.astype(np.float64) @ fresh_features.T
    added: npt.NDArray[np.float64] = (scores[0] - scores[1:]).T
    return added


def without_each(
    model: InterestModel,
    items: ItemTable,
    banks: Banks,
    recent: FoldBatch,
    half_lives_s: Sequence[float],
) -> Banks:
    """The profile of one user, and the same without each of the latest events.

    Args:
        model: what the events are to the profile.
        items: that the events are of.
        banks: of one user.
        recent: R latest events of that user, the newest first.
        half_lives_s: (H + Hn,) of both banks.

    Returns:
        R + 1 profiles: the whole one, then that without event 0, 1, ..., R - 1.
    """
    lives, t_ref = np.asarray(half_lives_s, np.float64), float(banks.t_ref[0])
    state = np.concatenate([banks.sums[0], banks.negative_sums[0]]).astype(np.float64)
    mass = np.concatenate([banks.mass[0], banks.negative_mass[0]]).astype(np.float64)
    importance, values = _evidence(model, items, recent)
    weight = _decayed(importance, recent.ts, t_ref, lives)
    rest = _rest(state, mass, weight, values)
    others = weight.T[:, None] * ~np.eye(len(weight), dtype=bool)  # (H, R, R)
    sums = np.concatenate([state[None], rest[0] + (others @ values).swapaxes(0, 1)])
    masses = np.concatenate([mass[None], rest[1] + others.sum(axis=2).T])
    refs = np.full(len(sums), t_ref)
    latest = np.flatnonzero(recent.ts >= t_ref)
    if len(latest) == 1:  # without it the profile ends earlier
        place, kept = int(latest[0]) + 1, np.arange(len(weight)) != latest[0]
        is_all = not rest[1].any()
        refs[place] = moved = _earlier(recent.ts[kept], t_ref, is_all)
        part = _decayed(importance[kept], recent.ts[kept], moved, lives)
        gap_s = t_ref - moved if np.isfinite(moved) else 0.0
        back = np.exp2(np.minimum(gap_s / lives, _MAX_OCTAVES))
        sums[place] = part.T @ values[kept] + rest[0] * back[:, None]
        masses[place] = part.sum(axis=0) + rest[1] * back
    return split_banks(
        sums.astype(np.float32), masses.astype(np.float32), refs, banks.mass.shape[1]
    )


def _evidence(model: InterestModel, items: ItemTable, recent: FoldBatch) -> tuple[Doubles, Doubles]:
    """(R, H + Hn) importance and (R, D) values, zero where an event is no evidence."""
    importance, index, values = model.evidence(recent, items).arrays
    found = values[np.maximum(index, 0)]
    counts = ((index >= 0) & found.any(axis=1)).astype(np.float64)[:, None]
    return importance * counts, found * counts


def _decayed(weight: Doubles, ts: Doubles, t_ref: float, half_lives_s: Doubles) -> Doubles:
    """(R, H + Hn) importance as of ``t_ref``."""
    if len(ts) == 0:
        return weight
    age = np.maximum(0.0, t_ref - np.asarray(ts, np.float64))
    decayed: Doubles = weight * np.exp2(-age[:, None] / half_lives_s)
    return decayed


def _rest(sums: Doubles, mass: Doubles, whole: Doubles, values: Doubles) -> tuple[Doubles, Doubles]:
    """What older events than the recent ones have left: sums and mass, as of ``t_ref``."""
    left = mass - whole.sum(axis=0)
    is_real = left > _ROUNDING * mass
    return (sums - whole.T @ values) * is_real[:, None], left * is_real


def _earlier(ts: Doubles, t_ref: float, is_all: bool) -> float:
    """When the latest event was, without that of ``t_ref``; ``-inf`` if there was no other."""
    if len(ts) > 0:
        return float(ts.max())
    return -np.inf if is_all else t_ref
