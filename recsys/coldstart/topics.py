"""What the items of a catalog have names for: its categories and the interests of its graph."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.catalog import Catalog
from recsys.graph.interest_graph import InterestGraph

Rows = npt.NDArray[np.integer[Any]]

_WORD = re.compile(r"[^\W_]+")
_ENDINGS = (("ies", "y"), ("ses", "s"), ("s", ""))
_LEAST_LETTERS = 4


class Topics:
    """Named sets of items.

    Args:
        catalog: N items.
        graph: its interests; None = it has none.
        max_categories: most categories that clauses are compared with, those of most items.
    """

    def __init__(self, catalog: Catalog, graph: InterestGraph | None, max_categories: int) -> None:
        rows: dict[str, list[int]] = {}
        for row, categories in enumerate(catalog.categories):
            for name in dict.fromkeys(categories):
                rows.setdefault(name, []).append(row)
        largest = sorted(rows, key=lambda name: (-len(rows[name]), name))
        interests = _interests(graph)
        self.names: tuple[str, ...] = (*largest, *(name for name, _ in interests))
        """Categories, those of most items first, then interests."""
        self.rows: tuple[Rows, ...] = (
            *(np.array(rows[name], np.int64) for name in largest),
            *(some for _, some in interests),
        )
        """The catalog rows of each."""
        self.n_read = min(len(largest), max_categories)
        """So many of the first are compared with clauses."""

    @property
    def read_names(self) -> tuple[str, ...]:
        """(C,) the names that the encoder reads."""
        return self.names[: self.n_read]

    def named(self, label: str) -> int | None:
        """The topic of exactly this name, whatever the case; None = there is none."""
        return self._places.get(_plain(label))

    def spelled(self, text: str) -> list[int]:
        """The categories whose name is said in a text, word by word and in whichever number."""
        said = set(_stems(text))
        return [c for c, stems in enumerate(self._stems) if len(stems) > 0 and stems <= said]

    @cached_property
    def _places(self) -> dict[str, int]:
        return {_plain(name): c for c, name in reversed(list(enumerate(self.names)))}

    @cached_property
    def _stems(self) -> list[set[str]]:
        return [set(_stems(name)) for name in self.read_names]


def rows_of(topics: Topics, places: Sequence[int]) -> Rows:
    """The distinct catalog rows of some topics, rising."""
    none = np.zeros(0, np.int64)
    return np.unique(np.concatenate([none, *(topics.rows[c] for c in places)]))


def _interests(graph: InterestGraph | None) -> list[tuple[str, Rows]]:
    if graph is None:
        return []
    named = zip(graph.labels, graph.rows_of, strict=True)
    return [(one.label, rows) for one, rows in named if len(one.words) > 0]


def _plain(label: str) -> str:
    return " ".join(label.casefold().split())


def _stems(text: str) -> Iterator[str]:
    """Words in the singular, as far as English endings tell."""
    for word in _WORD.findall(text.casefold()):
        if len(word) > 1 or not word.isascii():
            yield _singular(word)


def _singular(word: str) -> str:
    if len(word) < _LEAST_LETTERS or word.endswith("ss"):
        return word
    for ending, instead in _ENDINGS:
        if word.endswith(ending):
            return word.removesuffix(ending) + instead
    return word
