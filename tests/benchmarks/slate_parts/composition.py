"""What sources, ranking model and rerank steps give and cost, by the commands that users run.

A log is ingested, a bundle is trained on what was before the split, and ``pipelines.evaluate
--composition`` asks after the split for what is new to a user.

``ndcg_full_over_encoder``   NDCG@10 of sources, ranking model and steps / of the encoder alone
``diversity_gain_at_1pct``   most gain of intra-list diversity at 1% less NDCG@10, of the best step
``coverage_ratio``           coverage@10 of all of it / of the best popularity
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from tempfile import TemporaryDirectory
from typing import Any

from pipelines import datasets, evaluate, ingest, train
from pipelines.job import open_job, ray_session
from pipelines.train_publish import Options
from recsys.evaluation.composition import ENCODER, FULL, RANKER

SPLIT = "time:0.8"


def run(
    dataset: str,
    minutes: float,
    n_queries: int,
    assignments: Sequence[str],
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Train on what was before the split, and measure what comes after it.

    Args:
        dataset: name of a public log.
        minutes: of training, at most.
        n_queries: most queries.
        assignments: ``section.field=value`` of both jobs.
        say: told what happens.
    """
    files = datasets.fetch(dataset)
    bounds = (f"train.budget_s={60.0 * minutes}", f"evaluation.max_queries={n_queries}")
    with TemporaryDirectory(prefix="halflife-slate-") as folder, ray_session():
        job = open_job(folder, assignments=[*bounds, *assignments])
        ingest.run(job, [str(files.events)], [str(files.items)], [str(files.users)])
        until = evaluate.split_time(job, SPLIT)
        say(f"training on the events before {until:.0f}")
        trained = train.run(job, Options(until=until, publish=False))
        report = evaluate.run(job, SPLIT, bundle_id=trained["bundle_id"], composition=True)
    return figures_of(report)


def figures_of(report: dict[str, Any]) -> dict[str, Any]:
    """What an evaluation with ``composition`` says, under the names of this benchmark."""
    found = report["composition"]
    variants = found["variants"]
    base, full = (variants[name]["ndcg"]["mean"] for name in (ENCODER, FULL))
    gains = {
        name: gain for name, gain in found["diversity_gain_at_1pct"].items() if gain is not None
    }
    return {
        "ndcg_full_over_encoder": full / base if base > 0 else None,
        "diversity_gain_at_1pct": max(gains.values(), default=None),
        "coverage_ratio": found["coverage_ratio"],
        "diversity_gains": gains,
        "has_ranker": RANKER in variants,
        "ranker": found["ranker"],
        "chances": found["chances"],
        "fitted_sources": found["fitted_sources"],
        "popular_best": {"name": report["popular_best"], "ndcg10": report["popular_best_ndcg10"]},
        "n_queries": report["split"]["n_queries_drawn"],
        "variants": variants,
        "curves": found["curves"],
    }
