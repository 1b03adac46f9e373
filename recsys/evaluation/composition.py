"""The whole composition on past queries: sources, ranking and rerank steps, in many variants.

Each query goes the way that a request goes, candidate sources included, whatever the size of the
catalog; a variant changes the sources that are asked, or the steps, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from recsys.coldstart.told import Told, not_wished
from recsys.evaluation.protocol import OURS, Result
from recsys.evaluation.scene import Asked, Scene
from recsys.evaluation.touched import recent_before
from recsys.events import EventArrays
from recsys.ranker.model import Ranker
from recsys.reranking.base import Ranked
from recsys.reranking.options import DppSettings, MmrSettings, RerankingSettings, SwapSettings
from recsys.reranking.registry import steps_of
from recsys.settings import DataSettings, InterestSettings, RetrievalSettings
from recsys.shelf import Evidence, Shelf
from recsys.slate import SlateOptions, find, rank, rerank
from recsys.sources import base
from recsys.sources.gather import sources_of

ENCODER = "encoder"
"""The ranking of the whole catalog by the encoder's score, without sources, model and steps."""
RANKER = "ranker"
"""The same, the best of it ranked by the ranking model."""
FULL = "full"
CURVE = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9)
"""Trade-offs at which the curves of accuracy against diversity are drawn."""
PRICES = (0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1)
"""The same for the step that has a price."""

_ACTS, _SHOWN = "acts", "shown"


@dataclass(frozen=True)
class Variant:
    """One way to make slates."""

    name: str
    sources: Mapping[str, int] | None
    """Quotas; None = the whole catalog."""
    reranking: RerankingSettings = field(default_factory=RerankingSettings)
    without_features: tuple[str, ...] = ()
    """Of the ranking model, those whose weights are 0."""
    is_ranked: bool = True
    """Whether the ranking model, where there is one, is asked."""


class Stage(NamedTuple):
    """What all queries of an evaluation are asked on."""

    scene: Scene
    shelf: Shelf
    """Of the items of the scene, with the same model."""


def variants_of(
    retrieval: RetrievalSettings, reranking: RerankingSettings, ranker: Ranker | None = None
) -> list[Variant]:
    """The encoder alone, all of it, all but one part each, and the two curves.

    Args:
        retrieval: its sources.
        reranking: its steps.
        ranker: the ranking model; None = there is none, and so no variant of it.
    """
    sources, steps = retrieval.sources, reranking.steps
    found = [Variant(ENCODER, None, is_ranked=False), Variant(FULL, sources, reranking)]
    found += _of_ranker(ranker, sources, reranking)
    for name, quota in sources.items():
        if quota > 0:
            left = {other: n for other, n in sources.items() if other != name}
            found.append(Variant(f"without source {name}", left, reranking))
    for name in steps:
        kept = tuple(step for step in steps if step != name)
        fewer = reranking.model_copy(update={"steps": kept})
        found.append(Variant(f"without step {name}", sources, fewer))
    for d in CURVE:
        mmr = RerankingSettings(steps=("mmr",), mmr=MmrSettings(diversity=d))
        dpp = RerankingSettings(steps=("dpp",), dpp=DppSettings(diversity=d))
        found += [Variant(f"mmr {d:g}", sources, mmr), Variant(f"dpp {d:g}", sources, dpp)]
    for cost in PRICES:
        swap = RerankingSettings(steps=("swap",), swap=SwapSettings(cost=cost))
        found.append(Variant(f"swap {cost:g}", sources, swap))
    return found


def _of_ranker(
    ranker: Ranker | None, sources: Mapping[str, int], reranking: RerankingSettings
) -> list[Variant]:
    """The model alone, all of it without the model, and the model without each feature."""
    if ranker is None or ranker.is_identity:
        return []
    used = [name for name, weight in ranker.weights.items() if weight != 0.0]
    return [
        Variant(RANKER, None),
        Variant("without ranker", sources, reranking, is_ranked=False),
        *(Variant(f"without feature {name}", None, without_features=(name,)) for name in used),
    ]


def curve_names() -> dict[str, list[str]]:
    """Step -> the variants of its curve, by rising trade-off."""
    prices = {"mmr": CURVE, "dpp": CURVE, "swap": PRICES}
    return {step: [f"{step} {d:g}" for d in line] for step, line in prices.items()}


