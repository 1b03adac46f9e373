"""How one user is laid out in memory: a record of fixed size, with what a fold needs side by side.

    t_ref f64 | ring i64 | seen i64 | tick, n_events, n_seen i32 | n_ring, limit u16 |
    mass (H,) f32 | vectors

``vectors`` are the decayed sums (H, D) in float32, or the means (H, D) in float16, whose scale per
row is the mass. A fold touches one record, and blocks of recent events (``recsys.interest.rings``).
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from recsys.decay.fold import Place
from recsys.decay.halves import float_to_half, half_to_float
from recsys.memory import Chunks, f32_at, load_f64, prefetch, store_f64, u8_at, u16_at

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

T_REF, RING, SEEN, TICK, N_EVENTS, SEEN_COUNT, RING_COUNT, SEEN_LIMIT, MASS = (
    0, 8, 16, 24, 28, 32, 36, 38, 40,
)  # fmt: skip
"""Bytes from the start of a record to its fields; ring and seen are addresses of blocks, limit is
the base-2 logarithm of how much the older items may grow before repeats are taken out."""

_CHUNK_BYTES = 1 << 21
_AHEAD = 2
_NEAREST = 1 << 12
"""The dither that rounds to the nearest: half of 2^13."""


def place_of(n_half_lives: int, n_dims: int, is_half: bool) -> Place:
    """The layout of records of H half-lives and D dimensions."""
    vectors = _rounded(MASS + 4 * n_half_lives, 16)
    size = vectors + n_half_lives * n_dims * (2 if is_half else 4)
    record_bytes = _rounded(size, 8)
    return Place(record_bytes, T_REF, MASS, vectors, n_half_lives, n_dims)


def chunks_of(place: Place) -> Chunks:
    """Memory for users."""
    shift = max((_CHUNK_BYTES // place.record_bytes).bit_length() - 1, 4)
    return Chunks(place.record_bytes, shift)


def _rounded(size: int, step: int) -> int:
    return -(-size // step) * step


def empty(records: Ints, n_used: int, place: Place) -> None:
    """Make records those of users of whom there is no event.

    Args:
        records: (B,) addresses.
        n_used: so many, the first ones, were somebody's before; the others are zeros already.
        place: of the states.
    """
    _empty(records, n_used, place.record_bytes)


def read_states(
    records: Ints, place: Place, is_half: bool
) -> tuple[Floats, Floats, npt.NDArray[np.float64]]:
    """Copies of states.

    Args:
        records: (B,) addresses; 0 reads as empty.
        place: where a state stands.
        is_half: whether it holds means.

    Returns:
        sums (B, H, D) and mass (B, H) float32, t_ref (B,).
    """
    sums = np.empty((len(records), place.n_half_lives, place.n_dims), np.float32)
    mass = np.empty((len(records), place.n_half_lives), np.float32)
    t_ref = np.empty(len(records))
    _read(records, place, is_half, (sums, mass, t_ref))
    return sums, mass, t_ref


def field(chunks: Chunks, n_rows: int, offset: int, kind: npt.DTypeLike) -> npt.NDArray[Any]:
    """(B,) a copy of one field of the first ``n_rows`` records."""
    size = np.dtype(kind).itemsize
    parts = [v[:, offset : offset + size].copy().view(kind)[:, 0] for v in chunks.views(n_rows)]
    return np.concatenate(parts) if parts else np.zeros(0, kind)


def matrix(
    chunks: Chunks, n_rows: int, offset: int, kind: npt.DTypeLike, shape: tuple[int, ...]
) -> npt.NDArray[Any]:
    """(B, *shape) a copy of an array that stands in each record."""
    found = np.empty((n_rows, *shape), kind)
    size = found.nbytes // max(n_rows, 1)
    flat = found.reshape(-1).view(np.uint8).reshape(n_rows, size)
    first = 0
    for view in chunks.views(n_rows):
        flat[first : first + len(view)] = view[:, offset : offset + flat.shape[1]]
        first += len(view)
    return found


def put_matrix(chunks: Chunks, offset: int, values: npt.NDArray[Any]) -> None:
    """Store an array (B, ...) in the first B records: the inverse of ``matrix``."""
    size = values.nbytes // max(len(values), 1)
    flat = np.ascontiguousarray(values).reshape(-1).view(np.uint8).reshape(len(values), size)
    first = 0
    for view in chunks.views(len(values)):
        view[:, offset : offset + flat.shape[1]] = flat[first : first + len(view)]
        first += len(view)


def half_means(sums: Floats, mass: Floats) -> npt.NDArray[np.float16]:
    """(B, H, D) means of sums (B, H, D) and mass (B, H), rounded to the nearest."""
    found = np.empty(sums.shape, np.uint16)
    _half_means(sums, mass, found)
    return found.view(np.float16)


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _empty(records: Ints, n_used: int, record_bytes: int) -> None:
    for b in range(records.shape[0]):
        if b < n_used:
            numba.carray(u8_at(records[b]), (record_bytes,))[:] = 0
        store_f64(records[b] + T_REF, -np.inf)


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _read(records: Ints, place: Place, is_half: bool, state: Any) -> None:
    sums, mass, t_ref = state
    n_lives, n_dims = place.n_half_lives, place.n_dims
    for b in range(records.shape[0]):
        at = records[b]
        if b + _AHEAD < records.shape[0]:
            for line in range(0, place.record_bytes, 64):
                prefetch(records[b + _AHEAD] + line)
        if at == 0:
            sums[b], mass[b], t_ref[b] = np.float32(0.0), np.float32(0.0), -np.inf
            continue
        t_ref[b] = load_f64(at + place.t_ref)
        mass[b] = numba.carray(f32_at(at + place.mass), (n_lives,))
        if not is_half:
            sums[b] = numba.carray(f32_at(at + place.vectors), (n_lives, n_dims))
            continue
        means = numba.carray(u16_at(at + place.vectors), (n_lives, n_dims))
        for h in range(n_lives):
            for d in range(n_dims):
                sums[b, h, d] = mass[b, h] * half_to_float(means[h, d])


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _half_means(sums: Floats, mass: Floats, found: npt.NDArray[np.uint16]) -> None:
    for b in range(sums.shape[0]):
        for h in range(sums.shape[1]):
            scale = np.float32(1.0) / mass[b, h] if mass[b, h] > 0.0 else np.float32(0.0)
            for d in range(sums.shape[2]):
                found[b, h, d] = float_to_half(sums[b, h, d] * scale, _NEAREST)
