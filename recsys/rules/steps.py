"""Rules among the rerank steps: scores are changed before them, places are given after them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from recsys.reranking.base import Ranked, Step
from recsys.rules.applying import adjust, place
from recsys.rules.compiled import BoundRules
from recsys.sources.base import Asked

RULES = "rules"
"""What boosts add to scores, and the source of items that are pinned."""


class Adjusting:
    """Takes out what is filtered, boosts and buries.

    Args:
        rules: that count for the request.
    """

    name = RULES

    def __init__(self, rules: BoundRules) -> None:
        self._rules = rules

    def apply(self, ranked: Ranked, asked: Asked, k: int) -> Ranked:  # noqa: ARG002
        """``Step.apply``."""
        found = adjust(self._rules, ranked.rows, ranked.scores)
        left = ranked.pick(found.places)
        return replace(
            left,
            scores=left.scores + found.added,
            parts={**left.parts, RULES: found.added},
            notes=(*left.notes, *found.notes),
        )


class Placing:
    """Pins, keeps to quotas, and lets what is buried stand last.

    Args:
        rules: that count for the request.
    """

    name = RULES

    def __init__(self, rules: BoundRules) -> None:
        self._rules = rules

    def apply(self, ranked: Ranked, asked: Asked, k: int) -> Ranked:  # noqa: ARG002
        """``Step.apply``; of an order that was drawn, a pinned item was sure to stand there."""
        found = place(self._rules, ranked.rows, k)
        shown = ranked.pick(found.places)
        odds = shown.log_propensity
        return replace(
            shown,
            log_propensity=None if odds is None else np.where(found.pinned > 0, 0.0, odds),
            rules=_objects(found.rules),
            notes=(*shown.notes, *found.notes) if len(ranked) > 0 else shown.notes,
        )


def with_rules(steps: Sequence[Step], rules: BoundRules | None) -> Sequence[Step]:
    """The steps, with rules around them where there are some."""
    return steps if rules is None else [Adjusting(rules), *steps, Placing(rules)]


def _objects(values: Sequence[tuple[str, ...]]) -> np.ndarray[tuple[int], np.dtype[np.object_]]:
    found = np.empty(len(values), np.object_)
    found[:] = values
    return found
