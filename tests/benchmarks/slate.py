"""What is done with candidates: rerank steps, rules, reasons, and what the whole composition gives.

``rerank``       milliseconds of all rerank steps together
``rules``        microseconds of ten business rules, two of them about item and request at once
``reasons``      stated effects of events against those of histories without them; their cost
``labels``       how many items of a named interest have the words of its name
``cold``         users without events, by what they say and who they are
``composition``  accuracy, diversity and coverage of sources, ranking model and steps, after a split
``drift``        events until a slate follows a new taste (beside SASRec: ``--peers FOLDER``)

``rerank_p50_ms`` is the sum of steps, rules and reasons, for 500 candidates and k = 20. A part is a
module of ``tests.benchmarks.slate_parts``; figures of parts that were not asked for are null.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks.parts import names_among, run_parts
from tests.benchmarks.slate_parts import cold, composition, drift, labels, reasons, rerank, rules

FIGURES = (
    "ndcg_full_over_encoder",
    "diversity_gain_at_1pct",
    "coverage_ratio",
    "cold_user_ndcg10",
    "cold_user_popular_ndcg10",
    "reason_max_error",
    "label_hit_share",
    "drift_first_at",
    "drift_majority_at",
    "sasrec_drift_first_at",
    "rerank_p50_ms",
)
BEYOND_RETRIEVAL = ("steps_p50_ms", "rules_p50_ms", "reasons_p50_ms")


def run(arguments: list[str]) -> dict[str, Any]:
    """Measure; return the figures."""
    options = _options(arguments)
    told = run_parts(options.parts, lambda name: PARTS[name](options), FIGURES)
    parts = {key: value for found in told["details"].values() for key, value in found.items()}
    if all(key in parts for key in BEYOND_RETRIEVAL):
        told["rerank_p50_ms"] = round(sum(parts[key] for key in BEYOND_RETRIEVAL), 3)
    return told


def _rerank(_: argparse.Namespace) -> dict[str, Any]:
    found = rerank.run()
    return {"steps_p50_ms": found.pop("rerank_p50_ms"), **found}


def _rules(_: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, Any] = dict(rules.run())
    return {"rules_p50_ms": round(found["rules_p50_us"] / 1e3, 3), **found}


def _reasons(options: argparse.Namespace) -> dict[str, Any]:
    found = reasons.run(options.cases, say=_say)
    return {"reasons_p50_ms": round(found["reason_us"] / 1e3, 3), **found}


def _labels(options: argparse.Namespace) -> dict[str, Any]:
    return labels.run(options.dataset)


def _cold(options: argparse.Namespace) -> dict[str, Any]:
    return cold.run(options.dataset, _say)


def _composition(options: argparse.Namespace) -> dict[str, Any]:
    given = (options.minutes, options.queries, options.set)
    return composition.run(options.dataset, *given, _say)


def _drift(options: argparse.Namespace) -> dict[str, Any]:
    return drift.run(options.minutes, options.peers, _say)


PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "rerank": _rerank,
    "rules": _rules,
    "reasons": _reasons,
    "labels": _labels,
    "cold": _cold,
    "composition": _composition,
    "drift": _drift,
}


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks slate")
    parser.add_argument(
        "--parts", type=names_among(PARTS), default=list(PARTS), help=",".join(PARTS)
    )
    parser.add_argument("--cases", type=int, default=1_000, help="statements that are checked")
    parser.add_argument("--dataset", default="movielens-100k")
    parser.add_argument("--queries", type=int, default=3_000, help="most queries")
    parser.add_argument("--minutes", type=float, default=10.0, help="of training, at most")
    parser.add_argument("--peers", type=Path, help="folder where SASRec's answers stand or are put")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="section.field=value",
        help="of the composition, which is without rerank steps by default",
    )
    return parser.parse_args(arguments)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
