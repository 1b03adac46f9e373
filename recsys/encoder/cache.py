"""The vector cache: what an encoder made of a text, kept in the store by the text's hash.

    vectors/<encoder_id>/<content hash>.parquet     columns text_hash, vector

Jobs only ever add files, so several may write at once and a stopped job loses no more than its
last file; an erasure alone writes a file anew, and a lookup that misses the old one starts again.
Vectors are stored in half precision (a unit vector keeps cosines to about 1e-3); they are always
used as they come out of here, so a repeated job sees the same numbers. A lookup reads all files of
the encoder: made for catalogs of up to some million texts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recsys.errors import NotFoundError, StoreError
from recsys.store import Store

HASH_CHARS = 32
_ATTEMPTS = 5


def text_hash(text: str) -> str:
    """The name of a text: the first 32 hexadecimal characters of its SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:HASH_CHARS]


class VectorCache:
    """Text vectors of one encoder.

    Args:
        store: where they are kept.
        encoder_id: whose they are.
    """

    def __init__(self, store: Store, encoder_id: str) -> None:
        self._store = store
        self._prefix = f"vectors/{encoder_id}"

    def put(self, hashes: Sequence[str], vectors: npt.NDArray[np.float32]) -> None:
        """Add vectors.

        Args:
            hashes: ``text_hash`` of n texts.
            vectors: (n, E) float32 unit rows.
        """
        if len(hashes) == 0:
            return
        halves = np.ascontiguousarray(vectors, dtype=np.float16)
        rows = pa.FixedSizeListArray.from_arrays(pa.array(halves.reshape(-1)), halves.shape[1])
        self._store.write_table(
            self._prefix, pa.table({"text_hash": pa.array(hashes, pa.string()), "vector": rows})
        )

    def hashes(self) -> set[str]:
        """Hashes of all texts that are there."""
        found: set[str] = set()
        for table in self._tables(lambda table: table, ["text_hash"]):
            found.update(table["text_hash"].to_pylist())
        return found

    def get(self, wanted: Collection[str]) -> tuple[list[str], npt.NDArray[np.float32]]:
        """The vectors of those texts that are there.

        Args:
            wanted: hashes.

        Returns:
            ``(hashes, vectors (n, E) float32 unit rows)``, each hash once, sorted; (0, 0) if none.
        """
        names = pa.array(sorted(set(wanted)), pa.string())
        tables = self._tables(
            lambda table: table.filter(pa.compute.is_in(table["text_hash"], value_set=names))
        )
        if sum(len(table) for table in tables) == 0:
            return [], np.zeros((0, 0), dtype=np.float32)
        return _stacked(pa.concat_tables(tables))

    def remove(self, unwanted: Collection[str]) -> tuple[int, int]:
        """Remove the vectors of some texts; files that hold any are written anew without them.

        Args:
            unwanted: hashes.

        Returns:
            Number of files, and of vectors.
        """
        n_files, n_rows = 0, 0
        names = pa.array(sorted(unwanted), pa.string())
        for path in self._paths():
            table = self._store.read_table(path)
            is_out = pa.compute.is_in(table["text_hash"], value_set=names)
            rest = table.filter(pa.compute.invert(is_out))
            if len(rest) == len(table):
                continue
            if len(rest) > 0:
                self._store.write_table(self._prefix, rest)
            self._store.delete(path)
            n_files, n_rows = n_files + 1, n_rows + len(table) - len(rest)
        return n_files, n_rows

    def _tables(
        self, select: Callable[[pa.Table], pa.Table], columns: list[str] | None = None
    ) -> list[pa.Table]:
        """What is selected of each file; one whole file is held at a time."""
        for attempt in range(_ATTEMPTS):
            try:
                paths = self._paths()
                return [select(self._store.read_table(path, columns)) for path in paths]
            except NotFoundError:  # an erasure wrote it anew
                if attempt == _ATTEMPTS - 1:
                    raise
        raise AssertionError

    def _paths(self) -> list[str]:
        return [p for p in self._store.paths(self._prefix) if p.endswith(".parquet")]


def _stacked(table: pa.Table) -> tuple[list[str], npt.NDArray[np.float32]]:
    names, first = np.unique(np.array(table["text_hash"].to_pylist()), return_index=True)
    column = table["vector"].combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = pa.concat_arrays(column.chunks)
    flat = column.flatten().to_numpy(zero_copy_only=False)
    if len(flat) % len(table) != 0:
        raise StoreError("vector cache", "holds vectors of different widths")
    vectors = flat.reshape(len(table), -1)[first].astype(np.float32)
    return [str(name) for name in names], vectors
