"""The catalog: every item that can be recommended, at a stable array position.

Rows are sorted by item id, so the same items stand at the same positions on every machine. A row
exists also for an item that only occurs in events: it has no text, but it can trend.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recsys.events import timestamps_s
from recsys.schema import DEFAULT_TENANT, ITEMS, TIMESTAMP, microseconds

_SPACE = re.compile(r"\s+")


@dataclass(frozen=True)
class Catalog:
    """N items, sorted by id. All sequences have length N and are never changed."""

    item_ids: list[str]
    """Ids, unique and ascending; items that are newer than a bundle come after all of its own."""
    titles: list[str]
    """Titles; the empty string where an item has none."""
    texts: list[str]
    """Descriptions; the empty string where an item has none."""
    categories: list[tuple[str, ...]]
    """Categories, general before special as the source gives them."""
    available_from: npt.NDArray[np.float64]
    """(N,) Unix seconds from which an item can be had; -inf = always."""
    available_until: npt.NDArray[np.float64]
    """(N,) Unix seconds until which (exclusive) it can be had; inf = for ever."""
    attributes: list[dict[str, str]] = field(default_factory=list)
    """Further facts by name; the empty list = of no item there are any."""

    def __len__(self) -> int:
        return len(self.item_ids)

    @cached_property
    def index(self) -> dict[str, int]:
        """Item id -> row."""
        return {item_id: row for row, item_id in enumerate(self.item_ids)}

    @cached_property
    def has_text(self) -> npt.NDArray[np.bool_]:
        """(N,) whether an item says anything that can be encoded."""
        columns = zip(self.titles, self.texts, self.categories, strict=True)
        said = [bool(title or text or categories) for title, text, categories in columns]
        return np.array(said, dtype=np.bool_)

    def item_text(self, row: int) -> str:
        """What the encoder reads of an item; the empty string where there is nothing to read.

        Title, description and those categories that neither of them names already.
        """
        parts = [part for part in (self.titles[row], self.texts[row]) if part]
        said = " ".join(parts).lower()
        unsaid = [name for name in self.categories[row] if name.lower() not in said]
        if unsaid:
            parts.append(", ".join(unsaid))
        return ". ".join(part.rstrip(". ") for part in parts)

    def item_texts(self) -> list[str]:
        """``item_text`` of every row."""
        return [self.item_text(row) for row in range(len(self))]

    def available(self, as_of: float) -> npt.NDArray[np.bool_]:
        """(N,) whether each item can be had at a time (Unix seconds)."""
        return (self.available_from <= as_of) & (as_of < self.available_until)

    def label(self, row: int) -> str:
        """A name to show: the title, else the id."""
        return self.titles[row] or self.item_ids[row]

    def attribute(self, name: str) -> list[str | None]:
        """One attribute of every item; None where an item lacks it."""
        if len(self.attributes) == 0:
            return [None] * len(self)
        return [known.get(name) for known in self.attributes]

    def to_table(self, tenant: str = DEFAULT_TENANT) -> pa.Table:
        """The catalog as a table of ``recsys.schema.ITEMS``; ``catalog_from_items`` reads it."""
        columns: dict[str, pa.Array] = {
            "tenant": pa.array([tenant] * len(self), pa.string()),
            "item_id": pa.array(self.item_ids, pa.string()),
            "title": pa.array([title or None for title in self.titles], pa.string()),
            "text": pa.array([text or None for text in self.texts], pa.string()),
            "categories": pa.array([list(names) for names in self.categories], _CATEGORIES),
            "available_from": _timestamps(self.available_from),
            "available_until": _timestamps(self.available_until),
        }
        if len(self.attributes) > 0:
            listed = [list(known.items()) or None for known in self.attributes]
            columns["attributes"] = pa.array(listed, _ATTRIBUTES)
        whole = [
            columns.get(column.name, pa.nulls(len(self), column.type)).cast(column.type)
            for column in ITEMS
        ]
        return pa.Table.from_arrays(whole, schema=ITEMS)


_CATEGORIES = pa.list_(pa.string())
_ATTRIBUTES = pa.map_(pa.string(), pa.string())


def catalog_from_items(
    table: pa.Table, extra_item_ids: Iterable[str] = (), until: float | None = None
) -> Catalog:
    """Build the catalog of one tenant.

    Args:
        table: columns of ``recsys.schema.ITEMS`` (only ``item_id`` must be there); of an id that
            comes twice the last row counts.
        extra_item_ids: ids that occur in events; those that the table lacks join without text.
        until: leave out items that become available at or after this time (Unix seconds).
    """
    ids: list[str] = table["item_id"].to_pylist()
    row_of = {item_id: row for row, item_id in enumerate(ids)}
    starts = np.fmax(_times(table, "available_from", -np.inf), _times(table, "created_at", -np.inf))
    ends = _times(table, "available_until", np.inf)
    if until is not None:
        row_of = {item_id: row for item_id, row in row_of.items() if starts[row] < until}
    known = set(ids)  # an item that is not yet available does not come back through its events
    extra = {i for i in extra_item_ids if i is not None and i not in known}
    item_ids = sorted([*row_of, *extra])
    rows = np.array([row_of.get(item_id, -1) for item_id in item_ids], dtype=np.int64)
    return Catalog(
        item_ids=item_ids,
        titles=_picked(_strings(table, "title"), rows),
        texts=_picked(_strings(table, "text"), rows),
        categories=_picked(_categories(table), rows, ()),
        available_from=_picked_times(starts, rows, -np.inf),
        available_until=_picked_times(ends, rows, np.inf),
        attributes=_attributes(table, rows),
    )


def aligned_rows(ids: Sequence[str], index: Mapping[str, int]) -> npt.NDArray[np.int64]:
    """(len(ids),) row of each id in another catalog's ``index``; -1 where it has none."""
    return np.array([index.get(item_id, -1) for item_id in ids], dtype=np.int64)


