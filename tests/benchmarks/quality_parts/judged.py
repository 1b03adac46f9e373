"""Ranks become figures: means with intervals over users, paired differences, ratios.

Of a model that was trained with several seeds every query's value is the mean of the seeds, so that
the interval is that of the users and not of the seeds, which are told beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.evaluation.intervals import LEVEL, UserBootstrap
from recsys.evaluation.metrics import accuracy
from recsys.evaluation.split import Queries
from recsys.settings import EvaluationSettings
from tests.benchmarks.quality_parts.systems import Ranked

Doubles = npt.NDArray[np.float64]
Values = Mapping[str, Doubles]
"""System -> (Q,) values of one metric."""

OURS = "halflife"


def values_of(ranked: Ranked, metric: str = "ndcg", k: int = 10) -> dict[str, Doubles]:
    """System -> (Q,) of one metric of ``recsys.evaluation.metrics``."""
    bounds, n_candidates = ranked.queries.target_bounds, ranked.n_candidates
    return {
        name: accuracy(ranked.ranks[:, s], bounds, n_candidates, k)[metric]
        for s, name in enumerate(ranked.names)
    }


def mean_over(seeds: Sequence[Doubles]) -> Doubles:
    """(Q,) mean of the seeds."""
    found: Doubles = np.mean(np.stack(seeds), axis=0)
    return found


def bootstrap_of(queries: Queries, settings: EvaluationSettings) -> UserBootstrap:
    """Resamples of the users behind some queries."""
    rng = np.random.default_rng(settings.seed)
    return UserBootstrap(queries.user, settings.n_bootstrap, rng)


def table(values: Values, bootstrap: UserBootstrap) -> dict[str, dict[str, float]]:
    """System -> mean, low, high; the best first."""
    found = {name: bootstrap.interval(value).as_dict() for name, value in values.items()}
    return dict(sorted(found.items(), key=lambda pair: -pair[1]["mean"]))


def best_of(values: Values, names: Sequence[str]) -> str:
    """Which of some systems has the highest mean."""
    return max(names, key=lambda name: float(values[name].mean()))


def against(
    values: Values, bootstrap: UserBootstrap, others: Sequence[str], ours: str = OURS
) -> dict[str, Any]:
    """Ours beside each of the others.

    Returns:
        ``best_other``, ``ratio`` to it with ``ratio_low`` and ``ratio_high``, and ``differences``
        {name: {mean, low, high, p}}, ours less theirs, paired.
    """
    best = best_of(values, others)
    low, high = ratio_interval(values[ours], values[best], bootstrap)
    theirs = float(values[best].mean())
    return {
        "best_other": best,
        "ratio": float(values[ours].mean()) / theirs if theirs > 0 else None,
        "ratio_low": low,
        "ratio_high": high,
        "differences": {name: bootstrap.compare(values[ours], values[name]) for name in others},
    }


def ratio_interval(
    ours: Doubles, theirs: Doubles, bootstrap: UserBootstrap
) -> tuple[float | None, float | None]:
    """Bounds of the ratio of two means; None where theirs may be 0."""
    below = bootstrap.means(theirs)
    if len(below) == 0 or below.min() <= 0:
        return None, None
    ratios = bootstrap.means(ours) / below
    low, high = np.quantile(ratios, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def strata(
    values: Values, masks: Mapping[str, npt.NDArray[np.bool_]]
) -> dict[str, dict[str, float]]:
    """Label -> ``n_queries`` and each system's mean over the queries of a mask (Q,)."""
    found = {}
    for label, mask in masks.items():
        if mask.any():
            means = {name: round(float(value[mask].mean()), 5) for name, value in values.items()}
            found[label] = {"n_queries": int(mask.sum()), **means}
    return found
