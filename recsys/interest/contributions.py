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
from recsys.ranking import interest_parts, trend_part

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

_ROUNDING = 1e-4
"""Share of a mass below which what is left of it is rounding."""


def contributions(
    query: Query, items: ItemTable, trend_features: Floats
) -> npt.NDArray[np.float64]:
    """What each left-out event adds to the score of each item.

    Args:
        query: of R + 1 profiles: the whole one, then that without each of R events
            (``without_each``).
        items: n items.
        trend_features: (n, Ht) of these items.

    Returns:
        (n, R).
    """
    interest = interest_parts(query.vectors, items.vectors).astype(np.float64)
    trend = [trend_part(query.of(b), items.warm, trend_features) for b in range(len(interest))]
    scores = interest + np.stack(trend)
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
    lives = np.asarray(half_lives_s, np.float64)
    sums = np.concatenate([banks.sums[0], banks.negative_sums[0]]).astype(np.float64)
    mass = np.concatenate([banks.mass[0], banks.negative_mass[0]]).astype(np.float64)
    weight, values = _evidence(model, items, recent)
    whole = _decayed(weight, recent.ts, float(banks.t_ref[0]), lives)
    rest = _rest(sums, mass, whole, values)
    all_sums = np.repeat(sums[None], len(recent.ts) + 1, axis=0)
    all_mass = np.repeat(mass[None], len(recent.ts) + 1, axis=0)
    t_ref = np.full(len(all_mass), banks.t_ref[0])
    for left_out in range(len(recent.ts)):
        kept = np.arange(len(recent.ts)) != left_out
        moved = _reference(recent.ts, left_out, float(banks.t_ref[0]), not rest[1].any())
        t_ref[left_out + 1] = moved
        back = np.exp2((banks.t_ref[0] - moved) / lives) if np.isfinite(moved) else 0.0 * lives
        part = _decayed(weight[kept], recent.ts[kept], moved, lives)
        all_mass[left_out + 1] = part.sum(axis=0) + rest[1] * back
        all_sums[left_out + 1] = part.T @ values[kept] + rest[0] * back[:, None]
    found = split_banks(
        all_sums.astype(np.float32), all_mass.astype(np.float32), t_ref, banks.mass.shape[1]
    )
    return found


def _evidence(
    model: InterestModel, items: ItemTable, recent: FoldBatch
) -> tuple[Doubles, Doubles]:
    """(R, H + Hn) importance and (R, D) values, zero where an event is no evidence."""
    importance, index, values = model.evidence(recent, items).arrays
    found = values[np.maximum(index, 0)].astype(np.float64)
    counts = (index >= 0) & found.any(axis=1)
    return importance * counts[:, None].astype(np.float64), found * counts[:, None]


def _decayed(weight: Doubles, ts: Doubles, t_ref: float, half_lives_s: Doubles) -> Doubles:
    """(R, H + Hn) importance as of ``t_ref``."""
    if len(ts) == 0:
        return weight
    age = np.maximum(0.0, t_ref - ts)
    decayed: Doubles = weight * np.exp2(-age[:, None] / half_lives_s)
    return decayed


def _rest(sums: Doubles, mass: Doubles, whole: Doubles, values: Doubles) -> tuple[Doubles, Doubles]:
    """What older events than the recent ones have left: sums and mass, as of ``t_ref``."""
    left = mass - whole.sum(axis=0)
    is_real = left > _ROUNDING * mass
    return (sums - whole.T @ values) * is_real[:, None], left * is_real


def _reference(ts: Doubles, left_out: int, t_ref: float, is_all: bool) -> float:
    """When the latest event was, had one not been."""
    if ts[left_out] < t_ref:
        return t_ref
    others = np.delete(ts, left_out)
    if len(others) > 0:
        return float(others.max())
    return -np.inf if is_all else t_ref
