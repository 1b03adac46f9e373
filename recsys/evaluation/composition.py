"""The whole composition on past queries: sources, ranking and rerank steps, in many variants.

Each query goes the way that a request goes, candidate sources included, whatever the size of the
catalog; a variant changes the sources that are asked, or the steps, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from recsys.evaluation.protocol import OURS, Result
from recsys.evaluation.scene import Asked, Scene
from recsys.evaluation.touched import recent_before
from recsys.events import EventArrays
from recsys.reranking.base import Ranked
from recsys.reranking.options import DppSettings, MmrSettings, RerankingSettings
from recsys.reranking.registry import steps_of
from recsys.settings import DataSettings, InterestSettings, RetrievalSettings
from recsys.shelf import Evidence, Shelf
from recsys.slate import SlateOptions, find, rank, rerank
from recsys.sources import base
from recsys.sources.gather import sources_of

ENCODER = "encoder"
"""The ranking of the whole catalog, as it is without sources and steps."""
FULL = "full"
CURVE = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9)
"""Trade-offs at which the curves of accuracy against diversity are drawn."""

_ACTS, _SHOWN = "acts", "shown"


@dataclass(frozen=True)
class Variant:
    """One way to make slates."""

    name: str
    sources: Mapping[str, int] | None
    """Quotas; None = the whole catalog."""
    reranking: RerankingSettings = field(default_factory=RerankingSettings)


class Stage(NamedTuple):
    """What all queries of an evaluation are asked on."""

    scene: Scene
    shelf: Shelf
    """Of the items of the scene, with the same model."""


def variants_of(retrieval: RetrievalSettings, reranking: RerankingSettings) -> list[Variant]:
    """The encoder alone, all of it, all but one source or step each, and the two curves.

    Args:
        retrieval: its sources.
        reranking: its steps.
    """
    sources, steps = retrieval.sources, reranking.steps
    found = [Variant(ENCODER, None), Variant(FULL, sources, reranking)]
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
    return found


def curve_names() -> dict[str, list[str]]:
    """Step -> the variants of its curve, by rising trade-off."""
    return {step: [f"{step} {d:g}" for d in CURVE] for step in ("mmr", "dpp")}


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
    for q, question in enumerate(questions(stage, asked)):
        rankings: dict[tuple[tuple[str, int], ...] | None, Ranked] = {}
        for v, (variant, chosen) in enumerate(zip(variants, options, strict=True)):
            asked_of = None if variant.sources is None else tuple(variant.sources.items())
            if asked_of not in rankings:
                n = max(k, n_ranked)
                rankings[asked_of] = rank(question, find(question, chosen), n)
            slate = rerank(rankings[asked_of], question, chosen).rows[:k]
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
        given = (stage.shelf, _evidence(asked, q), trend.features(), as_of, allowed)
        yield base.Asked(*given, seed=q)


def _options(variant: Variant, k: int) -> SlateOptions:
    return SlateOptions(
        k=k,
        sources=None if variant.sources is None else sources_of(variant.sources),
        steps=steps_of(variant.reranking),
    )


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
    )
