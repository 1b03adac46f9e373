"""Retrieval beside changes: the index of a bundle, with some rows told anew and some added.

What is new is searched exactly beside the index, and takes the place of what the index says of it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from recsys.retrieval import MISSING, Retriever

MAX_HIDDEN = 256
"""The index is asked for at most so many more items, in place of those that were told anew."""


class AmendedRetriever:
    """A ``Retriever`` over a bundle's index and some rows beside it.

    Args:
        base: the index.
        rows: (n,) distinct rows that are new, or have another vector than in the index.
        vectors: (n, D) of these; a zero row is never found.
    """

    def __init__(
        self, base: Retriever, rows: npt.NDArray[np.int64], vectors: npt.NDArray[np.float32]
    ) -> None:
        self._base, self._hidden = base, rows
        said = vectors.any(axis=1)
        self._rows, self._vectors = rows[said], np.ascontiguousarray(vectors[said])

    def search(
        self, queries: npt.NDArray[np.float32], k: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """See ``Retriever.search``."""
        if len(self._hidden) == 0:
            return self._base.search(queries, k)
        near, score = self._base.search(queries, k + min(len(self._hidden), MAX_HIDDEN))
        is_gone = np.isin(near, self._hidden)
        near, score = np.where(is_gone, MISSING, near), np.where(is_gone, -np.inf, score)
        beside = queries @ self._vectors.T
        near = np.concatenate([near, np.broadcast_to(self._rows, beside.shape)], axis=1)
        score = np.concatenate([score, beside], axis=1)
        best = np.argsort(-score, axis=1, kind="stable")[:, :k]
        found = np.take_along_axis(near, best, axis=1)
        worth = np.take_along_axis(score, best, axis=1).astype(np.float32)
        return found, worth
