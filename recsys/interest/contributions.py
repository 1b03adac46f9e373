"""The profile of a user without each of their latest events, folded again from the others.

    S_h(without e) = sum of the newer events + sum of the older ones + rest

Both sums are added up, nothing is taken off, so that the state without an event is as exact as one
folded from nothing, whatever the event's share was. The rest is what stands behind the events held:
nothing, or given (a fold of the whole record), or what the state has and the events held do not
explain. What is inferred so is known to the rounding of the state: ``_ROUNDING`` of its mass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from recsys.decay.fold import FORGOTTEN_MASS
from recsys.interest.model import (
    Banks,
    FoldBatch,
    InterestModel,
    ItemTable,
    TextTable,
    split_banks,
)

Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_MAX_OCTAVES = 1_000.0
_ROUNDING = 2e-5
"""Share of a mass below which what the events held do not explain is rounding."""
_SAME_S = 1e-6
"""Times nearer than this are one: events held have whole microseconds."""


def without_each(  # noqa: PLR0913, PLR0917 - a fold's arguments, and what stands behind it
    model: InterestModel,
    items: ItemTable,
    banks: Banks,
    recent: FoldBatch,
    half_lives_s: Sequence[float],
    behind: Banks | None = None,
    texts: TextTable | None = None,
) -> Banks:
    """The profile of one user, and the same without each of the latest events.

    Args:
        model: what the events are to the profile.
        items: that the events are of.
        banks: of one user.
        recent: R latest events of that user, the newest first.
        half_lives_s: (H + Hn,) of both banks.
        behind: of all other events of that user; None = inferred from ``banks``.
        texts: what the events' words are; None = words are passed over.

    Returns:
        R + 1 profiles: the whole one, then that without event 0, 1, ..., R - 1.
    """
    lives = np.asarray(half_lives_s, np.float64)
    importance, values, counts = _evidence(model, items, recent, texts)
    ts = np.asarray(recent.ts, np.float64)
    latest = float(ts[counts].max(initial=-np.inf))
    known = max(float(banks.t_ref[0]), latest) if behind is None else float(behind.t_ref[0])
    t_ref = max(known, latest)
    weight = _decayed(importance, ts, t_ref, lives)
    if behind is None:
        rest = _inferred(banks, weight, values)
        ends = t_ref if t_ref > latest + _SAME_S else -np.inf
    else:
        rest, ends = _state(behind), known
    sums, masses = _each(weight, values, *_moved(rest, known, t_ref, lives))
    refs = np.full(len(sums), t_ref)
    places = np.flatnonzero(counts & (ts >= t_ref - _SAME_S))
    if len(places) == 1 and ends < t_ref:  # without it the profile ends earlier
        others = np.flatnonzero(counts & (np.arange(len(ts)) != places[0]))
        moved = max(float(ts[others].max(initial=-np.inf)), ends)
        if not np.isfinite(moved) and rest[1].any():
            moved = t_ref  # the rest is of some time before, which nobody knows
        part = _decayed(importance[others], ts[others], moved, lives)
        old = _moved(rest, known, moved, lives)
        place = int(places[0]) + 1
        sums[place], masses[place] = part.T @ values[others] + old[0], part.sum(axis=0) + old[1]
        refs[place] = moved
    return _as_banks(sums, masses, refs, banks.mass.shape[1])


def without_some(  # noqa: PLR0913, PLR0917 - as ``without_each``, and which
    model: InterestModel,
    items: ItemTable,
    banks: Banks,
    recent: FoldBatch,
    half_lives_s: Sequence[float],
    kept: Bools,
    behind: Banks | None = None,
    texts: TextTable | None = None,
) -> Banks:
    """The profile of one user without several of the latest events at once.

    It stays a profile of the same moment: when somebody was active last is no taste.

    Args:
        model: as all that is not told here, see ``without_each``.
        items: likewise.
        banks: likewise.
        recent: likewise.
        half_lives_s: likewise.
        kept: (R,) the events that stay.
        behind: likewise.
        texts: likewise.
    """
    lives = np.asarray(half_lives_s, np.float64)
    importance, values, _ = _evidence(model, items, recent, texts)
    t_ref = float(banks.t_ref[0])
    weight = _decayed(importance, np.asarray(recent.ts, np.float64), t_ref, lives)
    if behind is None:
        sums, mass = _inferred(banks, weight, values)
    else:
        sums, mass = _moved(_state(behind), float(behind.t_ref[0]), t_ref, lives)
    part = weight[kept]
    sums, mass = sums + part.T @ values[kept], mass + part.sum(axis=0)
    return _as_banks(sums[None], mass[None], banks.t_ref, banks.mass.shape[1])


def _as_banks(sums: Doubles, masses: Doubles, refs: Doubles, n_positive: int) -> Banks:
    is_held = masses >= FORGOTTEN_MASS  # as in the fold
    sums, masses = sums * is_held[..., None], masses * is_held
    return split_banks(sums.astype(np.float32), masses.astype(np.float32), refs, n_positive)


def _evidence(
    model: InterestModel, items: ItemTable, recent: FoldBatch, texts: TextTable | None
) -> tuple[Doubles, Doubles, Bools]:
    """(R, H + Hn) importance, (R, D) values, zero where there is no evidence; (R,) what counts."""
    importance, index, values = model.evidence(recent, items, texts).arrays
    found = np.zeros((len(index), items.n_dims))
    counts: Bools = np.asarray(index >= 0)
    found[counts] = values[index[counts]]
    importance = importance * found.any(axis=1, keepdims=True)
    return importance.astype(np.float64), found, counts


def _state(banks: Banks) -> tuple[Doubles, Doubles]:
    """(H + Hn, D) sums and (H + Hn,) mass of one user."""
    sums = np.concatenate([banks.sums[0], banks.negative_sums[0]]).astype(np.float64)
    return sums, np.concatenate([banks.mass[0], banks.negative_mass[0]]).astype(np.float64)


def _decayed(weight: Doubles, ts: Doubles, t_ref: float, half_lives_s: Doubles) -> Doubles:
    """(R, H + Hn) importance as of ``t_ref``."""
    if len(ts) == 0:
        return weight
    age = np.maximum(0.0, t_ref - ts)
    decayed: Doubles = weight * np.exp2(-age[:, None] / half_lives_s)
    return decayed


def _inferred(banks: Banks, weight: Doubles, values: Doubles) -> tuple[Doubles, Doubles]:
    """What the state has and the events held do not explain: sums and mass, as of ``t_ref``."""
    sums, mass = _state(banks)
    left = mass - weight.sum(axis=0)
    is_real = np.abs(left) > np.maximum(_ROUNDING * mass, FORGOTTEN_MASS)
    return (sums - weight.T @ values) * is_real[:, None], left * is_real


def _moved(
    state: tuple[Doubles, Doubles], at: float, to: float, half_lives_s: Doubles
) -> tuple[Doubles, Doubles]:
    """A state as of another moment, before or after."""
    gap_s = to - at if np.isfinite(at) and np.isfinite(to) else 0.0
    octaves = np.clip(gap_s / half_lives_s, -_MAX_OCTAVES, _MAX_OCTAVES)
    left = np.exp2(-octaves)
    return state[0] * left[:, None], state[1] * left


def _each(
    weight: Doubles, values: Doubles, rest_sums: Doubles, rest_mass: Doubles
) -> tuple[Doubles, Doubles]:
    """(R + 1, H + Hn, D) sums and (R + 1, H + Hn) masses of all events, and without each."""
    n_events, n_lives = weight.shape
    sums = np.empty((n_events + 1, n_lives, values.shape[1]))
    masses = np.empty((n_events + 1, n_lives))
    _add_others(weight, values, (rest_sums, rest_mass), sums, masses)
    return sums, masses


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _add_others(
    weight: Doubles, values: Doubles, rest: Any, sums: Doubles, masses: Doubles
) -> None:
    """From the newest on what is newer, then from the oldest on what is older."""
    n_events, n_lives = weight.shape
    n_dims = values.shape[1]
    held = np.empty(n_dims)
    for h in range(n_lives):
        held[:] = rest[0][h]
        mass = rest[1][h]
        for e in range(n_events):
            share = weight[e, h]
            masses[e + 1, h] = mass
            mass += share
            for d in range(n_dims):
                sums[e + 1, h, d] = held[d]
                held[d] += share * values[e, d]
        sums[0, h] = held
        masses[0, h] = mass
        held[:] = 0.0
        mass = 0.0
        for e in range(n_events - 1, -1, -1):
            share = weight[e, h]
            masses[e + 1, h] += mass
            mass += share
            for d in range(n_dims):
                sums[e + 1, h, d] += held[d]
                held[d] += share * values[e, d]
