"""The users' own words: which texts a record holds, and what those are to a model that are known.

    events --texts_of--> distinct texts --encoder--> vectors --model--> Words --fold--> profiles

A text is a key here and nowhere in the fold: events refer to it by its row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recsys.encoder.cache import VectorCache, text_hash
from recsys.events import says
from recsys.interest.model import InterestModel, TextTable
from recsys.settings import InterestSettings

_ROOM = 4  # a census holds this many times what is wanted


@dataclass(frozen=True)
class Words:
    """Distinct texts whose vectors are known, as a model reads them."""

    index: Mapping[str, int]
    """Text -> row."""
    table: TextTable

    @classmethod
    def of(
        cls, model: InterestModel, texts: Sequence[str], vectors: npt.NDArray[np.float32]
    ) -> Words:
        """Texts (M,), distinct, and their vectors (M, E), for a model that reads text."""
        index = {text: row for row, text in enumerate(texts)}
        return cls(index, model.text_table(vectors))

    @classmethod
    def none(cls, model: InterestModel) -> Words:
        """No text is known yet, for a model that reads text."""
        return cls.of(model, (), np.zeros((0, 0), np.float32))


def weighs(kind: str, interest: InterestSettings) -> bool:
    """Whether events of a kind can be evidence."""
    tables = (interest.importance, interest.negative_importance)
    return any(table.get(kind, 0.0) > 0.0 for table in tables)


def text_counts(record: pa.Table, interest: InterestSettings) -> dict[str, int]:
    """How often each text is said in events that can be evidence.

    Args:
        record: columns ``kind`` and ``text`` at least.
        interest: which kinds weigh.

    Returns:
        Distinct text -> number of events, the first one said first; no blanks.
    """
    if record["text"].null_count == len(record):
        return {}
    names = {*interest.importance, *interest.negative_importance}
    kinds = pa.array(sorted(name for name in names if weighs(name, interest)), pa.string())
    said = record["text"].filter(pc.is_in(record["kind"], value_set=kinds))
    counts = pc.value_counts(said.drop_null()).to_pylist()
    return {row["values"]: row["counts"] for row in counts if says(row["values"])}


class TextCensus:
    """The most frequent texts of many records, in bounded memory.

    Where there are more distinct texts than fit, rare ones are forgotten on the way, so that the
    counts at the edge are estimates.

    Args:
        limit: most texts that are wanted.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._counts: Counter[str] = Counter()

    def add(self, counts: Mapping[str, int]) -> None:
        """Count more."""
        self._counts.update(counts)
        if len(self._counts) > _ROOM * self._limit:
            self._counts = Counter(dict(_most(self._counts, _ROOM // 2 * self._limit)))

    @property
    def counts(self) -> dict[str, int]:
        """What is held: distinct text -> number of events."""
        return dict(self._counts)

    def texts(self) -> tuple[str, ...]:
        """At most ``limit`` texts, sorted."""
        return tuple(sorted(text for text, _ in _most(self._counts, self._limit)))


def _most(counts: Mapping[str, int], n: int) -> list[tuple[str, int]]:
    """The n most frequent; of equals the first by their letters, so that any order gives them."""
    return sorted(counts.items(), key=lambda found: (-found[1], found[0]))[:n]


def texts_of(record: pa.Table, interest: InterestSettings) -> list[str]:
    """The distinct texts of ``text_counts``, sorted."""
    return sorted(text_counts(record, interest))


def cached_words(cache: VectorCache, model: InterestModel, texts: Sequence[str]) -> Words:
    """Those of some texts that were read before, as a model reads them."""
    name_of = {text_hash(text): text for text in texts}
    names, vectors = cache.get(name_of)
    return Words.of(model, [name_of[name] for name in names], vectors)
