"""Fakes of the ports, and tiny logs: small, exact, and without model or index."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recsys.bundle import Bundle, BundleDraft, load_bundle, publish_bundle
from recsys.catalog import catalog_from_items
from recsys.datasets import canonical
from recsys.encoder.projection import fit_projection
from recsys.graph.interest_graph import unconnected
from recsys.interest.model import ItemTable
from recsys.ranking import default_weights
from recsys.retrieval import MISSING, build_index
from recsys.schema import DEFAULT_TENANT, EVENTS, ITEMS
from recsys.settings import Settings, load
from recsys.store import Store
from recsys.testing.plain import times

Floats = npt.NDArray[np.float32]


class HashEncoder:
    """An encoder without a model: a text's vector is the sum of one fixed vector per word.

    Texts that share words are near to each other, so that topics stay topics.

    Args:
        n_dims: E.
    """

    def __init__(self, n_dims: int = 32) -> None:
        self._n_dims = n_dims
        self._words: dict[str, Floats] = {}

    @property
    def encoder_id(self) -> str:
        """Equal ids give equal vectors."""
        return f"hash-{self._n_dims}"

    @property
    def n_dims(self) -> int:
        """E."""
        return self._n_dims

    def encode(self, texts: Sequence[str]) -> Floats:
        """(n, E) float32 unit rows."""
        rows = np.zeros((len(texts), self._n_dims), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in sorted(text.lower().split() or [""]):
                rows[row] += self._word(word)
        rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
        return rows

    def _word(self, word: str) -> Floats:
        if word not in self._words:
            digest = hashlib.blake2b(word.encode(), digest_size=8).digest()
            generator = np.random.default_rng(int.from_bytes(digest, "big"))
            self._words[word] = generator.standard_normal(self._n_dims).astype(np.float32)
        return self._words[word]


class BruteRetriever:
    """A retriever that looks at everything; zero rows are never found.

    Args:
        vectors: (N, D) float32.
    """

    def __init__(self, vectors: Floats) -> None:
        self._vectors = vectors
        self._empty = ~np.any(vectors != 0.0, axis=1)

    def search(self, queries: Floats, k: int) -> tuple[npt.NDArray[np.int64], Floats]:
        """See ``recsys.retrieval.Retriever.search``."""
        if k < 1:
            raise ValueError(f"k must be positive, not {k}")
        if queries.ndim != 2 or queries.shape[1] != self._vectors.shape[1]:
            raise ValueError(f"queries must be (B, {self._vectors.shape[1]}), not {queries.shape}")
        scores = np.where(self._empty, -np.inf, queries @ self._vectors.T).astype(np.float32)
        scores = np.pad(scores, ((0, 0), (0, k)), constant_values=-np.inf)
        index = np.argsort(-scores, axis=1, kind="stable")[:, :k].astype(np.int64)
        score = np.take_along_axis(scores, index, axis=1)
        return np.where(np.isneginf(score), MISSING, index), score


class DecayedPairs:
    """Neighbours that are given: an event adds its item's row of a table, decayed.

    Args:
        table: (N, N) what an event of the row's item adds to each item.
        half_life_s: in which it halves.
    """

    def __init__(self, table: Floats, half_life_s: float) -> None:
        self._table = np.ascontiguousarray(table, np.float32)
        self._half_life_s = half_life_s

    def part(
        self,
        item: npt.NDArray[np.integer[Any]],
        ts: npt.NDArray[np.float64],
        as_of: float,
        importance: npt.NDArray[np.floating[Any]],
    ) -> Floats:
        """See ``recsys.interest.beside.NeighbourPart.part``."""
        age_s = np.maximum(0.0, as_of - ts)
        weight = (importance * np.exp2(-age_s / self._half_life_s)).astype(np.float32)
        added: Floats = (weight[:, None] * self._table[item]).sum(axis=0)
        return added


def tiny_log(
    rows: Sequence[tuple[str, str | None, str, float]],
    values: Mapping[int, float] | None = None,
    texts: Mapping[int, str] | None = None,
) -> pa.Table:
    """A canonical events table from ``(user_id, item_id, kind, Unix seconds)``.

    Args:
        rows: in the order of the source; row i has ``seq`` i and event id ``e<i>``.
        values: row -> value (a rating).
        texts: row -> the user's own words.
    """
    user, item, kind, ts = zip(*rows, strict=True) if len(rows) > 0 else ((), (), (), ())
    stamps = times(np.array(ts, dtype=np.float64))
    return canonical(
        EVENTS,
        len(rows),
        event_id=[f"e{row}" for row in range(len(rows))],
        user_id=user,
        item_id=item,
        kind=kind,
        ts=stamps,
        seq=np.arange(len(rows)),
        ingested_at=stamps,
        value=[(values or {}).get(row) for row in range(len(rows))],
        text=[(texts or {}).get(row) for row in range(len(rows))],
    )


def tiny_items(texts: Mapping[str, str | None]) -> pa.Table:
    """A canonical items table from item id -> text; the title is the text's first word."""
    titles = [text.split()[0] if text else None for text in texts.values()]
    return canonical(
        ITEMS,
        len(texts),
        item_id=list(texts),
        title=titles,
        text=list(texts.values()),
        categories=[[title] if title else [] for title in titles],
    )


def tiny_bundle(
    store: Store, items: pa.Table, created_at: float, settings: Settings | None = None
) -> Bundle:
    """Publish a bundle whose vectors come from ``HashEncoder``, and load it.

    Args:
        store: where to.
        items: canonical.
        created_at: now, Unix seconds; no event after it is known.
        settings: default: 8 dimensions, else as everywhere.
    """
    settings = load(assignments=["encoder.n_dims=8"]) if settings is None else settings
    catalog = catalog_from_items(items)
    read = HashEncoder().encode(catalog.item_texts())
    projection = fit_projection(read[catalog.has_text], settings.encoder.n_dims)
    vectors = np.where(catalog.has_text[:, None], projection.project(read), np.float32(0.0))
    draft = BundleDraft(
        catalog=catalog,
        vectors=vectors,
        projection=projection,
        index=build_index(vectors, settings.retrieval),
        weights=default_weights(settings.interest, settings.trend),
        settings=settings,
        data_until=0.0,
        graph=unconnected(
            catalog, ItemTable.all_warm(vectors), settings.graph, data_until=0.0
        ).connected([]),
    )
    publish_bundle(store, DEFAULT_TENANT, draft, created_at)
    return load_bundle(store, DEFAULT_TENANT)
