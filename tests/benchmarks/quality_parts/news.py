"""News: most right answers are unborn when the model is trained; once with text and once without.

A world of items that are read at a median age of two days; four fifths of the test's targets are
younger than the model. Texts are read by hashing their words (``HashEncoder``), in our model and in
the baselines alike; without them an item is known by its date and by who has read it. The untrained
model stands in the table, and is compared apart: it is no other system.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from recsys.settings import DAY_S
from recsys.testing.worlds import WorldSize, news
from tests.benchmarks.quality_parts.asked_peers import answers, folder_of
from tests.benchmarks.quality_parts.bench import Bench, Found
from tests.benchmarks.quality_parts.judged import (
    OURS,
    against,
    bootstrap_of,
    mean_over,
    table,
    values_of,
)
from tests.benchmarks.quality_parts.material import Log, of_world
from tests.benchmarks.quality_parts.others import (
    NEWS_WINDOWS_S,
    ZERO_SHOT,
    fit_others,
    narrowed,
    others,
)
from tests.benchmarks.quality_parts.systems import Ours, System, by_time, rank
from tests.benchmarks.quality_parts.trained import seeded, train

SETTINGS = (
    "trend.half_lives_s=[3600, 10800, 28800, 86400, 259200, 864000, 2592000, 315360000]",
    "train.stale_shares=[1.0, 0.5]",  # most questions are about what is younger than the model
)
SPAN_S = 72 * DAY_S
"""Of which the test has the last fifth: that makes the share of unborn targets."""


def run(bench: Bench) -> Found:
    """Measure both forms; the one with text makes the figures."""
    details = {"with text": _one(bench, True), "without text": _one(bench, False)}
    first = details["with text"]
    best = first["against"]["best_other"]
    return {
        "figures": {
            "news_ndcg10": round(first["ndcg@10"][OURS]["mean"], 5),
            "news_best_other_ndcg10": round(first["ndcg@10"][best]["mean"], 5),
        },
        "details": details,
    }


def _one(bench: Bench, with_text: bool) -> dict[str, Any]:
    settings = bench.settings(*SETTINGS)
    size = WorldSize(
        n_users=bench.scaled(2_000),
        n_items=bench.scaled(4_000),
        n_events=bench.scaled(100_000),
        span_s=SPAN_S,
    )
    name = "news" if with_text else "news-without-text"
    world = news(size, np.random.default_rng(settings.evaluation.seed))
    log = of_world(name, world, settings, with_text)
    start = log.split_time
    known = narrowed(log, start)
    served = [
        train(known, seeded(settings, seed), bench.say, bench.minutes) for seed in bench.seeds
    ]
    queries = by_time(log.new_queries(start, bench.max_queries))
    queries, answered = answers(folder_of(bench, log), log, queries, bench.say)
    share = unborn_share(log, queries.target, start)
    bench.say(f"{name}: {share:.1%} of {len(queries.target)} targets were unborn at training time")
    scenes = [one.scene(log) for one in served]
    systems: dict[str, System] = {
        f"{OURS}/{seed}": Ours(log, scene, queries, one.interest)
        for seed, (one, scene) in enumerate(zip(served, scenes, strict=True))
    }
    fitted = fit_others(known)
    systems.update(others(log, scenes[0], queries, fitted, NEWS_WINDOWS_S))
    systems.update(answered)
    ranked = rank(log, scenes[0], queries, systems)
    per_system = values_of(ranked)
    mine = mean_over([v for n, v in per_system.items() if n.startswith(OURS)])
    rest = {n: v for n, v in per_system.items() if not n.startswith(OURS)}
    values = {OURS: mine, **rest}
    bootstrap = bootstrap_of(queries, settings.evaluation)
    return {
        "ndcg@10": table(values, bootstrap),
        "against": against(values, bootstrap, [name for name in rest if name != ZERO_SHOT]),
        "less_zero_shot": bootstrap.compare(mine, rest[ZERO_SHOT]) if ZERO_SHOT in rest else None,
        "unborn_share": share,
        "text": "hashed words" if with_text else None,
        "n_queries": len(queries),
        "world": {"n_users": size.n_users, "n_items": size.n_items, "n_events": size.n_events},
        "seeds": [one.notes() for one in served],
        "settings": list(SETTINGS),
    }


def unborn_share(log: Log, target: Any, start: float) -> float:
    """Share of the targets (M,) that were born at or after the split."""
    return float((log.catalog.available_from[target] >= start).mean())