def with_histories(
    asked: Asked, events: EventArrays, interest: InterestSettings, data: DataSettings
) -> Asked:
    """Add what steps read of users: their latest acts, and what they were shown of late."""
    user = np.asarray(asked.queries.user, np.int64)
    active = tuple(kind for kind in data.kinds if kind not in data.passive_kinds)
    shown = data.model_copy(update={"passive_kinds": active})
    past = (events, user, asked.queries.history_end, interest)
    more = {_ACTS: recent_before(*past, data), _SHOWN: recent_before(*past, shown)}
    return replace(asked, recent={**asked.recent, **more})


def score_composition(
    stage: Stage, asked: Asked, k: int, variants: Sequence[Variant], n_ranked: int = 500
) -> Result:
    """The slates of every variant.

    Args:
        stage: the past.
        asked: the queries, ``with_histories``.
        k: length of the slates.
        variants: V ways.
        n_ranked: items that the steps choose from.

    Returns:
        ``lists`` (Q, V, k) int32 catalog rows, best first; -1 = an empty place.
    """
    lists = np.full((len(asked), len(variants), k), -1, np.int32)
    options = [_options(variant, k) for variant in variants]
    shelves = [_shelf(stage.shelf, variant) for variant in variants]
    for q, question in enumerate(questions(stage, asked)):
        rankings: dict[Any, Ranked] = {}
        for v, (variant, chosen) in enumerate(zip(variants, options, strict=True)):
            asked_of = None if variant.sources is None else tuple(variant.sources.items())
            way = (asked_of, variant.is_ranked, variant.without_features)
            if way not in rankings:
                of_it = replace(question, shelf=shelves[v])
                rankings[way] = rank(of_it, find(question, chosen), max(k, n_ranked))
            slate = rerank(rankings[way], question, chosen).rows[:k]
            lists[q, v, : len(slate)] = slate
    return {"lists": lists}


def questions(stage: Stage, asked: Asked) -> Iterator[base.Asked]:
    """Each query as it would have been asked at its moment; seen items may not be shown.

    Args:
        stage: the past.
        asked: the queries, ``with_histories``.
    """
    trend = stage.scene.trend()
    for q in range(len(asked)):
        as_of = float(asked.queries.as_of[q])
        trend.advance_to(as_of)
        allowed = stage.scene.candidates(as_of)
        allowed[asked.seen[asked.seen_bounds[q] : asked.seen_bounds[q + 1]]] = False
        evidence, shelf = _evidence(asked, q), stage.shelf
        unwished = not_wished(evidence.told, shelf.items.directions, shelf.coldstart)
        if unwished is not None:
            allowed &= ~unwished
        given = (shelf, evidence, trend.features(), as_of, allowed)
        yield base.Asked(*given, seed=q)


def _options(variant: Variant, k: int) -> SlateOptions:
    return SlateOptions(
        k=k,
        sources=None if variant.sources is None else sources_of(variant.sources),
        steps=steps_of(variant.reranking),
    )


def _shelf(shelf: Shelf, variant: Variant) -> Shelf:
    """The shelf with the ranking model that a variant asks."""
    ranker = shelf.ranker
    if ranker is None or (variant.is_ranked and len(variant.without_features) == 0):
        return shelf
    if not variant.is_ranked:
        return replace(shelf, ranker=None)
    weights = {**ranker.weights, **dict.fromkeys(variant.without_features, 0.0)}
    return replace(shelf, ranker=replace(ranker, weights=weights))


def _evidence(asked: Asked, q: int) -> Evidence:
    item, ts, importance = asked.recent[_ACTS].of(q)
    shown_item, shown_ts, _ = asked.recent[_SHOWN].of(q)
    return Evidence(
        query=asked.u[OURS].of(q),
        recent_item=item,
        recent_ts=ts,
        recent_importance=importance,
        seen=asked.seen[asked.seen_bounds[q] : asked.seen_bounds[q + 1]],
        shown_item=shown_item,
        shown_ts=shown_ts,
        told=Told() if asked.told is None else asked.told[q],
    )
