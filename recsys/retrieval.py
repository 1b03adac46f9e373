"""Retrieval: the items whose vectors are nearest to a query, exactly or by an HNSW graph.

Scores are inner products: item vectors are unit vectors, queries carry their confidence as length.
Items without a vector (zero rows) are not in the index and are never found.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import faiss
import numpy as np
import numpy.typing as npt

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
    """A ``Retriever`` over a faiss index; pickles by its serialised bytes.

    Args:
        index: a faiss index whose ids are rows of the catalog.
    """

    def __init__(self, index: Any) -> None:
        self._index = index

    def __len__(self) -> int:
        return int(self._index.ntotal)

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
        score, index = self._index.search(np.ascontiguousarray(queries, np.float32), k)
        return index, np.where(index == MISSING, np.float32(-np.inf), score)

    def to_bytes(self) -> bytes:
        """The index as bytes that ``index_from_bytes`` reads."""
        return bytes(faiss.serialize_index(self._index).tobytes())


def build_index(vectors: npt.NDArray[np.float32], settings: RetrievalSettings) -> FaissRetriever:
    """Index the items that have a vector.

    Args:
        vectors: (N, D) float32 unit rows; zero rows are left out.
        settings: exact search below ``exact_below`` items, HNSW from there on.
    """
    rows = np.flatnonzero(np.any(vectors != 0.0, axis=1)).astype(np.int64)
    n_dims = int(vectors.shape[1])
    inner: Any
    if len(rows) < settings.exact_below:
        inner = faiss.IndexFlatIP(n_dims)
    else:
        inner = faiss.IndexHNSWFlat(n_dims, settings.hnsw_links, faiss.METRIC_INNER_PRODUCT)
        inner.hnsw.efConstruction = settings.hnsw_ef_construction
        inner.hnsw.efSearch = settings.hnsw_ef_search
    index = faiss.IndexIDMap2(inner)
    if len(rows) > 0:
        index.add_with_ids(np.ascontiguousarray(vectors[rows], np.float32), rows)
    return FaissRetriever(index)


def index_from_bytes(data: bytes) -> FaissRetriever:
    """The index that ``FaissRetriever.to_bytes`` wrote.

    Raises:
        DataError: if the bytes are no faiss index.
    """
    try:
        return FaissRetriever(faiss.deserialize_index(np.frombuffer(data, dtype=np.uint8)))
    except (RuntimeError, AssertionError) as error:
        raise DataError("index", f"cannot be read ({error})", "Publish the bundle again") from error
