"""What sources and rerank steps give and cost, asked after the split for what is new to a user.

``ndcg_full_over_encoder``   NDCG@10 of all sources and steps / of the ranking alone
``diversity_gain_at_1pct``   most gain of intra-list diversity at 1% less NDCG@10, by step
``coverage_ratio``           coverage@10 of all of it / of the best popularity
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from recsys.evaluation.baselines import POPULAR_WINDOWS_S
from recsys.evaluation.composition import (
    ENCODER,
    FULL,
    Stage,
    curve_names,
    score_composition,
    variants_of,
    with_histories,
)
from recsys.evaluation.intervals import UserBootstrap
from recsys.evaluation.metrics import coverage
from recsys.evaluation.protocol import ask
from recsys.evaluation.scene import Scene, scene_of
from recsys.evaluation.slate_figures import composition_figures, curve_figures
from recsys.settings import InterestSettings, Settings
from recsys.shelf import Shelf
from tests.benchmarks.quality_parts.bench import Bench
from tests.benchmarks.quality_parts.judged import values_of
from tests.benchmarks.quality_parts.material import Log
from tests.benchmarks.quality_parts.others import fit_others, narrowed
from tests.benchmarks.quality_parts.systems import Popular, by_time, rank
from tests.benchmarks.quality_parts.trained import seeded, train

K = 10
STEPS = ("reranking.steps=[freshness, calibrate, mmr]",)


def run(dataset: str, minutes: float, n_queries: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Train on what was before the split, and measure what comes after it.

    Args:
        dataset: name of a public log.
        minutes: of training, at most.
        n_queries: most queries.
        say: told what happens.
    """
    bench = Bench((dataset,), 1, say, max_queries=n_queries)
    log = bench.log(dataset)
    served = train(narrowed(log, log.split_time), seeded(log.settings, 0), say, minutes)
    return measure(log, served.scene(log), served.interest, bench.settings(*STEPS))


def measure(
    log: Log, scene: Scene, interest: InterestSettings, settings: Settings
) -> dict[str, Any]:
    """Measure the sources and steps of settings.

    Args:
        log: everything that happened.
        scene: the log through a model of the events before the split.
        interest: settings with the model's half-lives.
        settings: ``retrieval.sources`` and ``reranking``; ``evaluation.max_queries`` bounds it.
    """
    known = settings.model_copy(update={"interest": interest})
    queries = by_time(log.new_queries(log.split_time, settings.evaluation.max_queries))
    asked = ask(log.events, scene, queries, log.touches, known)
    asked = with_histories(asked, log.events, interest, settings.data)
    given = (interest, settings.trend, scene.neighbours)
    stage = Stage(scene, Shelf(log.catalog, scene.items, scene.model, *given))
    variants = variants_of(settings.retrieval, settings.reranking)
    n_ranked = settings.retrieval.n_candidates
    lists = score_composition(stage, asked, K, variants, n_ranked)["lists"]
    popularity = np.bincount(scene.item[scene.ts < log.split_time], minlength=scene.n_items)
    rng = np.random.default_rng(settings.evaluation.seed)
    bootstrap = UserBootstrap(asked.queries.user, settings.evaluation.n_bootstrap, rng)
    names, directions = [variant.name for variant in variants], scene.items.directions
    found = composition_figures(names, lists, asked.queries, popularity, directions, bootstrap)
    curves = curve_figures(found, ENCODER, curve_names())
    popular = {name: Popular(scene, window_s) for name, window_s in POPULAR_WINDOWS_S.items()}
    ranked = rank(log, scene, queries, popular, K)
    ndcg = {name: float(values.mean()) for name, values in values_of(ranked).items()}
    best = max(ndcg, key=lambda name: ndcg[name])
    assert ranked.lists is not None
    shown = coverage(ranked.lists[:, ranked.names.index(best)], scene.n_items)
    base = found[ENCODER]["ndcg"]["mean"]
    return {
        "ndcg_full_over_encoder": found[FULL]["ndcg"]["mean"] / base if base > 0 else None,
        "diversity_gain_at_1pct": curves["diversity_gain_at_1pct"],
        "coverage_ratio": found[FULL]["coverage"] / shown,
        "popular_best": {"name": best, "ndcg10": ndcg[best], "coverage": shown},
        "n_queries": len(asked),
        "variants": found,
        "curves": curves["curves"],
    }


def zero_shot(log: Log) -> Scene:
    """The log through the model that is not trained."""
    fitted = fit_others(narrowed(log, log.split_time))
    assert fitted.zero_shot is not None
    lives = log.settings.trend.half_lives_s
    return scene_of(log.events, log.positive, log.catalog, *fitted.zero_shot, lives)
