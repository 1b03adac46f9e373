"""What goes through the rerank steps: items in order, with what their scores are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from recsys.ranking import Floats
from recsys.sources.base import Asked, Rows


@dataclass(frozen=True)
class Ranked:
    """n items, best first."""

    rows: Rows
    """(n,) distinct catalog rows."""
    scores: Floats
    """(n,) each the sum of its parts; falling until a step orders by more than scores."""
    parts: Mapping[str, Floats]
    """Name -> (n,) summands of the scores."""
    found_by: npt.NDArray[np.int64]
    """(n,) bits of the sources, in the order of ``source_names``."""
    source_names: tuple[str, ...]
    log_propensity: npt.NDArray[np.float64] | None = None
    """(n,) where the order was drawn: the log of the probability of each item at its place, given
    those before it."""
    notes: tuple[str, ...] = ()
    """Why items were held back, in words."""
    rules: npt.NDArray[np.object_] | None = None
    """(n,) ids of the business rules that changed each item's score or place, in tuples."""
    probability: Floats | None = None
    """(n,) the chance that each item is chosen next, as ranked; None = nothing says."""

    def __len__(self) -> int:
        return len(self.rows)

    def pick(self, places: npt.NDArray[Any]) -> Ranked:
        """The items at some places, in that order."""
        odds, rules, chance = self.log_propensity, self.rules, self.probability
        return replace(
            self,
            rows=self.rows[places],
            scores=self.scores[places],
            parts={name: values[places] for name, values in self.parts.items()},
            found_by=self.found_by[places],
            log_propensity=None if odds is None else odds[places],
            rules=None if rules is None else rules[places],
            probability=None if chance is None else chance[places],
        )

    def first(self, places: npt.NDArray[np.integer[Any]]) -> Ranked:
        """All items: those at some distinct places, in that order, and then the others."""
        rest = np.ones(len(self), np.bool_)
        rest[places] = False
        return self.pick(np.concatenate([places, np.flatnonzero(rest)]))

    def chosen(self, places: npt.NDArray[np.integer[Any]]) -> Ranked:
        """All items: those at some distinct places, and then the others, both in their old order.

        What a set is worth for its variety does not depend on its order, so of a chosen set the
        best ranked stand first: that costs least of being right.
        """
        return self.first(np.sort(places))

    def with_part(self, name: str, values: Floats) -> Ranked:
        """A further summand (n,) of the scores, and the order that they then have."""
        more = np.asarray(values, np.float32)
        scores: Floats = self.scores + more
        changed = replace(self, scores=scores, parts={**self.parts, name: more})
        return changed.pick(np.argsort(-scores, kind="stable"))


class Step(Protocol):
    """Makes an order into a better slate."""

    @property
    def name(self) -> str:
        """As in ``reranking.steps``, and its file."""
        ...

    def apply(self, ranked: Ranked, asked: Asked, k: int, /) -> Ranked:
        """Order anew.

        Args:
            ranked: n items.
            asked: the question that they answer.
            k: how many will be shown; positive.

        Returns:
            Some or all of these items, in an order of which the first k will be shown.
        """
        ...


def place_scores(ranked: Ranked) -> npt.NDArray[np.float64]:
    """(n,) the scores as of the places: the best one at the first, whichever item stands there.

    So a step takes the order of those before it for what it is, not for what they scored.
    """
    found: npt.NDArray[np.float64] = -np.sort(-ranked.scores.astype(np.float64))
    return found


def relevance(ranked: Ranked) -> npt.NDArray[np.float64]:
    """(n,) ``place_scores`` between 1, the best, and 0, the last; where all are equal all are 1."""
    if len(ranked) == 0:
        return np.zeros(0)
    exact = place_scores(ranked)
    spread = float(exact[0] - exact[-1])
    found: npt.NDArray[np.float64] = (exact - exact[-1]) / spread if spread > 0 else exact * 0 + 1
    return found


def directions(ranked: Ranked, asked: Asked) -> Floats:
    """(n, D) item vectors at length 1; an item of which nothing is known keeps zeros."""
    vectors = asked.shelf.items.vectors[ranked.rows]
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    found: Floats = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
    return found
