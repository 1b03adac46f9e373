"""Slates of many moments as they are served: ranking model, business rules and rerank steps."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from recsys.coldstart.told import Told
from recsys.evaluation.composition import Stage, questions
from recsys.evaluation.protocol import Result
from recsys.evaluation.scene import Asked
from recsys.reranking.options import RerankingSettings
from recsys.reranking.registry import steps_of
from recsys.rules.bitmaps import Effort
from recsys.rules.compiled import compile_rules
from recsys.rules.items import ItemFacts
from recsys.rules.request import RequestFacts
from recsys.rules.schema import RuleSet
from recsys.slate import SlateOptions, narrowed, rank, rerank
from recsys.sources import base
from recsys.sources.gather import whole_catalog


@dataclass(frozen=True)
class Way:
    """How slates are made."""

    k: int
    """Most items of a slate."""
    n_ranked: int
    """Items, the best by the encoder's score, that the ranking model and the steps choose from."""
    reranking: RerankingSettings = field(default_factory=RerankingSettings)
    rules: RuleSet = field(default_factory=RuleSet)
    """They know the user's attributes; there is no context but the moment."""


def recommend_composed(stage: Stage, asked: Asked, way: Way) -> Result:
    """The slates of queries, without items that the users have touched.

    Args:
        stage: the past; its shelf has the ranking model, if any.
        asked: the queries, by time, ``with_histories``.
        way: how.

    Returns:
        As of ``protocol.recommend``.

    Raises:
        RuleError: if the rules do not fit the catalog.
    """
    rows = np.full((len(asked), way.k), -1, np.int32)
    scores = np.zeros((len(asked), way.k), np.float32)
    steps = tuple(steps_of(way.reranking))
    untimed = Effort(lambda: 0.0)
    compiled = compile_rules(way.rules, ItemFacts(stage.shelf.catalog), untimed)
    for q, question in enumerate(questions(stage, asked)):
        bound = compiled.bind(_facts(question))
        options = SlateOptions(k=way.k, steps=steps, rules=bound)
        narrow = narrowed(question, bound)
        whole = whole_catalog(len(question.allowed))
        ranked = rank(narrow, whole, max(way.k, way.n_ranked), bound)
        best = rerank(ranked, narrow, options)
        n = min(way.k, len(best))
        rows[q, :n], scores[q, :n] = best.rows[:n], best.scores[:n]
    return {"rows": rows, "scores": scores}


def _facts(question: base.Asked) -> RequestFacts:
    told: Told = question.evidence.told
    is_known = len(question.evidence.recent_item) > 0
    return RequestFacts(question.as_of, is_known, dict(told.attributes or {}))
