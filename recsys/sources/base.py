"""What is asked of sources and of rerank steps: one user's slate at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from recsys.coldstart.told import ItemFacts, told_parts
from recsys.freshness import fresh_part
from recsys.ranking import Floats, trend_part
from recsys.retrieval import Retriever
from recsys.shelf import Evidence, Shelf, neighbour_part, part_of

Bools = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Asked:
    """One question; what several sources need is worked out once."""

    shelf: Shelf
    evidence: Evidence
    trend_features: Floats
    """(N, Ht) log(1 + decayed popularity) at ``as_of``, of the whole catalog."""
    as_of: float
    """Unix seconds."""
    allowed: Bools
    """(N,) items that may be shown."""
    retriever: Retriever | None = None
    """Finds items near to a vector; None = every vector is looked at."""
    diversity: float | None = None
    """In [0, 1], what this request wants of it; None = what the settings say."""
    seed: int = 0
    """Of every draw for this request; at least 0."""

    @cached_property
    def trend(self) -> Floats:
        """(N,) the trend part of every item."""
        return trend_part(self.evidence.query, self.shelf.items.warm, self.trend_features)

    @cached_property
    def fresh(self) -> Floats | None:
        """(N,) what each item's youth is to this user; None where age does not matter."""
        born, lives = self.shelf.catalog.available_from, self.shelf.trend.half_lives_s
        return fresh_part(self.evidence.query, born, self.as_of, lives)

    @cached_property
    def neighbours(self) -> Floats | None:
        """(N,) what the neighbours of recent events add to each item; None without neighbours."""
        return neighbour_part(self.shelf, self.evidence, self.as_of)

    @cached_property
    def told(self) -> dict[str, Floats]:
        """Name of a part -> (N,) what is known of the user beside the events adds to each item."""
        shelf, evidence = self.shelf, self.evidence
        catalog = shelf.catalog
        facts = (shelf.items.directions, catalog.available_from, catalog.has_text)
        items = ItemFacts(*facts, self.trend_features, self.as_of)
        given = (shelf.segments, len(evidence.seen), shelf.coldstart, self.fresh is None)
        return told_parts(evidence.told, items, *given)

    @cached_property
    def near(self) -> Floats | None:
        """(N,) nearness of each item by the ranking model's neighbours, else ``neighbours``."""
        ranker = self.shelf.ranker
        if ranker is None or ranker.neighbours is None:
            return self.neighbours
        return part_of(ranker.neighbours, self.evidence, self.as_of)


class Source(Protocol):
    """Finds candidates."""

    @property
    def name(self) -> str:
        """As in ``retrieval.sources``, and its file."""
        ...

    def find(self, asked: Asked, wanted: int) -> Rows:
        """Items for one question.

        Args:
            asked: the question.
            wanted: about how many; positive.

        Returns:
            (n,) distinct catalog rows, best first; what may not be shown is dropped by the caller.
        """
        ...
