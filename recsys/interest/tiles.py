"""Dot products of queries with item vectors, each summed in the order of the dimensions.

Items are taken in tiles, one lane each, so that a lane adds up alone and the lanes side by side:
fast, and the sum of an item does not depend on which other items there are.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

LANES = 64


def tiled(vectors: npt.NDArray[np.floating[Any]]) -> Floats:
    """(T, D, LANES) the vectors (N, D) in tiles; lanes behind the last item are zero."""
    n_tiles = -(-len(vectors) // LANES)
    padded = np.zeros((n_tiles * LANES, vectors.shape[1]), np.float32)
    padded[: len(vectors)] = vectors
    return np.ascontiguousarray(padded.reshape(n_tiles, LANES, -1).transpose(0, 2, 1))


def dots(queries: Floats, vectors: Floats) -> Floats:
    """(B, N) products of queries (B, D) with vectors (N, D)."""
    out = np.zeros((len(queries), len(vectors)), np.float32)
    _dots(queries, vectors, out)
    return out


def dots_of_tiles(queries: Floats, tiles: Floats, n_items: int) -> Floats:
    """``dots``, bit for bit, of vectors that stand in tiles already: several times as fast.

    Args:
        queries: (B, D).
        tiles: (T, D, LANES) of ``tiled``.
        n_items: N.
    """
    out = np.zeros((len(queries), n_items), np.float32)
    _dots_of_tiles(queries, tiles, out)
    return out


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _dots(queries: Floats, vectors: Floats, out: Floats) -> None:
    n_items, n_dims = vectors.shape
    tile = np.zeros((n_dims, LANES), np.float32)
    sums = np.zeros(LANES, np.float32)
    for start in range(0, n_items, LANES):
        width = min(LANES, n_items - start)
        for lane in range(width):
            for d in range(n_dims):
                tile[d, lane] = vectors[start + lane, d]
        for b in range(queries.shape[0]):
            sums[:] = 0.0
            for d in range(n_dims):
                weight = queries[b, d]
                for lane in range(LANES):
                    sums[lane] += weight * tile[d, lane]
            for lane in range(width):
                out[b, start + lane] = sums[lane]


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _dots_of_tiles(queries: Floats, tiles: Floats, out: Floats) -> None:
    n_items = out.shape[1]
    sums = np.zeros(LANES, np.float32)
    for t in range(tiles.shape[0]):
        width = min(LANES, n_items - t * LANES)
        for b in range(queries.shape[0]):
            sums[:] = 0.0
            for d in range(tiles.shape[1]):
                weight = queries[b, d]
                for lane in range(LANES):
                    sums[lane] += weight * tiles[t, d, lane]
            for lane in range(width):
                out[b, t * LANES + lane] = sums[lane]
