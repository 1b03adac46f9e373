"""Events as NumPy columns: the form that folds, trends and evaluation work on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recsys.schema import TIMESTAMP

UNKNOWN_ITEM = -1


@dataclass(frozen=True)
class EventArrays:
    """T events, sorted by (user, ts, seq). ``bounds[u]:bounds[u + 1]`` are the events of user u."""

    user_ids: list[str]
    """The U users, in order."""
    bounds: npt.NDArray[np.int64]
    """(U + 1,) offsets of each user's events."""
    user: npt.NDArray[np.int32]
    """(T,) index into ``user_ids``."""
    item: npt.NDArray[np.int32]
    """(T,) index into the catalog, ``UNKNOWN_ITEM`` where the catalog lacks the item."""
    kind: npt.NDArray[np.object_]
    """(T,) kind as string."""
    ts: npt.NDArray[np.float64]
    """(T,) Unix seconds."""
    value: npt.NDArray[np.float64]
    """(T,) rating or dwell; NaN where there is none."""

    def __len__(self) -> int:
        return len(self.ts)


def timestamps_s(column: pa.ChunkedArray | pa.Array) -> npt.NDArray[np.float64]:
    """A timestamp column as (T,) Unix seconds; null becomes NaN."""
    whole = pc.cast(pc.cast(column, TIMESTAMP), pa.int64()).to_numpy(zero_copy_only=False)
    return np.asarray(whole, dtype=np.float64) / 1e6


def event_arrays(table: pa.Table, item_index: Mapping[str, int]) -> EventArrays:
    """Sort a canonical events table (one tenant) and turn its ids into indices.

    Args:
        table: columns of ``recsys.schema.EVENTS``; at least user_id, item_id, kind, ts, seq, value.
        item_index: item id -> position in the catalog.
    """
    table = table.select(["user_id", "item_id", "kind", "ts", "seq", "value"]).sort_by(
        [("user_id", "ascending"), ("ts", "ascending"), ("seq", "ascending")]
    )
    user_ids, user = _indexed(table["user_id"])
    items, local = _indexed(table["item_id"])
    lookup = np.array([item_index.get(i, UNKNOWN_ITEM) for i in items] + [UNKNOWN_ITEM], np.int32)
    kinds, kind = _indexed(table["kind"])
    value = pc.fill_null(table["value"], float("nan")).to_numpy()
    return EventArrays(
        user_ids=user_ids,
        bounds=np.searchsorted(user, np.arange(len(user_ids) + 1)).astype(np.int64),
        user=user,
        item=lookup[local],
        kind=np.array([*kinds, None], dtype=object)[kind],
        ts=timestamps_s(table["ts"]),
        value=np.asarray(value, dtype=np.float64),
    )


def _indexed(column: pa.ChunkedArray) -> tuple[list[str], npt.NDArray[np.int32]]:
    """Distinct values in order of first appearance, and (T,) indices into them (-1 = null)."""
    encoded = column.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    indices = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)
    return encoded.dictionary.to_pylist(), np.asarray(indices, dtype=np.int32)
