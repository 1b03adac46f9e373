"""Cold items: a fifth of the items is unknown until the split, and known by text alone after it.

Their events before the split are taken out of the log altogether, as if they had been published at
the split; at test moments they have no trend of their own. Ranked among all items, against the best
of two cosines of text. What this costs the warm items is measured against a model that is trained
for warm items alone: no id-dropout, no virtual cutoffs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from recsys.evaluation.baselines import DECAYED_MEAN, LAST_ITEM
from recsys.evaluation.split import Queries, time_queries
from tests.benchmarks.quality_parts.bench import Bench, Found
from tests.benchmarks.quality_parts.judged import (
    OURS,
    Doubles,
    against,
    bootstrap_of,
    mean_over,
    table,
    values_of,
)
from tests.benchmarks.quality_parts.material import Bools, Log, new_to_user
from tests.benchmarks.quality_parts.others import narrowed
from tests.benchmarks.quality_parts.systems import (
    Ours,
    Ranked,
    System,
    by_time,
    decayed_mean,
    last_item,
    rank,
)
from tests.benchmarks.quality_parts.trained import Served, seeded, train

SHARE = 0.2
FOR_WARM_ONLY = ("train.id_dropout=0.0", "train.stale_shares=[0.0]")
COSINES = (LAST_ITEM, DECAYED_MEAN)
AS_IT_COMES, NO_TREND = "halflife, trends as they come", "halflife, no item has a trend"
"""Ours under other circumstances, for the diagnosis: they make no figure."""


def run(bench: Bench) -> Found:
    """Measure the first data set asked for."""
    whole = bench.log(bench.datasets[0])
    start = whole.split_time
    cold = drawn_items(whole, np.random.default_rng(whole.settings.evaluation.seed))
    log = without_past(whole, cold, start)
    known = narrowed(log, start)
    served = [
        train(known, seeded(log.settings, seed), bench.say, bench.minutes) for seed in bench.seeds
    ]
    plain_settings = bench.settings(*FOR_WARM_ONLY)
    plain = [
        train(known, seeded(plain_settings, seed), bench.say, bench.minutes) for seed in bench.seeds
    ]
    at_cold = _asked(log, cold, start, bench)
    at_warm = _asked(log, ~cold, start, bench)
    bench.say(f"cold: {len(at_cold)} queries of cold targets, {len(at_warm)} of warm ones")
    cosines = {LAST_ITEM: last_item(log, at_cold), DECAYED_MEAN: decayed_mean(log, at_cold)}
    mutes = {OURS: cold, AS_IT_COMES: None, NO_TREND: np.ones(len(cold), bool)}
    ranked = _ranked(log, served, at_cold, mutes, cosines)
    hits = {f"hr@{k}": _merged(values_of(ranked, "hit_rate", k)) for k in (10, 100)}
    warm = {
        "trained for cold": _warm(log, served, at_warm, cold),
        "for warm only": _warm(log, plain, at_warm, cold),
    }
    cost = 1.0 - warm["trained for cold"].mean() / max(warm["for warm only"].mean(), 1e-12)
    bootstrap = bootstrap_of(at_cold, log.settings.evaluation)
    warm_bootstrap = bootstrap_of(at_warm, log.settings.evaluation)
    best = {name: max(float(v[c].mean()) for c in COSINES) for name, v in hits.items()}
    return {
        "figures": {
            "cold_hr10": round(float(hits["hr@10"][OURS].mean()), 5),
            "cold_text_hr10": round(best["hr@10"], 5),
            "cold_hr100": round(float(hits["hr@100"][OURS].mean()), 5),
            "cold_text_hr100": round(best["hr@100"], 5),
            "warm_cost": round(float(cost), 5),
        },
        "details": {
            "dataset": log.name,
            "n_cold_items": int(cold.sum()),
            "n_cold_queries": len(at_cold),
            "n_warm_queries": len(at_warm),
            **{name: table(values, bootstrap) for name, values in hits.items()},
            "against": {n: against(values, bootstrap, COSINES) for n, values in hits.items()},
            "warm ndcg@10": table(warm, warm_bootstrap),
            "seeds": [one.notes() for one in [*served, *plain]],
            "for_warm_only": list(FOR_WARM_ONLY),
        },
    }


def drawn_items(log: Log, rng: np.random.Generator) -> Bools:
    """(N,) a fifth of the items that have both text and events."""
    happened = np.zeros(len(log.catalog), bool)
    happened[log.events.item[log.events.item >= 0]] = True
    possible = np.flatnonzero(happened & log.catalog.has_text)
    cold = np.zeros(len(log.catalog), bool)
    cold[rng.choice(possible, int(SHARE * len(possible)), replace=False)] = True
    return cold


def without_past(log: Log, cold: Bools, start: float) -> Log:
    """The log without what happened to the cold items (N,) before ``start``."""
    item = log.events.item
    is_cold = (item >= 0) & cold[np.maximum(item, 0)]
    return log.only(~(is_cold & (log.events.ts < start)))


def _asked(log: Log, wanted: Bools, start: float, bench: Bench) -> Queries:
    """Queries by time, with those targets that are wanted (N,)."""
    queries = time_queries(log.events, log.positive, start)
    return by_time(new_to_user(log, queries, bench.max_queries, wanted))


def _ranked(
    log: Log,
    served: list[Served],
    queries: Queries,
    mutes: dict[str, Bools | None],
    more: dict[str, Any] | None = None,
) -> Ranked:
    """Ranks of our models under each name, where some items have no trend, and of others."""
    scenes = [one.scene(log) for one in served]
    systems: dict[str, System] = {
        f"{name}/{seed}": Ours(log, scene, queries, one.interest, mute=mute)
        for name, mute in mutes.items()
        for seed, (one, scene) in enumerate(zip(served, scenes, strict=True))
    }
    return rank(log, scenes[0], queries, {**systems, **(more or {})})


def _warm(log: Log, served: list[Served], queries: Queries, cold: Bools) -> Doubles:
    """(Q,) NDCG@10 of warm targets, mean of the seeds."""
    return _merged(values_of(_ranked(log, served, queries, {OURS: cold})))[OURS]


def _merged(values: dict[str, Doubles]) -> dict[str, Doubles]:
    """The seeds of a model as one system."""
    seeds: dict[str, list[Doubles]] = {}
    for name, value in values.items():
        seeds.setdefault(name.split("/")[0], []).append(value)
    return {name: mean_over(found) for name, found in seeds.items()}
