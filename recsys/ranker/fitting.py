"""The ranking model of a validation tail, if a part of it that was not fitted on confirms it.

    first half of the tail ──▶ a model for each penalty ──▶ second half: NDCG@10 less the encoder's
    confirmed ──▶ fitted anew on the whole tail          not confirmed ──▶ the encoder alone

Either way its probabilities are calibrated on the tail's slates.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from recsys.evaluation.intervals import UserBootstrap
from recsys.ranker import smooth
from recsys.ranker.calibrating import fit_calibration, of_slates
from recsys.ranker.calibration import Calibration, calibration_error, reliability
from recsys.ranker.model import Ranker
from recsys.ranker.options import RankerSettings
from recsys.ranker.samples import Samples, ndcg_of

PENALTIES = (1e-2, 1e-3, 1e-4)
"""Strengths that are tried, the strongest first."""
MOST_DOUBT = 0.1
"""Share of resamples of the users without a gain at which a gain is not confirmed."""
K = 10


def fit_ranker(
    samples: Samples, options: RankerSettings, like: Ranker, seed: int, n_bootstrap: int = 1_000
) -> Ranker:
    """Choose the model of some questions.

    Args:
        samples: Q questions by time.
        options: of the model.
        like: what is fitted keeps its neighbours.
        seed: of the resamples.
        n_bootstrap: how many.

    Returns:
        The identity, with the reason in its figures, where there are too few questions or no gain.
    """
    answered = int(samples.is_right.any(axis=1).sum())
    if answered < options.min_queries:
        told = {"chosen": "encoder", "n_queries": answered, "n_needed": options.min_queries}
        return Ranker.identity(options, told)
    early, late = (samples.pick(part) for part in np.array_split(np.arange(len(samples)), 2))
    rng = np.random.default_rng(seed)
    bootstrap = UserBootstrap(late.user, n_bootstrap, rng)
    base = ndcg_of(late, late.encoder, K)
    tried: dict[float, dict[str, float]] = {}
    if early.is_right.any():
        for l2 in PENALTIES:
            model = smooth.fit(early, options, l2, like)
            found = bootstrap.compare(ndcg_of(late, smooth.scores(late, model), K), base)
            tried[l2] = found
    best = max(tried, key=lambda l2: tried[l2]["mean"], default=None)
    figures: dict[str, Any] = {
        "n_queries": answered,
        "ndcg10_encoder": float(base.mean()),
        "gains": {f"{l2:g}": found for l2, found in tried.items()},
    }
    is_gain = best is not None and tried[best]["mean"] > 0.0 and tried[best]["p"] <= 2 * MOST_DOUBT
    if best is None or not is_gain:
        chosen = Ranker.identity(options, {**figures, "chosen": "encoder"})
    else:
        chosen = smooth.fit(samples, options, best, like)
        chosen = replace(chosen, figures={**figures, "chosen": "fitted", "l2": best})
    return _calibrated(chosen, samples)


def _calibrated(ranker: Ranker, samples: Samples) -> Ranker:
    """The model with probabilities that come true; the errors are told of a half not fitted on."""
    scores, right = smooth.scores(samples, ranker), samples.is_right
    middle = len(samples) // 2
    held_out = fit_calibration(scores[:middle], right[:middle], K)
    later = (scores[middle:], right[middle:])
    figures = {
        name: calibration_error(reliability(*of_slates(*later, calibration, K)))
        for name, calibration in (("ece_before", Calibration()), ("ece_after", held_out))
    }
    spread = dict(zip(ranker.options.features, smooth.spreads(samples).tolist(), strict=True))
    return replace(
        ranker,
        calibration=fit_calibration(scores, right, K),
        spreads={name: value for name, value in spread.items() if value > smooth.LEAST_SPREAD},
        figures={**ranker.figures, **figures},
    )
