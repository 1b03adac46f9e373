"""Retrieval: the items whose vectors are nearest to a query, exactly or by an HNSW graph.

Scores are inner products: item vectors are unit vectors, queries carry their confidence as length.
Items without a vector (zero rows) are not in the index and never found. Items with equal vectors
(a shop sells many a product under one text) are one entry of the index, expanded after the search:
copies would fill each other's links in an HNSW graph and cut it into islands.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import faiss
import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from recsys.errors import DataError
from recsys.settings import RetrievalSettings

MISSING = -1


@runtime_checkable
class Retriever(Protocol):
    """Finds candidates for queries."""

    def search(
        self, queries: npt.NDArray[np.float32], k: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """The nearest items.

        Args:
            queries: (B, D) float32.
            k: how many items per query; positive.

        Returns:
            ``(index (B, k) int64, score (B, k) float32)``, best first; where fewer than ``k`` items
            exist the rest is ``MISSING`` with score -inf.
        """
        ...


class FaissRetriever:
    """A ``Retriever`` over a faiss index of distinct vectors; pickles by its serialised bytes.

    Args:
        index: a faiss index of M distinct vectors, in the order of ``bounds``.
        rows: catalog rows that have a vector, those of one vector side by side.
        bounds: (M + 1,) offsets of each vector's rows.
    """

    def __init__(
        self, index: Any, rows: npt.NDArray[np.int64], bounds: npt.NDArray[np.int64]
    ) -> None:
        self._index = index
        self._rows = rows
        self._bounds = bounds

    def __len__(self) -> int:
        return len(self._rows)

    def __reduce__(self) -> tuple[Any, tuple[bytes]]:
        return (index_from_bytes, (self.to_bytes(),))

    def search(
        self, queries: npt.NDArray[np.float32], k: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """See ``Retriever.search``.

        Raises:
            ValueError: if ``k`` is not positive or the queries have other dimensions.
        """
        if k < 1:
            raise ValueError(f"k must be positive, not {k}")
        if queries.ndim != 2 or queries.shape[1] != self._index.d:
            raise ValueError(f"queries must be (B, {self._index.d}), not {queries.shape}")
        n_distinct = max(1, min(k, int(self._index.ntotal)))
        near_score, near = self._index.search(np.ascontiguousarray(queries, np.float32), n_distinct)
        index = np.full((len(queries), k), MISSING, dtype=np.int64)
        score = np.full((len(queries), k), -np.inf, dtype=np.float32)
        for b in range(len(queries)):
            place, rows = self._expanded(near[b])
            n = min(k, len(rows))
            index[b, :n] = rows[:n]
            score[b, :n] = near_score[b][place[:n]]
        return index, score

    def to_bytes(self) -> bytes:
        """The index as a safetensors file that ``index_from_bytes`` reads."""
        tensors = {
            "faiss": faiss.serialize_index(self._index),
            "rows": self._rows,
            "bounds": self._bounds,
        }
        return bytes(save(tensors))

    def _expanded(
        self, near: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Catalog rows of the vectors found, and the position in ``near`` that each comes from."""
        found = near[near != MISSING]
        sizes = self._bounds[found + 1] - self._bounds[found]
        place = np.repeat(np.arange(len(found)), sizes)
        within = np.arange(len(place)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        return place, self._rows[self._bounds[found][place] + within]


def build_index(vectors: npt.NDArray[np.float32], settings: RetrievalSettings) -> FaissRetriever:
    """Index the items that have a vector; the same vectors always give the same index.

    Args:
        vectors: (N, D) float32 unit rows; zero rows are left out.
        settings: exact search below ``exact_below`` distinct vectors, HNSW from there on.
    """
    said = np.flatnonzero(np.any(vectors != 0.0, axis=1)).astype(np.int64)
    distinct, group = np.unique(vectors[said], axis=0, return_inverse=True)
    group = group.reshape(-1)
    bounds = np.concatenate([[0], np.cumsum(np.bincount(group, minlength=len(distinct)))])
    index = _empty_index(len(distinct), int(vectors.shape[1]), settings)
    if len(distinct) > 0:
        with _one_thread():  # several would link the graph in the order in which they happen to run
            index.add(np.ascontiguousarray(distinct, np.float32))
    rows = said[np.argsort(group, kind="stable")]
    return FaissRetriever(index, rows, bounds.astype(np.int64))


def index_from_bytes(data: bytes) -> FaissRetriever:
    """The index that ``FaissRetriever.to_bytes`` wrote.

    Raises:
        DataError: if the bytes are no index.
    """
    try:
        tensors = load(data)
        index = faiss.deserialize_index(tensors["faiss"])
        return FaissRetriever(index, tensors["rows"], tensors["bounds"])
    except (SafetensorError, KeyError, RuntimeError, AssertionError) as error:
        raise DataError("index", f"cannot be read ({error})", "Publish the bundle again") from error


def _empty_index(n: int, n_dims: int, settings: RetrievalSettings) -> Any:
    if n < settings.exact_below:
        return faiss.IndexFlatIP(n_dims)
    index: Any = faiss.IndexHNSWFlat(n_dims, settings.hnsw_links, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = settings.hnsw_ef_construction
    index.hnsw.efSearch = settings.hnsw_ef_search
    return index


@contextmanager
def _one_thread() -> Iterator[None]:
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