def _strings(table: pa.Table, name: str) -> list[str]:
    if name not in table.column_names:
        return [""] * len(table)
    return [_SPACE.sub(" ", value).strip() if value else "" for value in table[name].to_pylist()]


def _categories(table: pa.Table) -> list[tuple[str, ...]]:
    if "categories" not in table.column_names:
        return [()] * len(table)
    return [tuple(_clean(names or ())) for names in table["categories"].to_pylist()]


def _attributes(table: pa.Table, rows: npt.NDArray[np.int64]) -> list[dict[str, str]]:
    if "attributes" not in table.column_names or table["attributes"].null_count == len(table):
        return []
    said = [{k: v for k, v in known or () if v is not None} for known in _maps(table)]
    return [said[row] if row >= 0 else {} for row in rows]


def _maps(table: pa.Table) -> list[list[tuple[str, str | None]] | None]:
    found: list[list[tuple[str, str | None]] | None] = table["attributes"].to_pylist()
    return found


def _clean(names: Iterable[str | None]) -> Iterator[str]:
    for name in names:
        text = _SPACE.sub(" ", name or "").strip()
        if text:
            yield text


def _picked(values: list[Any], rows: npt.NDArray[np.int64], missing: Any = "") -> list[Any]:
    return [values[row] if row >= 0 else missing for row in rows]


def _times(table: pa.Table, name: str, missing: float) -> npt.NDArray[np.float64]:
    if name not in table.column_names:
        return np.full(len(table), missing)
    seconds = timestamps_s(pc.cast(table[name], TIMESTAMP))
    return np.where(np.isnan(seconds), missing, seconds)


def _picked_times(
    values: npt.NDArray[np.float64], rows: npt.NDArray[np.int64], missing: float
) -> npt.NDArray[np.float64]:
    return np.where(rows >= 0, np.append(values, missing)[rows], missing)


def _timestamps(seconds: npt.NDArray[np.float64]) -> pa.Array:
    stamps = [microseconds(float(value)) if np.isfinite(value) else None for value in seconds]
    return pa.array(stamps, pa.int64()).cast(TIMESTAMP)
