"""The items of a tenant, written a few at a time while they are served.

The table of items is one file that the manifest names, so a write makes a new file, as for users
(``recsys.people``). An item that is taken away stays as a row that says nothing but when it ended:
events go on to name it, and whoever holds an older catalog learns that it is gone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from recsys.archive import Archive
from recsys.events import timestamps_s
from recsys.manifest import Manifest
from recsys.schema import ITEMS, microseconds
from recsys.stamped import write_merged

TIMES = ("available_from", "available_until", "created_at")


@dataclass(frozen=True)
class Item:
    """What is known of an item. Times are Unix seconds."""

    title: str | None = None
    text: str | None = None
    categories: tuple[str, ...] = ()
    image_uri: str | None = None
    audio_uri: str | None = None
    available_from: float | None = None
    """None = always."""
    available_until: float | None = None
    """None = for ever."""
    created_at: float | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_gone(self) -> bool:
        """Whether it was taken away."""
        return self.available_until is not None and self == gone(self.available_until)


def gone(at: float) -> Item:
    """An item that was taken away at a moment."""
    return Item(available_until=at)


Change = Callable[[Item | None], Item]
"""Makes what shall be of what is; None = the item is unknown, or was taken away."""


@dataclass(frozen=True)
class ItemsWritten:
    """One write."""

    items: Mapping[str, Item]
    """What is known now, of each item that was to be changed."""
    path: str | None
    """Of the table that has it; None = nothing was changed."""
    replaced: str | None
    """Of the table before."""


def write_items(
    archive: Archive, tenant: str, changes: Mapping[str, Change], stamp: str, limit: int
) -> ItemsWritten:
    """Change some items.

    Args:
        archive: where.
        tenant: whose.
        changes: of each item id; called again if others wrote between.
        stamp: never used before.
        limit: most items of a table that is written this way: all of it is written anew.

    Raises:
        DataError: if the tenant has more items than that.
        ConflictError: if others write all the time.
    """
    done = ItemsWritten({}, None, None)

    def moved(current: Manifest) -> Manifest:
        nonlocal done
        table, before = archive.items(current, tenant), current.items.get(tenant)
        known = _known(table, changes)
        wanted = {item_id: change(known[item_id]) for item_id, change in changes.items()}
        if all(known[item_id] == item for item_id, item in wanted.items()):
            done = ItemsWritten(wanted, None, None)
            return current
        tables = table, rows_of(tenant, wanted)
        ref = write_merged(archive.store, "items", tables, stamp, limit)
        done = ItemsWritten(wanted, ref.path, None if before is None else before.path)
        return replace(current, items={**current.items, tenant: ref})

    archive.publish(moved)
    return done


def item_at(items: pa.Table, row: int) -> Item:
    """What a row of a table (schema ``ITEMS``) says."""
    found: dict[str, Any] = {name: items[name][row].as_py() for name in _PLAIN}
    for name in TIMES:
        (seconds,) = timestamps_s(items[name].slice(row, 1))
        found[name] = None if math.isnan(seconds) else float(seconds)
    categories = items["categories"][row].as_py() or ()
    attributes = items["attributes"][row].as_py() or ()
    found["categories"] = tuple(name for name in categories if name is not None)
    found["attributes"] = {name: value for name, value in attributes if value is not None}
    return Item(**found)


def rows_of(tenant: str, items: Mapping[str, Item]) -> pa.Table:
    """Items as a table of the schema ``ITEMS``."""
    rows = [
        {
            **{name: getattr(item, name) for name in _PLAIN},
            **{name: _stamp(getattr(item, name)) for name in TIMES},
            "tenant": tenant,
            "item_id": item_id,
            "categories": list(item.categories),
            "attributes": list(item.attributes.items()),
        }
        for item_id, item in items.items()
    ]
    columns = {
        name: pa.array([row[name] for row in rows], pa.int64()).cast(ITEMS.field(name).type)
        if name in TIMES
        else pa.array([row[name] for row in rows], ITEMS.field(name).type)
        for name in ITEMS.names
    }
    return pa.Table.from_arrays([columns[name] for name in ITEMS.names], schema=ITEMS)


_PLAIN = ("title", "text", "image_uri", "audio_uri")


def _known(items: pa.Table, wanted: Mapping[str, Any]) -> dict[str, Item | None]:
    found: dict[str, Item | None] = dict.fromkeys(wanted)
    for row, item_id in enumerate(items["item_id"].to_pylist()):
        if item_id in found:
            item = item_at(items, row)
            found[item_id] = None if item.is_gone else item
    return found


def _stamp(seconds: float | None) -> int | None:
    return None if seconds is None else microseconds(seconds)
