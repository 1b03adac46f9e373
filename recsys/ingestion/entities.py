"""Raw rows -> items and users. These tables are small: they fit one process, as in serving."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.ingestion.convert import as_text, as_time, flat, mask
from recsys.ingestion.mapping import TABLES, ColumnMap, apply
from recsys.ingestion.quarantine import Verdicts
from recsys.ingestion.raw import RawBatch
from recsys.ingestion.validate import Rules, Validated, check_tenant, read_text

KEYS = {"items": "item_id", "users": "user_id"}
TIMES = ("available_from", "available_until", "created_at")
_LISTS = ("categories", "follows")


def validate_entities(
    raw: RawBatch, mapping: ColumnMap, rules: Rules, table: str, source: str
) -> Validated:
    """Check and convert one batch of raw items or users.

    Reasons are those of ``recsys.ingestion.validate``; an item without any text is sound. Lists
    may come as lists, or as strings parted by ``|``; attributes as a map, an object, or JSON text.

    Args:
        raw: T rows.
        mapping: where the schema's columns come from.
        rules: settings, tenant and time of the job.
        table: ``items`` or ``users``.
        source: name of the file, for the quarantine.
    """
    schema = TABLES[table]
    columns = apply(mapping, raw.table)
    verdicts = Verdicts(len(raw.table))
    check_tenant(columns, verdicts, rules)
    out = {
        name: _column(columns, name, verdicts, rules)
        if name in columns and name != "tenant"
        else pa.nulls(len(raw.table), schema.field(name).type)
        for name in schema.names
    }
    out["tenant"] = pa.repeat(pa.scalar(rules.tenant), len(raw.table))
    key = KEYS[table]
    verdicts.mark(mask(pc.is_null(out[key])), f"missing_{key}")
    sound = verdicts.sound
    arrays = [out[n].filter(pa.array(sound)) for n in schema.names]
    return Validated(
        pa.Table.from_arrays(arrays, schema=schema),
        raw.positions[sound],
        verdicts.quarantine(raw, table, source),
    )


def merge_entities(old: pa.Table, new: pa.Table, key: str) -> pa.Table:
    """Old rows replaced by new ones of the same key (the last one wins), sorted by key."""
    table = pa.concat_tables([old, new])
    codes = flat(table[key]).dictionary_encode().indices.to_numpy()
    last = len(codes) - 1 - np.unique(codes[::-1], return_index=True)[1]
    return table.take(np.sort(last)).sort_by(key).combine_chunks()


def _column(
    columns: Mapping[str, pa.ChunkedArray], name: str, verdicts: Verdicts, rules: Rules
) -> pa.Array:
    if name in TIMES:
        ts, bad, other = as_time(columns[name], rules.time_units.get(name))
        verdicts.mark(bad | other, f"wrong_type_{name}")
        return pc.cast(ts, pa.timestamp("us", tz="UTC"))
    if name in _LISTS:
        return _by_value(columns[name], _texts_of, pa.list_(pa.string()), verdicts, name)
    if name == "attributes":
        return _by_value(columns[name], _pairs, pa.map_(pa.string(), pa.string()), verdicts, name)
    return read_text(columns, name, verdicts, rules)


def _by_value(
    column: pa.ChunkedArray,
    convert: Callable[[Any], Any],
    to: pa.DataType,
    verdicts: Verdicts,
    name: str,
) -> pa.Array:
    array = flat(column)
    if array.type == to and not (pa.types.is_list(to) and array.values.null_count):
        return array
    if pa.types.is_binary(array.type):
        array, unreadable = as_text(array)
        verdicts.mark(unreadable, f"wrong_type_{name}")
    bad = np.zeros(len(array), np.bool_)
    values: list[Any] = []
    for i, value in enumerate(array.to_pylist()):
        try:
            values.append(None if value is None else convert(value))
        except (ValueError, TypeError, RecursionError):
            values.append(None)
            bad[i] = True
    verdicts.mark(bad, f"wrong_type_{name}")
    return pa.array(values, to)


def _texts_of(value: Any) -> list[str]:
    if isinstance(value, str):
        return [part for part in (p.strip() for p in value.split("|")) if part]
    if isinstance(value, list):
        return [str(v) for v in value if v is not None]
    raise TypeError(type(value))


def _pairs(value: Any) -> list[tuple[str, str]]:
    if isinstance(value, str):
        value = json.loads(value)
    if isinstance(value, dict):
        value = list(value.items())
    if not isinstance(value, list):
        raise TypeError(type(value))
    pairs = [
        (str(k), v if isinstance(v, str) else json.dumps(v)) for k, v in value if v is not None
    ]
    "".join(part for pair in pairs for part in pair).encode()  # half a surrogate pair is no text
    return pairs
