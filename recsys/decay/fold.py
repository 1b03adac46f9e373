"""The one fold: events into additive decayed states, in place, for batch jobs and the online pool.

    S_h(t) = sum_j a_jh 2^(-(t - t_j)/tau_h) v_j        mass_h(t) = sum_j a_jh 2^(-(t - t_j)/tau_h)

Every state is kept as of its own ``t_ref``, the latest event folded into it. An event later than
``t_ref`` decays what is stored and becomes the new ``t_ref``; an earlier one is decayed to
``t_ref`` and added. So the order of events does not matter, and a batch is walked from its end:
where it is sorted by time, each state decays once per batch instead of once per event.
All compiled code that calls the fold stands here: numba's cache does not notice when the file of
a called function changes.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from recsys.decay.halves import float_to_half, half_to_float
from recsys.memory import (
    f32_at,
    load_f64,
    prefetch,
    store_f64,
    u16_at,
)

Floats = npt.NDArray[np.float32]
Times = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Halves = npt.NDArray[np.uint16]

FORGOTTEN_MASS = 1e-12
"""Mass below which a half-life is set to zero: it keeps denormal floats, which are slow, away."""
_AHEAD = 3
"""Events whose records are asked for before they are folded: memory answers late."""
_LINE_BYTES = 64


class Place(NamedTuple):
    """Where a state stands in a record (``recsys.memory.Chunks``)."""

    record_bytes: int
    """Of the whole record."""
    t_ref: int
    """Bytes from the start of a record to its ``t_ref``, float64."""
    mass: int
    """Bytes to its mass, (H,) float32."""
    vectors: int
    """Bytes to its sums (H, D) float32, or to its means (H, D) float16."""
    n_half_lives: int
    """H."""
    n_dims: int
    """D."""


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _is_zero(vector: Floats) -> bool:
    for d in range(vector.shape[0]):  # noqa: SIM110 - numba knows no generators
        if vector[d] != 0.0:
            return False
    return True


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _fold_state(  # noqa: C901, PLR0913, PLR0917 - numba compiles arrays, not objects
    sums: Floats,
    mass: Floats,
    t_ref: float,
    ts: float,
    importance: Floats,
    vector: Floats,
    rates: Times,
) -> float:
    """Fold one event into one state, sums (H, D) and mass (H,); return its new ``t_ref``.

    A vector of zeros is no evidence, but its time counts. Rates are ln 2 / half-life.
    """
    elapsed_s = ts - t_ref
    is_evidence = not _is_zero(vector)
    for h in range(mass.shape[0]):
        kept, weight = np.float32(1.0), np.float32(0.0)
        if elapsed_s > 0.0 and mass[h] != 0.0:
            kept = np.float32(math.exp(-elapsed_s * rates[h]))
            if mass[h] * kept < FORGOTTEN_MASS:
                kept = np.float32(0.0)
        if is_evidence and importance[h] != 0.0:
            weight = importance[h]
            if elapsed_s < 0.0:
                weight *= np.float32(math.exp(elapsed_s * rates[h]))
            if weight < FORGOTTEN_MASS:
                weight = np.float32(0.0)
        if weight != 0.0:
            mass[h] = mass[h] * kept + weight
            for d in range(vector.shape[0]):
                sums[h, d] = sums[h, d] * kept + weight * vector[d]
        elif kept != 1.0:
            mass[h] *= kept
            for d in range(vector.shape[0]):
                sums[h, d] *= kept
    return max(t_ref, ts)


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _fold_means(  # noqa: PLR0913, PLR0917
    means: Halves,
    mass: Floats,
    t_ref: float,
    ts: float,
    importance: Floats,
    vector: Floats,
    rates: Times,
    dither: Halves,
) -> float:
    """``_fold_state`` for means (H, D) in float16; forgetting moves the mass alone.

    A new mean is worked out in float32 and rounded up or down by chance, so that steps smaller
    than a float16 can say still add up. ``dither`` (H, D) is evenly spread over 13 bits.
    """
    elapsed_s = ts - t_ref
    is_evidence = not _is_zero(vector)
    for h in range(mass.shape[0]):
        if elapsed_s > 0.0 and mass[h] != 0.0:
            mass[h] *= np.float32(math.exp(-elapsed_s * rates[h]))
            if mass[h] < FORGOTTEN_MASS:
                mass[h] = 0.0
        if not is_evidence or importance[h] == 0.0:
            continue
        weight = importance[h]
        if elapsed_s < 0.0:
            weight *= np.float32(math.exp(elapsed_s * rates[h]))
        if weight < FORGOTTEN_MASS:
            continue
        mass[h] += weight
        share = weight / mass[h]
        for d in range(vector.shape[0]):
            mean = half_to_float(means[h, d])
            means[h, d] = float_to_half(mean + share * (vector[d] - mean), dither[h, d])
    return max(t_ref, ts)


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _ask_ahead(records: Ints, j: int, record_bytes: int) -> None:
    """Ask for the record ``_AHEAD`` before event j; at a batch's end, for all up to there."""
    first = j if j == records.shape[0] - 1 else j - _AHEAD
    for place in range(first, j - _AHEAD - 1, -1):
        if place >= 0:
            for line in range(0, record_bytes, _LINE_BYTES):
                prefetch(records[place] + line)


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def fold_records(
    records: Ints,
    place: Place,
    evidence: tuple[Times, Floats, Ints, Floats],
    rates: Times,
) -> None:
    """``fold_events`` for states that stand in records, sums in float32.

    Args:
        records: (T,) int64 address of the record that each event belongs to; not checked.
        place: where a state stands in it.
        evidence: ts (T,), importance (T, H), vector_index (T,) and vectors (M, D) as there.
        rates: (H,) ln 2 / half-life.
    """
    ts, importance, vector_index, vectors = evidence
    shape = (place.n_half_lives, place.n_dims)
    for j in range(records.shape[0] - 1, -1, -1):
        _ask_ahead(records, j, place.record_bytes)
        if vector_index[j] < 0:
            continue
        at = records[j]
        t_ref = _fold_state(
            numba.carray(f32_at(at + place.vectors), shape),
            numba.carray(f32_at(at + place.mass), (place.n_half_lives,)),
            load_f64(at + place.t_ref),
            ts[j],
            importance[j],
            vectors[vector_index[j]],
            rates,
        )
        store_f64(at + place.t_ref, t_ref)


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def fold_half_records(
    records: Ints,
    place: Place,
    evidence: tuple[Times, Floats, Ints, Floats],
    rates: Times,
    dither: Halves,
    seed: int,
) -> None:
    """``fold_records`` for states that hold means in float16, with two further arguments.

    ``dither`` is at least H * D numbers of 0 to 8191, evenly spread, where each event starts
    somewhere; ``seed`` says where event 0 does, and a batch of T events uses T of them.
    """
    ts, importance, vector_index, vectors = evidence
    n = place.n_half_lives * place.n_dims
    for j in range(records.shape[0] - 1, -1, -1):
        _ask_ahead(records, j, place.record_bytes)
        if vector_index[j] < 0:
            continue
        at = records[j]
        start = (seed + j) * 0x9E3779B1 % (dither.shape[0] - n + 1)
        t_ref = _fold_means(
            numba.carray(u16_at(at + place.vectors), (place.n_half_lives, place.n_dims)),
            numba.carray(f32_at(at + place.mass), (place.n_half_lives,)),
            load_f64(at + place.t_ref),
            ts[j],
            importance[j],
            vectors[vector_index[j]],
            rates,
            dither[start : start + n].reshape((place.n_half_lives, place.n_dims)),
        )
        store_f64(at + place.t_ref, t_ref)


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
