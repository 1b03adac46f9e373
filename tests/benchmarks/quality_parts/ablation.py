"""Ablation: what each piece of the model is worth, each a full training of the time split.

A law of forgetting that training does not know yet is left out, with the reason: two trainings of a
tiny world, under that law and under the plain one, then give the very same weights.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from recsys.errors import RecsysError
from recsys.settings import load
from recsys.testing.worlds import WorldSize, drift
from tests.benchmarks.quality_parts.bench import Bench, Found
from tests.benchmarks.quality_parts.judged import Doubles, bootstrap_of, table, values_of
from tests.benchmarks.quality_parts.material import Log, of_world
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
    "hyperbolic": ("model.kernel=hyperbolic",),
    "power law": ("model.kernel=power_law",),
}
_TINY = (
    "encoder.n_dims=8",
    "model.n_hidden=8",
    "model.n_half_lives=3",
    "train.n_epochs=1",
    "train.batch_events=256",
)


def run(bench: Bench) -> Found:
    """One seed of each variant, on the first data set asked for."""
    log = bench.log(bench.datasets[0])
    queries = by_time(log.new_queries(log.split_time, bench.max_queries))
    chosen = [name for name in VARIANTS if not bench.variants or name in {FULL, *bench.variants}]
    values: dict[str, Doubles] = {}
    notes: dict[str, Any] = {}
    for name in chosen:
        reason = why_not(VARIANTS[name])
        if reason is not None:
            notes[name] = {"skipped": reason}
            bench.say(f"{name}: skipped, {reason}")
            continue
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


def why_not(assignments: tuple[str, ...]) -> str | None:
    """Why a variant cannot be trained; None = it can."""
    if not any(given.startswith("model.kernel=") for given in assignments):
        return None
    try:
        plain, other = _tiny_weights(()), _tiny_weights(assignments)
    except RecsysError as error:
        return str(error)
    same = plain.keys() == other.keys() and all(
        plain[name].shape == other[name].shape and np.array_equal(plain[name], other[name])
        for name in plain
    )
    return "training does not read model.kernel" if same else None


def _tiny_weights(assignments: tuple[str, ...]) -> dict[str, Any]:
    settings = load(assignments=[*_TINY, *assignments])
    size = WorldSize(n_users=20, n_items=30, n_events=600)
    log: Log = of_world("probe", drift(size, np.random.default_rng(0)), settings)
    served = train(log, settings, lambda text: None, pilot=False)
    lives = np.array(served.interest.half_lives_s)
    return {**served.exported.model.to_tensors(), "half_lives_s": lives}
