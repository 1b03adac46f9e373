"""Spherical k-means: nodes of items whose vectors point the same way.

    node(i) = argmax_a h_a . x_i        h_a = normalise(sum of x_i in a)        |x_i| = 1

Dhillon and Modha 2001, begun with k-means++ (for unit vectors 1 - cosine is half the squared
distance). ``silhouette`` is the simplified one (Hruschka et al. 2004), which compares the two
nearest centres of each item; an item alone in its node counts 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

NO_NODE = -1
N_FITTED = 20_000
"""Most items that centres are fitted on; all others join the nearest one."""
_N_ROUNDS = 40
_BLOCK = 8_192


class Clustering(NamedTuple):
    """A nodes over N items."""

    centres: Floats
    """(A, D) unit rows."""
    node: Ints
    """(N,) of each item; ``NO_NODE`` = nothing is known of it."""
    silhouette: float
    """In [-1, 1], of the items that were fitted on."""


def clusterings(directions: Floats, max_nodes: int, seed: int) -> Iterator[Clustering]:
    """Cluster items into each number of nodes of a small grid, the fewest first.

    Args:
        directions: (N, D) unit rows; a zero row is in no node.
        max_nodes: most nodes.
        seed: of every draw; the same items and seed give the same nodes.

    Yields:
        Nothing where no item has a direction.
    """
    known = np.flatnonzero(directions.any(axis=1))
    fitted = known
    if len(known) > N_FITTED:
        fitted = np.sort(np.random.default_rng(seed).choice(known, N_FITTED, replace=False))
    x = np.ascontiguousarray(directions[fitted], np.float32)
    for n_nodes in grid(len(x), max_nodes) if len(x) > 0 else []:
        centres = spherical_kmeans(x, n_nodes, np.random.default_rng([seed, n_nodes]))
        node = np.full(len(directions), NO_NODE, np.int64)
        node[known] = nearest(directions[known], centres)
        yield Clustering(centres, node, silhouette(x, centres))


def grid(n_items: int, max_nodes: int) -> list[int]:
    """Numbers of nodes to choose from: around the square root of the number of items, rising.

    >>> grid(1_600, 256)
    [10, 14, 20, 28, 40, 57, 80]
    """
    most = max(1, min(max_nodes, n_items // 3))
    wanted = [round(np.sqrt(n_items) * 2.0 ** (step / 2)) for step in range(-4, 3)]
    return sorted({int(np.clip(n, 1, most)) for n in wanted})


def spherical_kmeans(x: Floats, n_nodes: int, rng: np.random.Generator) -> Floats:
    """Centres.

    Args:
        x: (M, D) unit rows, at least one.
        n_nodes: most centres; fewer where there are fewer directions.
        rng: for the beginning.

    Returns:
        (A, D) unit rows, each the nearest one of at least one item.
    """
    centres = _begin(x, n_nodes, rng)
    last: Ints | None = None
    for _ in range(_N_ROUNDS):
        node = nearest(x, centres)
        if last is not None and np.array_equal(node, last):
            break
        last = node
        ones = np.ones(len(x), np.float32)
        member = csr_array((ones, (node, np.arange(len(x)))), shape=(len(centres), len(x)))
        sums = np.asarray(member @ x, np.float32)
        norms = np.linalg.norm(sums, axis=1)
        moved = norms > 0.0  # a node that is empty, or whose items cancel out, stays where it is
        centres[moved] = sums[moved] / norms[moved, None]
    used = np.unique(nearest(x, centres))
    found: Floats = centres[used]
    return found


def nearest(x: Floats, centres: Floats) -> Ints:
    """(M,) nearest centre of each row; of equals the first."""
    found = np.zeros(len(x), np.int64)
    for some in _blocks(len(x)):
        found[some] = np.argmax(x[some] @ centres.T, axis=1)
    return found


def silhouette(x: Floats, centres: Floats) -> float:
    """Mean of (b - a) / max(a, b): 1 - cosine to the nearest centre, a, and to the next one, b."""
    if len(centres) < 2:
        return 0.0
    size = np.bincount(nearest(x, centres), minlength=len(centres))
    total = 0.0
    for some in _blocks(len(x)):
        far = 1.0 - x[some] @ centres.T
        two = np.maximum(np.partition(far, 1, axis=1)[:, :2].astype(np.float64), 0.0)
        worth = (two[:, 1] - two[:, 0]) / np.maximum(two[:, 1], 1e-9)
        total += float(worth[size[np.argmin(far, axis=1)] > 1].sum())
    return total / len(x)


def _begin(x: Floats, n_nodes: int, rng: np.random.Generator) -> Floats:
    chosen = [int(rng.integers(len(x)))]
    far = np.maximum(1.0 - x @ x[chosen[0]], 0.0).astype(np.float64)
    while len(chosen) < n_nodes and far.max() > 1e-6:
        chosen.append(int(rng.choice(len(x), p=far / far.sum())))
        far = np.minimum(far, np.maximum(1.0 - x @ x[chosen[-1]], 0.0))
        far[chosen] = 0.0
    found: Floats = x[chosen]
    return found


def _blocks(n: int) -> Iterator[slice]:
    return (slice(first, first + _BLOCK) for first in range(0, n, _BLOCK))
