"""The items nearest to what the user asks for: one search for each query vector.

The lists are merged by turns, so that a minor interest is not drowned by a major one.
"""

from __future__ import annotations

import numpy as np

from recsys.ranking import interest_part, top_k
from recsys.sources.base import Asked, Rows


class Interest:
    """See the module."""

    name = "interest"

    def find(self, asked: Asked, wanted: int) -> Rows:
        """``Source.find``; of each query vector, and more in place of seen items."""
        vectors = asked.evidence.query.vectors[0]
        vectors = vectors[vectors.any(axis=1)]
        if len(vectors) == 0:
            return np.zeros(0, np.int64)
        if asked.retriever is None:
            allowed = asked.allowed & asked.shelf.items.vectors.any(axis=1)
            items = asked.shelf.items.vectors
            found = [top_k(interest_part(u, items), allowed, wanted) for u in vectors]
            turns = np.stack(found, axis=1).reshape(-1)
        else:
            n_near = wanted + min(len(asked.evidence.seen), wanted)
            near, _ = asked.retriever.search(vectors, n_near)
            turns = near.T.reshape(-1)
        turns = turns[turns >= 0]
        _, first = np.unique(turns, return_index=True)
        return turns[np.sort(first)]


SOURCE = Interest()
