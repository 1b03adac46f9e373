"""Drawn slates: places are drawn one after the other, without return, from a softmax.

    P(i at a place | those before) = exp(s_i / T) / sum over the others left of exp(s_j / T)

Drawn at once as the order of ``s_i / T + Gumbel noise``. Each item goes out with the log of its
probability, so that logged slates can be weighed for what they would not have shown.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from recsys.reranking.base import Ranked, place_scores
from recsys.reranking.options import SampleSettings
from recsys.sources.base import Asked


class Sample:
    """See the module; it must be the last step.

    Args:
        options: temperature, and of how many items is drawn.
    """

    name = "sample"

    def __init__(self, options: SampleSettings) -> None:
        self._options = options

    def apply(self, ranked: Ranked, asked: Asked, k: int, /) -> Ranked:
        """``Step.apply``; the k drawn, with their probabilities. The same seed draws alike."""
        pool = min(len(ranked), max(k, self._options.n_pool))
        scores = place_scores(ranked)[:pool]
        spread = float(scores.std()) if pool > 0 else 0.0
        logits = scores / (self._options.temperature * spread) if spread > 0 else scores * 0.0
        noise = np.random.default_rng(asked.seed).gumbel(size=pool)
        order = np.argsort(-(logits + noise), kind="stable")
        drawn = logits[order]
        left = np.logaddexp.accumulate(drawn[::-1])[::-1]  # of each place and all after it
        shown = order[:k]
        return replace(ranked.pick(shown), log_propensity=(drawn - left)[: len(shown)])


STEP = Sample
