"""Ablation: what each piece of the model is worth, each a full training of the time split."""

from __future__ import annotations

from typing import Any

from tests.benchmarks.quality_parts.bench import Bench, Found
from tests.benchmarks.quality_parts.judged import Doubles, bootstrap_of, table, values_of
from tests.benchmarks.quality_parts.others import narrowed
from tests.benchmarks.quality_parts.systems import Ours, by_time, rank
from tests.benchmarks.quality_parts.trained import train

FULL = "full"
VARIANTS: dict[str, tuple[str, ...]] = {
    FULL: (),
    "fixed half-lives": ("model.learn_half_lives=false",),
    "one half-life": ("model.n_half_lives=1",),
    "one fixed half-life": ("model.n_half_lives=1", "model.learn_half_lives=false"),
    "no trend": ("model.use_trend=false",),
    "no text": ("model.use_text=false",),
    "no id": ("model.use_id=false",),
    "no transitions": ("model.use_transitions=false",),
    "no negative feedback": ("interest.negative_importance={}",),
    "no virtual cutoffs": ("train.stale_shares=[0.0]",),
    "item profile": ("model.item_profile=true",),
    "hyperbolic": ("model.kernel=hyperbolic",),
    "power law": ("model.kernel=power_law",),
}


def run(bench: Bench) -> Found:
    """One seed of each variant, on the first data set asked for."""
    log = bench.log(bench.datasets[0])
    queries = by_time(log.new_queries(log.split_time, bench.max_queries))
    chosen = [name for name in VARIANTS if not bench.variants or name in {FULL, *bench.variants}]
    values: dict[str, Doubles] = {}
    notes: dict[str, Any] = {}
    for name in chosen:
        read = log.under(bench.settings(*VARIANTS[name]))
        served = train(narrowed(read, log.split_time), read.settings, bench.say, bench.minutes)
        scene = served.scene(read)
        ranked = rank(read, scene, queries, {name: Ours(read, scene, queries, served.interest)})
        values[name] = values_of(ranked)[name]
        notes[name] = {"settings": list(VARIANTS[name]), **served.notes()}
        bench.say(f"{name}: NDCG@10 {values[name].mean():.4f}")
    bootstrap = bootstrap_of(queries, log.settings.evaluation)
    lost = {
        name: bootstrap.compare(found, values[FULL])
        for name, found in values.items()
        if name != FULL
    }
    details = {
        "dataset": log.name,
        "ndcg@10": table(values, bootstrap),
        "less_full": lost,
        "variants": notes,
    }
    return {"figures": {}, "details": details}
