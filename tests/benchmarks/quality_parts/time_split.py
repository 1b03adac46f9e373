"""The time split: trained on the first four fifths, asked about what is new to a user afterwards.

Histories roll, models do not. All baselines, and the peers' answers where they are, stand beside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from recsys.evaluation.protocol import FROZEN
from recsys.evaluation.split import Queries
from tests.benchmarks.quality_parts.asked_peers import answers, folder_of
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
from tests.benchmarks.quality_parts.material import Log
from tests.benchmarks.quality_parts.others import (
    Fitted,
    fit_others,
    narrowed,
    others,
)
from tests.benchmarks.quality_parts.systems import Ours, Ranked, System, by_time, rank
from tests.benchmarks.quality_parts.trained import Served, seeded, train

METRICS = (("ndcg", 10), ("hit_rate", 10), ("recall", 10), ("mrr", 10))


@dataclass(frozen=True)
class Measured:
    """A log that was split, the models that were trained on its past, and all ranks."""

    log: Log
    served: list[Served]
    """One of each seed."""
    fitted: Fitted
    ranked: Ranked
    """Ours is named ``halflife/0``, ``halflife/1``, ... and ``halflife-frozen/0``, ..."""

    @property
    def others(self) -> list[str]:
        """Names of the systems that are not ours."""
        return [name for name in self.ranked.names if not name.startswith(OURS)]

    def values(self, metric: str = "ndcg", k: int = 10) -> dict[str, Doubles]:
        """System -> (Q,); ours is the mean of the seeds."""
        found = values_of(self.ranked, metric, k)
        ours: dict[str, Doubles] = {}
        for name in (OURS, FROZEN):
            ours[name] = mean_over([v for n, v in found.items() if n.split("/")[0] == name])
        return {**ours, **{name: found[name] for name in self.others}}


def run(bench: Bench) -> Found:
    """Measure every data set asked for; the first one makes the figures."""
    details: dict[str, Any] = {}
    figures: dict[str, Any] = {}
    for name in bench.datasets:
        found = measured(bench, name)
        details[name] = report(found, bench)
        if not figures:
            lead = details[name]["against"]
            best = lead["best_other"]
            figures = {
                "time_ndcg10": round(details[name]["ndcg@10"][OURS]["mean"], 5),
                "time_best_other_ndcg10": round(details[name]["ndcg@10"][best]["mean"], 5),
                "time_best_other": best,
                "train_s": round(sum(s.seconds for s in found.served) / len(found.served), 1),
            }
    return {"figures": figures, "details": details}


def measured(bench: Bench, name: str) -> Measured:
    """Train, fit the others and rank; done once in a run."""
    found: Measured = bench.once(("time", name), lambda: _measured(bench, name))
    return found


def _measured(bench: Bench, name: str) -> Measured:
    log = bench.log(name)
    known = narrowed(log, log.split_time)
    bench.say(f"{name}: fitting the baselines")
    fitted = fit_others(known)
    served = [
        train(known, seeded(log.settings, seed), bench.say, bench.minutes) for seed in bench.seeds
    ]
    queries = by_time(log.new_queries(log.split_time, bench.max_queries))
    queries, answered = answers(folder_of(bench, log), log, queries, bench.say)
    bench.say(f"{name}: ranking {len(queries)} queries")
    systems = {**ours(log, served, queries), **_rest(log, served[0], queries, fitted), **answered}
    return Measured(log, served, fitted, rank(log, served[0].scene(log), queries, systems))


def ours(log: Log, served: list[Served], queries: Queries) -> dict[str, System]:
    """Our model of each seed, with rolling and with frozen profiles."""
    found: dict[str, System] = {}
    for seed, one in enumerate(served):
        scene = one.scene(log)
        found[f"{OURS}/{seed}"] = Ours(log, scene, queries, one.interest)
        frozen = Ours(log, scene, queries, one.interest, frozen_at=log.split_time)
        found[f"{FROZEN}/{seed}"] = frozen
    return found


def _rest(log: Log, served: Served, queries: Queries, fitted: Fitted) -> dict[str, System]:
    return others(log, served.scene(log), queries, fitted)


def report(found: Measured, bench: Bench) -> dict[str, Any]:
    """Tables of every metric, and ours against the others."""
    bootstrap = bootstrap_of(found.ranked.queries, found.log.settings.evaluation)
    lead = against(found.values(), bootstrap, found.others)
    bench.say(f"{found.log.name}: ratio {lead['ratio']} to {lead['best_other']}")
    per_seed = {n: round(float(v.mean()), 5) for n, v in values_of(found.ranked).items()}
    return {
        **{f"{m}@{k}": table(found.values(m, k), bootstrap) for m, k in METRICS},
        "against": lead,
        "per_seed": {name: value for name, value in per_seed.items() if "/" in name},
        "n_queries": len(found.ranked.queries),
        "n_targets": len(found.ranked.queries.target),
        "n_users": bootstrap.n_users,
        "split_time": found.log.split_time,
        "positive_kinds": list(found.log.settings.interest.positive_kinds),
        "rating_positive_min": found.log.settings.interest.rating_positive_min,
        "seeds": [one.notes() for one in found.served],
        "baselines": found.fitted.notes,
    }
