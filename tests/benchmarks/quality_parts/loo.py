"""Leave-one-out: every user's last event by (ts, seq), every event positive, mean of the seeds.

Beside it the strict figure, with histories that end before the target's instant.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from recsys.evaluation.split import draw_users, last_event_queries
from tests.benchmarks.quality_parts.bench import Bench, Found
from tests.benchmarks.quality_parts.judged import (
    Doubles,
    bootstrap_of,
    mean_over,
    table,
    values_of,
)
from tests.benchmarks.quality_parts.material import Log
from tests.benchmarks.quality_parts.systems import Ours, Ranked, by_time, rank
from tests.benchmarks.quality_parts.trained import Served, seeded, train

NAME = "movielens-100k"
ALL_POSITIVE = (
    "interest.rating_positive_min=0",
    "interest.rating_negative_max=-1",
    "train.history=ordered",
    "train.stale_shares=[0.0]",  # the model is as old as the question
    "train.id_dropout=0.0",  # and no item is new to it
    "train.n_epochs=24",
    "train.learning_rate=0.002",
)


def run(bench: Bench) -> Found:
    """Train without a pilot, for as many epochs as the settings say; measure both histories."""
    if NAME not in bench.datasets:
        return {"figures": {}, "details": f"{NAME} was not asked for"}
    log = bench.log(NAME, *ALL_POSITIVE)
    kept = np.ones(len(log.events), bool)
    filled = np.diff(log.events.bounds) > 0
    kept[log.events.bounds[1:][filled] - 1] = False
    known = log.only(kept)
    values: dict[str, list[Doubles]] = {}
    notes, seconds = [], []
    asked: Ranked | None = None
    for seed in bench.seeds:
        settings = seeded(log.settings, seed)
        served = train(known, settings, bench.say, bench.minutes, pilot=False)
        seconds.append(served.seconds)
        said: dict[str, Any] = served.notes()
        for history in ("strict", "ordered"):
            asked = asked_of(log, served, bench, history == "strict")
            for metric in ("ndcg", "hit_rate"):
                found = values_of(asked, metric)["halflife"]
                values.setdefault(f"{history} {metric}@10", []).append(found)
                said[f"{history} {metric}@10"] = round(float(found.mean()), 5)
        bench.say(f"loo, seed {seed}: {said}")
        notes.append(said)
    assert asked is not None
    means = {name: mean_over(seeds) for name, seeds in values.items()}
    return {
        "figures": {
            "loo_ndcg10": round(float(means["ordered ndcg@10"].mean()), 5),
            "loo_hr10": round(float(means["ordered hit_rate@10"].mean()), 5),
            "train_s": round(float(np.mean(seconds)), 1),
        },
        "details": {
            "table": table(means, bootstrap_of(asked.queries, log.settings.evaluation)),
            "n_queries": len(asked.queries),
            "seeds": notes,
            "settings": list(ALL_POSITIVE),
        },
    }


def asked_of(log: Log, served: Served, bench: Bench, strict: bool) -> Ranked:
    """Our ranks of every user's last event."""
    whole = last_event_queries(log.events, log.positive, strict)
    rng = np.random.default_rng(log.settings.evaluation.seed)
    queries = by_time(draw_users(whole, bench.max_queries, rng))
    scene = served.scene(log)
    return rank(log, scene, queries, {"halflife": Ours(log, scene, queries, served.interest)})
