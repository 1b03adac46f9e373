"""Events as NumPy columns: the form that folds, trends and evaluation work on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recsys.schema import TIMESTAMP
from recsys.wishes.wish import WISH

UNKNOWN_ITEM = -1
NO_TEXT = -1
UNKNOWN_TEXT = -2
"""There are words, but what is needed to read them is not there: their vector, or the item."""


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
    text: npt.NDArray[np.int32] | None = None
    """(T,) row of the user's own words in a table of distinct texts, ``NO_TEXT`` or
    ``UNKNOWN_TEXT``; None = no event says anything, or nobody reads it."""

    def __len__(self) -> int:
        return len(self.ts)

    def kept(self, rows: npt.NDArray[np.int64]) -> EventArrays:
        """Some events, in their order; users without any keep their place."""
        user = self.user[rows]
        return EventArrays(
            user_ids=self.user_ids,
            bounds=np.searchsorted(user, np.arange(len(self.user_ids) + 1)).astype(np.int64),
            user=user,
            item=self.item[rows],
            kind=self.kind[rows],
            ts=self.ts[rows],
            value=self.value[rows],
            text=None if self.text is None else self.text[rows],
        )


def timestamps_s(column: pa.ChunkedArray | pa.Array) -> npt.NDArray[np.float64]:
    """A timestamp column as (T,) Unix seconds; null becomes NaN."""
    whole = pc.cast(pc.cast(column, TIMESTAMP), pa.int64()).to_numpy(zero_copy_only=False)
    return np.asarray(whole, dtype=np.float64) / 1e6


def event_arrays(
    table: pa.Table, item_index: Mapping[str, int], text_index: Mapping[str, int] | None = None
) -> EventArrays:
    """Sort a canonical events table (one tenant) and turn its ids into indices.

    Wishes (``recsys.wishes``) are left out.

    Args:
        table: columns of ``recsys.schema.EVENTS``; at least user_id, item_id, kind, ts, seq, value,
            and text where it is read.
        item_index: item id -> position in the catalog.
        text_index: text -> row of a table of distinct texts; None = texts are not read.
    """
    if pc.any(pc.equal(table["kind"], WISH)).as_py():  # what is wished is no behaviour
        table = table.filter(pc.not_equal(table["kind"], WISH))
    names = ["user_id", "item_id", "kind", "ts", "seq", "value"]
    table = table.select(names if text_index is None else [*names, "text"]).sort_by(
        [("user_id", "ascending"), ("ts", "ascending"), ("seq", "ascending")]
    )
    user_ids, user = _indexed(table["user_id"])
    items, local = _indexed(table["item_id"])
    lookup = np.array([item_index.get(i, UNKNOWN_ITEM) for i in items] + [UNKNOWN_ITEM], np.int32)
    kinds, kind = _indexed(table["kind"])
    value = pc.fill_null(table["value"], float("nan")).to_numpy()
    item = lookup[local]
    lacks_item = (local >= 0) & (item == UNKNOWN_ITEM)
    return EventArrays(
        user_ids=user_ids,
        bounds=np.searchsorted(user, np.arange(len(user_ids) + 1)).astype(np.int64),
        user=user,
        item=item,
        kind=np.array([*kinds, None], dtype=object)[kind],
        ts=timestamps_s(table["ts"]),
        value=np.asarray(value, dtype=np.float64),
        text=None if text_index is None else _text_rows(table["text"], text_index, lacks_item),
    )


def says(text: str | None) -> bool:
    """Whether there is anything to read; blanks say nothing."""
    return text is not None and text.strip() != ""


def _text_rows(
    column: pa.ChunkedArray, text_index: Mapping[str, int], lacks_item: npt.NDArray[np.bool_]
) -> npt.NDArray[np.int32] | None:
    """(T,) ``EventArrays.text``; None where all are blank."""
    texts, local = _indexed(column)
    found = [text_index.get(t, UNKNOWN_TEXT) if says(t) else NO_TEXT for t in texts]
    if all(row == NO_TEXT for row in found):
        return None
    rows = np.array([*found, NO_TEXT], np.int32)[local]
    return np.where(lacks_item & (rows != NO_TEXT), np.int32(UNKNOWN_TEXT), rows)


def _indexed(column: pa.ChunkedArray) -> tuple[list[str], npt.NDArray[np.int32]]:
    """Distinct values in order of first appearance, and (T,) indices into them (-1 = null)."""
    encoded = column.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    indices = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)
    return encoded.dictionary.to_pylist(), np.asarray(indices, dtype=np.int32)
