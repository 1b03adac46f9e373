"""How many items each source should bring: the quotas that find most right answers in a budget.

An answer is found where it stands within the quota of any source. Quotas grow from nothing, each
time by what finds most further answers for an item more; steps double, so that a source which has
its answers deep is not given up for having none at its top.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.evaluation.composition import Stage, questions
from recsys.evaluation.scene import Asked
from recsys.sources.gather import source

Ints = npt.NDArray[np.integer[Any]]

STEP = 10
"""Fewest items by which a quota grows."""


def answer_places(stage: Stage, asked: Asked, names: Sequence[str], wanted: int) -> Ints:
    """Where each right answer stands in what each source finds.

    Args:
        stage: the past.
        asked: the queries, ``with_histories``.
        names: S sources.
        wanted: how deep is looked.

    Returns:
        (M, S) places from 0; ``wanted`` = not found.
    """
    target, bounds = asked.queries.target, asked.queries.target_bounds
    places = np.full((len(target), len(names)), wanted, np.int64)
    sources = [source(name) for name in names]
    for q, question in enumerate(questions(stage, asked)):
        where = slice(int(bounds[q]), int(bounds[q + 1]))
        for s, one in enumerate(sources):
            rows = one.find(question, wanted)
            rows = rows[question.allowed[rows]][:wanted]
            place_of = np.full(stage.scene.n_items, wanted)
            place_of[rows] = np.arange(len(rows))
            places[where, s] = place_of[target[where]]
    return places


def found_share(places: Ints, quotas: Ints) -> float:
    """Share of the answers (M, S) that stand within the quota (S,) of any source."""
    return float((places < quotas).any(axis=1).mean()) if len(places) else 0.0


def fit_quotas(places: Ints, budget: int, deepest: int) -> Ints:
    """Quotas whose sum is at most a budget.

    Args:
        places: (M, S) places of right answers from 0.
        budget: most candidates of a query, those found twice counted twice.
        deepest: largest quota, and the place that says an answer was not found.

    Returns:
        (S,) quotas; what finds no further answer is left unspent.
    """
    quotas = np.zeros(places.shape[1], np.int64)
    is_left = np.ones(len(places), np.bool_)
    while True:
        best, rate = None, 0.0
        for s in range(len(quotas)):
            step = STEP
            while step <= min(budget - quotas.sum(), deepest - quotas[s]):
                gain = int((is_left & (places[:, s] < quotas[s] + step)).sum()) / step
                if gain > rate:
                    best, rate = (s, step), gain
                step *= 2
        if best is None:
            return quotas
        quotas[best[0]] += best[1]
        is_left &= places[:, best[0]] >= quotas[best[0]]
