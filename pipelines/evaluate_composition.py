"""The composition of a bundle on the record: sources and rerank steps, together and without each.

Every variant answers the queries of the evaluation that ask for items new to the user.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import ray

from pipelines.past import Past, scatter, shelf_of
from pipelines.splits import Split
from recsys.errors import DataError
from recsys.evaluation.chances import chance_figures, slate_chances
from recsys.evaluation.composition import (
    ENCODER,
    FULL,
    RANKER,
    Stage,
    curve_names,
    score_composition,
    variants_of,
    with_histories,
)
from recsys.evaluation.fatigue import fit_discount, read_impressions
from recsys.evaluation.intervals import UserBootstrap
from recsys.evaluation.protocol import ask
from recsys.evaluation.quotas import answer_places, fit_quotas, found_share
from recsys.evaluation.scene import Asked
from recsys.evaluation.slate_figures import (
    category_exposure,
    composition_figures,
    curve_figures,
)
from recsys.evaluation.split import Queries, draw_users, time_queries
from recsys.interest.shown import IMPRESSION
from recsys.settings import RetrievalSettings
from recsys.shelf import Shelf

N_CATEGORIES = 20
"""The largest categories of the catalog are told apart."""


def measure_composition(
    past: Past, split: Split, whole: Queries, k: int, quotas: Mapping[str, int]
) -> dict[str, Any]:
    """Measure every variant; Ray is up.

    Args:
        past: the record beside the bundle.
        split: where the queries begin.
        whole: all queries of the split.
        k: length of the slates.
        quotas: of the sources.

    Returns:
        ``variants`` {name: ``ndcg``, ``less_first`` (paired, against the encoder alone),
        ``diversity``, ``coverage``, ``exposure``, ``n_short``}, ``curves`` {mmr, dpp: [[NDCG,
        diversity]]}, ``diversity_gain_at_1pct`` {mmr, dpp}, and ``fitted_sources``: quotas of at
        most ``n_candidates`` in sum that find most right answers of a tail before the split
        (``quotas``, ``found``, and ``found_evenly`` by even ones); None without split time.
        ``fitted_fatigue`` has the ``discount`` that a log with impressions says; None without.
        ``categories`` has the share of places of each category, by variant, and ``catalog`` and
        ``chosen`` beside them. ``ranker`` says how the ranking model came about, and ``chances``
        whether its probabilities come true (``chance_figures``); None without one.

    Raises:
        DataError: if no query asks for an item that is new to the user.
    """
    settings = past.settings
    rng = np.random.default_rng(settings.evaluation.seed)
    queries = _new_queries(past, draw_users(whole, settings.evaluation.max_queries, rng))
    if len(queries) == 0:
        raise DataError("split", "leaves only repeats to ask for", "Choose an earlier split")
    asked = _asked(past, queries)
    retrieval = settings.retrieval.model_copy(update={"sources": dict(quotas)})
    shelf = shelf_of(past)
    variants = variants_of(retrieval, settings.reranking, shelf.ranker)
    stage = ray.put(Stage(past.scene, shelf))
    arguments = (k, variants, retrieval.n_candidates)
    lists = scatter("composition", score_composition, stage, asked, arguments)["lists"]
    before = past.scene.ts < (np.inf if split.start is None else split.start)
    popularity = np.bincount(past.scene.item[before], minlength=len(past.catalog))
    n_bootstrap = settings.evaluation.n_bootstrap
    bootstrap = UserBootstrap(asked.queries.user, n_bootstrap, rng)
    names = [variant.name for variant in variants]
    directions = past.scene.items.directions
    found = composition_figures(names, lists, asked.queries, popularity, directions, bootstrap)
    return {
        "variants": found,
        "categories": _categories(
            shelf, dict(zip(names, np.moveaxis(lists, 1, 0), strict=True)), asked
        ),
        **_of_ranker(shelf, stage, asked, k, retrieval.n_candidates),
        "sources": dict(quotas),
        "steps": list(settings.reranking.steps),
        "fitted_sources": _fitted(past, stage, split, retrieval),
        "fitted_fatigue": _fatigue(past, np.inf if split.start is None else split.start),
        **curve_figures(found, RANKER if RANKER in found else ENCODER, curve_names()),
    }


def _of_ranker(shelf: Shelf, stage: Any, asked: Asked, k: int, n_ranked: int) -> dict[str, Any]:
    ranker = shelf.ranker
    if ranker is None:
        return {"ranker": None, "chances": None}
    told = {"weights": dict(ranker.weights), "alpha": ranker.alpha.as_dict(), **ranker.figures}
    chances = chance_figures(scatter("probabilities", slate_chances, stage, asked, (k, n_ranked)))
    return {"ranker": told, "chances": chances}


def _categories(shelf: Shelf, lists: dict[str, Any], asked: Asked) -> dict[str, Any] | None:
    """Who is shown, by category: the largest of the catalog."""
    names, rows = shelf.category_names, shelf.category_rows
    if len(names) == 0:
        return None
    told = {name: lists[name] for name in (ENCODER, RANKER, FULL) if name in lists}
    told = {"chosen": asked.queries.target, **told}
    shares = {name: category_exposure(some, rows, len(names)) for name, some in told.items()}
    shares["catalog"] = shelf.category_shares
    largest = np.argsort(-shelf.category_shares, kind="stable")[:N_CATEGORIES].tolist()
    return {name: {names[c]: float(values[c]) for c in largest} for name, values in shares.items()}


def _fitted(
    past: Past, stage: Any, split: Split, retrieval: RetrievalSettings
) -> dict[str, Any] | None:
    """Quotas for the sources that are asked."""
    names = [name for name, quota in retrieval.sources.items() if quota > 0]
    if split.start is None or len(names) == 0:
        return None
    tail = _tail(past, split.start)
    if len(tail) == 0:
        return None
    asked = _asked(past, tail)
    budget = retrieval.n_candidates
    found = scatter("sources", _places, stage, asked, (names, budget))["places"]
    quotas = fit_quotas(found, budget, budget)
    return {
        "quotas": dict(zip(names, quotas.tolist(), strict=True)),
        "found": found_share(found, quotas),
        "found_evenly": found_share(found, np.full(len(names), budget // len(names))),
    }


def _fatigue(past: Past, until: float) -> dict[str, Any] | None:
    """What impressions before a moment say of fatigue, all items taken for equally liked."""
    if not np.any(past.events.kind == IMPRESSION):
        return None
    known = past.events.kept(np.flatnonzero(past.events.ts < until))
    shown = read_impressions(known, IMPRESSION, past.settings.reranking.fatigue.half_life_s)
    return {
        "discount": fit_discount(shown.n_before, shown.is_answered),
        "n_impressions": len(shown.event),
        "n_answered": int(shown.is_answered.sum()),
    }


def _places(stage: Stage, asked: Asked, names: list[str], wanted: int) -> dict[str, Any]:
    return {"places": answer_places(stage, asked, names, wanted)}


def _tail(past: Past, start: float) -> Queries:
    """Queries of the last events before the split."""
    settings = past.settings
    ts = past.events.ts[past.events.ts < start]
    since = np.quantile(ts, 1.0 - settings.ranking.validation_share) if len(ts) > 0 else start
    whole = time_queries(past.events, past.positive, float(since))
    whole = whole.pick(np.flatnonzero(whole.as_of < start))
    rng = np.random.default_rng(settings.evaluation.seed)
    return _new_queries(past, draw_users(whole, settings.ranking.n_validation_queries, rng))


def _asked(past: Past, queries: Queries) -> Asked:
    settings = past.settings
    asked = ask(past.events, past.scene, queries, past.touches, settings)
    return with_histories(asked, past.events, settings.interest, settings.data)


def _new_queries(past: Past, queries: Queries) -> Queries:
    return queries.asking(~past.touches.is_repeat(queries))
