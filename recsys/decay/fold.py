"""The one fold: events into additive decayed states, in place, for batch jobs and the online pool.

    S_h(t) = sum_j a_jh 2^(-(t - t_j)/tau_h) v_j        mass_h(t) = sum_j a_jh 2^(-(t - t_j)/tau_h)

Every state is kept as of its own ``t_ref``, the latest event folded into it. An event later than
``t_ref`` decays what is stored and becomes the new ``t_ref``; an earlier one is decayed to
``t_ref`` and added. So the order of events does not matter, and a batch is walked from its end:
where it is sorted by time, each state decays once per batch instead of once per event.

All compiled code that calls the fold stands in this file: numba's cache on disk notices a change
of the file of a function, but not of the files of the functions that it calls.
"""

from __future__ import annotations

import math

import numba
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Times = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

FORGOTTEN_MASS = 1e-12
"""Mass below which a half-life is set to zero: it keeps denormal floats, which are slow, away."""


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _decay_state(
    sums: Floats,
    mass: Floats,
    elapsed_s: float,
    rates: Times,
) -> None:
    """Decay one state, sums (H, D) and mass (H,), by ``elapsed_s``; rates are ln 2 / half-life."""
    for h in range(mass.shape[0]):
        if mass[h] == 0.0:
            continue
        factor = np.float32(math.exp(-elapsed_s * rates[h]))
        mass[h] *= factor
        if mass[h] < FORGOTTEN_MASS:
            mass[h] = 0.0
            factor = np.float32(0.0)
        for d in range(sums.shape[1]):
            sums[h, d] *= factor


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _add_event(
    sums: Floats,
    mass: Floats,
    age_s: float,
    importance: Floats,
    vector: Floats,
    rates: Times,
) -> None:
    """Add one event of ``age_s`` >= 0 to one state; a vector of zeros is no evidence."""
    n_zero = 0
    while n_zero < vector.shape[0] and vector[n_zero] == 0.0:
        n_zero += 1
    if n_zero == vector.shape[0]:
        return
    for h in range(mass.shape[0]):
        if importance[h] == 0.0:
            continue
        weight = importance[h] * np.float32(math.exp(-age_s * rates[h]))
        if weight < FORGOTTEN_MASS:
            continue
        mass[h] += weight
        for d in range(vector.shape[0]):
            sums[h, d] += weight * vector[d]


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _fold_state(  # noqa: PLR0913, PLR0917 - numba compiles arrays, not objects
    sums: Floats,
    mass: Floats,
    t_ref: float,
    ts: float,
    importance: Floats,
    vector: Floats,
    rates: Times,
) -> float:
    """Fold one event into one state and return the state's new ``t_ref``."""
    if ts > t_ref:
        _decay_state(sums, mass, ts - t_ref, rates)
        t_ref = ts
    _add_event(sums, mass, t_ref - ts, importance, vector, rates)
    return t_ref


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def fold_events(  # noqa: PLR0913, PLR0917
    sums: Floats,
    mass: Floats,
    t_ref: Times,
    rows: Ints,
    ts: Times,
    importance: Floats,
    vector_index: Ints,
    vectors: Floats,
    half_lives_s: Times,
) -> None:
    """Fold T events into B states in place; any order gives the same states.

    Args:
        sums: (B, H, D) float32 decayed sums of importance times vector, as of ``t_ref``.
        mass: (B, H) float32 decayed sums of importance, as of ``t_ref``.
        t_ref: (B,) float64 Unix seconds of the latest event; ``-inf`` = empty.
        rows: (T,) int64 the state that each event belongs to.
        ts: (T,) float64 Unix seconds, finite.
        importance: (T, H) float32, never negative.
        vector_index: (T,) int64 row of ``vectors``; -1 = no vector, the event changes nothing.
        vectors: (M, D) float32 of norm at most 1; a row of zeros is no evidence.
        half_lives_s: (H,) float64 seconds.
    """
    rates = math.log(2.0) / half_lives_s
    for j in range(rows.shape[0] - 1, -1, -1):
        if vector_index[j] < 0:
            continue
        row = rows[j]
        t_ref[row] = _fold_state(
            sums[row],
            mass[row],
            t_ref[row],
            ts[j],
            importance[j],
            vectors[vector_index[j]],
            rates,
        )


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def replay_states(
    states: tuple[Floats, Floats, Times],
    log: tuple[Times, Floats, Ints, Floats],
    starts: Ints,
    ends: Ints,
    half_lives_s: Times,
) -> None:
    """Fill one empty state per query with the events ``starts[q]:ends[q]`` of a log, in place.

    Args:
        states: sums (Q, H, D) of zeros, mass (Q, H) of zeros and t_ref (Q,) of ``-inf``.
        log: ts (T,), importance (T, H), vector_index (T,) and vectors (M, D) as in ``fold_events``.
        starts: (Q,) first event of each query's user; queries of one user stand together.
        ends: (Q,) exclusive, rising within a user.
        half_lives_s: (H,) seconds.
    """
    sums, mass, t_ref = states
    ts, importance, vector_index, vectors = log
    rates = math.log(2.0) / half_lives_s
    for q in range(starts.shape[0]):
        start = starts[q]
        if q > 0 and starts[q - 1] == start:  # the same user: go on from there
            sums[q], mass[q], t_ref[q] = sums[q - 1], mass[q - 1], t_ref[q - 1]
            start = ends[q - 1]
        for j in range(ends[q] - 1, start - 1, -1):
            if vector_index[j] >= 0:
                t_ref[q] = _fold_state(
                    sums[q],
                    mass[q],
                    t_ref[q],
                    ts[j],
                    importance[j],
                    vectors[vector_index[j]],
                    rates,
                )
