"""Freshness: a part of the score for young items, of which an item can have so much at most.

freshness_i = lift * std(scores) * 2^(-(t - born_i) / half-life)

An item of which no birth is known gains nothing.
"""

from __future__ import annotations

import numpy as np

from recsys.freshness import freshness
from recsys.reranking.base import Ranked
from recsys.reranking.options import FreshnessSettings
from recsys.sources.base import Asked


class Freshness:
    """See the module.

    Args:
        options: how much, and for how long.
    """

    name = "freshness"

    def __init__(self, options: FreshnessSettings) -> None:
        self._options = options

    def apply(self, ranked: Ranked, asked: Asked, _: int, /) -> Ranked:
        """``Step.apply``."""
        if len(ranked) == 0:
            return ranked
        born = asked.shelf.catalog.available_from[ranked.rows]
        left = freshness(born, asked.as_of, (self._options.half_life_s,))[:, 0]
        most = np.float32(self._options.lift * ranked.scores.std(dtype=np.float64))
        return ranked.with_part(self.name, most * left)


STEP = Freshness
