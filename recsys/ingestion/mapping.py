"""Which source column, or which constant, gives each column of the schema.

    user_id=household_id     the schema's user_id is read from the column household_id
    kind==purchase           the schema's kind is the constant "purchase"
    items.title=name         the same for the items file (also ``users.``)

Columns that are not mapped are read from the source column of the same name.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from recsys.errors import ConfigError
from recsys.schema import EVENTS, ITEMS, USERS

TABLES = {"events": EVENTS, "items": ITEMS, "users": USERS}
REQUIRED = {
    "events": ("user_id", "item_id", "kind", "ts"),
    "items": ("item_id",),
    "users": ("user_id",),
}
OURS = ("ingested_at",)
"""Columns that a source may hold but does not decide."""


@dataclass(frozen=True)
class ColumnMap:
    """The mapping of one table, resolved against the columns of a source."""

    columns: Mapping[str, str]
    """Schema column -> source column."""
    constants: Mapping[str, str]
    """Schema column -> constant."""


def parse_mapping(options: Iterable[str]) -> dict[str, str]:
    """``--map`` options as ``{schema column: source column or "=constant"}``.

    Raises:
        ConfigError: if an option is not of the form ``column=source``.

    >>> parse_mapping(["user_id=household_id,kind==purchase"])
    {'user_id': 'household_id', 'kind': '=purchase'}
    """
    pairs = {}
    for option in options:
        for part in option.split(","):
            name, equals, source = (p.strip() for p in part.partition("="))
            if not name or not equals or source in ("", "="):
                raise ConfigError(
                    f"--map {option}",
                    f"{part!r} does not say what comes from where",
                    "Write column=source_column, or column==constant",
                )
            pairs[name] = source
    return pairs


def check_mapping(mapping: Mapping[str, str]) -> None:
    """Refuse a mapping of columns that the schema lacks.

    Raises:
        ConfigError: naming the column and those that exist.
    """
    for name in mapping:
        table, _, column = name.rpartition(".")
        schema = TABLES.get(table or "events")
        if schema is None or column not in schema.names or column in OURS:
            known = [n for n in (schema or EVENTS).names if n not in OURS]
            raise ConfigError(
                f"--map {name}=...",
                f"{column!r} is no column of {table or 'events'}",
                f"Its columns are {', '.join(known)}",
            )


def resolve(mapping: Mapping[str, str], table: str, found: Sequence[str], source: str) -> ColumnMap:
    """The mapping of one table for a source with the given columns.

    Args:
        mapping: see ``parse_mapping``.
        table: ``events``, ``items`` or ``users``.
        found: the source's columns.
        source: its name, for messages.

    Raises:
        ConfigError: if a required column cannot be found, or a mapped one does not exist.
    """
    prefix = f"{table}."
    own = {k.removeprefix(prefix): v for k, v in mapping.items() if k.startswith(prefix)}
    if table == "events":
        own |= {k: v for k, v in mapping.items() if "." not in k}
    constants = {k: v[1:] for k, v in own.items() if v.startswith("=")}
    columns = {n: n for n in TABLES[table].names if n in found and n not in OURS}
    columns = {k: v for k, v in columns.items() if k not in constants}
    columns |= {k: v for k, v in own.items() if k not in constants}
    for name, column in columns.items():
        if column not in found:
            raise _absent(f"column {column!r} of {source}, mapped to {name}", column, found)
        if list(found).count(column) > 1:
            raise ConfigError(f"column {column!r} of {source}", "stands there twice", "Rename one")
    for name in REQUIRED[table]:
        if name not in columns and name not in constants:
            option = name if table == "events" else prefix + name
            raise _absent(f"column {name!r} of {source}", name, found, f"--map {option}=COLUMN")
    return ColumnMap(columns, constants)


def _absent(thing: str, name: str, found: Sequence[str], remedy: str = "--map") -> ConfigError:
    near = difflib.get_close_matches(name, found, n=1)
    hint = f" (perhaps {near[0]!r}?)" if near else ""
    listed = ", ".join(found) or "none"
    problem = f"does not exist; its columns are {listed}"
    return ConfigError(thing, problem, f"Name the right one with {remedy}{hint}")


def unused(resolved: ColumnMap, found: Sequence[str]) -> list[str]:
    """Source columns that nothing reads."""
    return [n for n in found if n not in resolved.columns.values() and n not in OURS]


def apply(resolved: ColumnMap, table: pa.Table) -> dict[str, pa.ChunkedArray]:
    """The source's columns under their names in the schema; constants filled in.

    A column that this batch lacks (JSON lines may differ) is all null.
    """
    out = {
        name: table[column]
        if column in table.column_names
        else pa.chunked_array([pa.nulls(len(table))])
        for name, column in resolved.columns.items()
    }
    for name, value in resolved.constants.items():
        out[name] = pa.chunked_array([pa.repeat(pa.scalar(value), len(table))])
    return out
