"""What the rerank steps cost: all of them, and each alone, on the candidates of one slate.

500 candidates of 50,000 items with 64 dimensions, k = 20; categories, providers, ages, 64 recent
events and 64 impressions. One core; nothing of it waits, so wall time is what it takes.

``rerank_p50_ms``, ``rerank_p99_ms``   all steps, one after the other
``step_p50_ms``                        each alone
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from recsys.catalog import Catalog
from recsys.interest.model import ItemTable
from recsys.interest.zero_shot import ZeroShot
from recsys.ranking import default_weights
from recsys.reranking.base import Ranked, Step
from recsys.reranking.options import RerankingSettings, step_names
from recsys.reranking.registry import steps_of
from recsys.settings import DAY_S, InterestSettings, TrendSettings
from recsys.shelf import Evidence, Shelf
from recsys.sources.base import Asked

N_ITEMS, N_DIMS, N_KINDS, N_PROVIDERS = 50_000, 64, 60, 400
N_CANDIDATES, K, N_RECENT = 500, 20, 64
NOW = 1_000 * DAY_S

EVERYTHING: dict[str, Any] = {
    "steps": step_names(),
    "fatigue": {"discount": 0.3},
    "caps": {"per_category": 10, "per_provider": 5},
}


def run(rounds: int = 300) -> dict[str, Any]:
    """Measure; return milliseconds.

    Args:
        rounds: slates timed, after a tenth as many that are not.
    """
    settings = RerankingSettings.model_validate(EVERYTHING)
    rng = np.random.default_rng(7)
    asked, questions = _asked(rng), []
    for _ in range(32):
        ranked = _ranked(rng)
        questions.append((ranked, replace(asked, seed=int(rng.integers(2**62)))))
    whole = _times(steps_of(settings), questions, rounds)
    alone = {step.name: _times([step], questions, rounds) for step in steps_of(settings)}
    return {
        "rerank_p50_ms": round(float(np.median(whole)), 3),
        "rerank_p99_ms": round(float(np.quantile(whole, 0.99)), 3),
        "step_p50_ms": {name: round(float(np.median(t)), 3) for name, t in alone.items()},
    }


def _times(
    steps: Sequence[Step], questions: Sequence[tuple[Ranked, Asked]], rounds: int
) -> list[float]:
    """Milliseconds of each round but the first ones."""
    found = []
    for turn in range(rounds + max(1, rounds // 10)):
        ranked, asked = questions[turn % len(questions)]
        started = time.perf_counter()
        for step in steps:
            ranked = step.apply(ranked, asked, K)
        found.append(1e3 * (time.perf_counter() - started))
    return found[-rounds:]


def _asked(rng: np.random.Generator) -> Asked:
    vectors = rng.normal(size=(N_ITEMS, N_DIMS)).astype(np.float32)
    kinds = np.array([f"kind-{n}" for n in range(N_KINDS)])
    chosen = kinds[rng.integers(0, N_KINDS, (N_ITEMS, 3))]
    provider = rng.integers(0, N_PROVIDERS, N_ITEMS)
    blank = [""] * N_ITEMS
    catalog = Catalog(
        item_ids=[f"{n:06}" for n in range(N_ITEMS)],
        titles=blank,
        texts=blank,
        categories=[tuple(dict.fromkeys(row)) for row in chosen.tolist()],
        available_from=NOW - 100 * DAY_S * rng.random(N_ITEMS),
        available_until=np.full(N_ITEMS, np.inf),
        attributes=[{"provider": f"p{n}"} for n in provider],
    )
    interest, trend = InterestSettings(), TrendSettings()
    model = ZeroShot(interest, default_weights(interest, trend))
    shelf = Shelf(catalog, ItemTable.all_warm(vectors), model, interest, trend)
    evidence = Evidence(
        shelf.nobody,
        recent_item=rng.integers(0, N_ITEMS, N_RECENT),
        recent_ts=NOW - 30 * DAY_S * rng.random(N_RECENT),
        recent_importance=np.ones(N_RECENT),
        shown_item=rng.integers(0, N_ITEMS, N_RECENT),
        shown_ts=NOW - 30 * DAY_S * rng.random(N_RECENT),
    )
    features = np.zeros((N_ITEMS, len(trend.half_lives_s)), np.float32)
    return Asked(shelf, evidence, features, NOW, np.ones(N_ITEMS, np.bool_))


def _ranked(rng: np.random.Generator) -> Ranked:
    rows = rng.permutation(N_ITEMS)[:N_CANDIDATES]
    scores = -np.sort(-rng.normal(size=N_CANDIDATES)).astype(np.float32)
    bits = np.ones(N_CANDIDATES, np.int64)
    return Ranked(rows, scores, {"interest": scores}, bits, ("interest",))


if __name__ == "__main__":
    import json
    import sys

    sys.stdout.write(f"{json.dumps(run())}\n")
