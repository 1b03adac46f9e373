"""Raw rows -> canonical events, and a quarantine of those that break the schema.

Nothing is dropped: every raw row is in one of the two. Reasons, the first that holds:

    malformed_row          the line is no row at all
    other_tenant           the row names another tenant than the job's
    missing_<column>       user_id, item_id, kind or ts is null or empty
    wrong_type_<column>    the value cannot be read as the column's type (text in a number, a list
                           as an id, invalid UTF-8, NaN or infinity)
    unknown_kind           the kind is not in data.kinds
    bad_time               before 1970, or no time at all
    time_in_other_unit     a number that is a time only in a coarser unit than its column
    time_in_future         later than now + data.max_future_s
    too_long_<column>      an id over data.max_id_bytes, a text over data.max_text_bytes
    control_character_<column>    an id with a control character
    duplicate_id           (found later) an id that stands twice in the log with different content
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recsys.ingestion.convert import as_number, as_text, as_time, as_whole, mask
from recsys.ingestion.mapping import ColumnMap, apply
from recsys.ingestion.quarantine import Verdicts
from recsys.ingestion.raw import RawBatch
from recsys.schema import EVENTS, TIMESTAMP, microseconds
from recsys.settings import DataSettings

IDS = ("event_id", "user_id", "item_id", "session_id", "request_id", "source")
_CONTROL = r"[\x00-\x1f\x7f]"
_ID_DIGEST_BYTES = 12
_NO_VALUE = "\x00"
_BETWEEN = "\x1f"


@dataclass(frozen=True)
class Rules:
    """What rows of one job are held against."""

    settings: DataSettings
    tenant: str
    now: float
    """Unix seconds; the moment of the job."""
    time_units: Mapping[str, str] = field(default_factory=dict)
    """Unit of the numeric time columns of this source, by schema column."""


@dataclass(frozen=True)
class Validated:
    """Both halves of a batch."""

    sound: pa.Table
    """The schema's columns."""
    positions: npt.NDArray[np.int64]
    """Their places in the source."""
    quarantine: pa.Table
    """Schema ``recsys.ingestion.quarantine.QUARANTINE``."""


def validate_events(raw: RawBatch, mapping: ColumnMap, rules: Rules, source: str) -> Validated:
    """Check and convert one batch of raw events.

    Args:
        raw: T rows.
        mapping: where the schema's columns come from.
        rules: settings, tenant and time of the job.
        source: name of the file, for the quarantine.

    Returns:
        Canonical events (``EVENTS``; order of the source) and the quarantine; T rows together.
    """
    columns = apply(mapping, raw.table)
    verdicts = Verdicts(len(raw.table))
    texts = {name: read_text(columns, name, verdicts, rules) for name in (*IDS, "text", "kind")}
    check_tenant(columns, verdicts, rules)
    _check_present(texts, verdicts, rules)
    kind = texts["kind"]
    unknown = pc.invert(pc.is_in(kind, value_set=pa.array(rules.settings.kinds, pa.string())))
    verdicts.mark(mask(unknown), "unknown_kind")
    ts = _read_times(columns, verdicts, rules)
    out: dict[str, pa.Array] = {**texts, "ts": pc.min_element_wise(ts, _whole_now(rules))}
    out["value"], bad = as_number(columns.get("value", _nulls(raw)))
    verdicts.mark(bad, "wrong_type_value")
    out["rank"], bad = as_whole(columns.get("rank", _nulls(raw)), 2**31 - 1)
    verdicts.mark(bad, "wrong_type_rank")
    out["seq"], bad = as_whole(columns.get("seq", _nulls(raw)), 2**62)
    verdicts.mark(bad, "wrong_type_seq")
    positions = pa.array(raw.positions)
    out["seq"] = pc.coalesce(out["seq"], positions)
    sound = verdicts.sound
    keep = pa.array(sound)
    out = {name: column.filter(keep) for name, column in out.items()}
    places = raw.positions[sound]
    out["event_id"] = _event_ids(out, ts.filter(keep), places)
    table = _canonical(out, rules)
    return Validated(table, places, verdicts.quarantine(raw, "events", source))


def read_text(
    columns: Mapping[str, pa.ChunkedArray], name: str, verdicts: Verdicts, rules: Rules
) -> pa.Array:
    """A text or id column (T,) of the source, checked; empty strings are null."""
    n_rows = len(verdicts.sound)
    if name not in columns:
        return pa.nulls(n_rows, pa.string())
    text, bad = as_text(columns[name])
    verdicts.mark(bad, f"wrong_type_{name}")
    coded = text.dictionary_encode()  # checks run on distinct values
    values = coded.dictionary
    is_id = name in IDS
    limit = rules.settings.max_id_bytes if is_id else rules.settings.max_text_bytes
    faults = [(pc.greater(pc.binary_length(values), limit), f"too_long_{name}")]
    if is_id:
        faults.append((pc.match_substring_regex(values, _CONTROL), f"control_character_{name}"))
    for fault, reason in faults:
        if pc.any(fault).as_py():
            verdicts.mark(mask(pc.take(fault, coded.indices)), reason)
    if pc.any(pc.equal(values, "")).as_py():
        return pc.if_else(pc.equal(text, ""), None, text)
    return text


def check_tenant(columns: Mapping[str, pa.ChunkedArray], verdicts: Verdicts, rules: Rules) -> None:
    """Mark rows that name a tenant other than the job's."""
    if "tenant" in columns:
        tenant, _ = as_text(columns["tenant"])
        verdicts.mark(mask(pc.not_equal(tenant, rules.tenant)), "other_tenant")


def _check_present(texts: Mapping[str, pa.Array], verdicts: Verdicts, rules: Rules) -> None:
    verdicts.mark(mask(pc.is_null(texts["user_id"])), "missing_user_id")
    verdicts.mark(mask(pc.is_null(texts["kind"])), "missing_kind")
    itemless = pc.is_in(
        texts["kind"], value_set=pa.array(rules.settings.itemless_kinds, pa.string())
    )
    no_item = pc.and_(pc.is_null(texts["item_id"]), pc.invert(itemless))
    verdicts.mark(mask(no_item), "missing_item_id")


def _read_times(
    columns: Mapping[str, pa.ChunkedArray], verdicts: Verdicts, rules: Rules
) -> pa.Array:
    ts, bad, other_unit = as_time(columns["ts"], rules.time_units.get("ts"))
    verdicts.mark(other_unit, "time_in_other_unit")
    verdicts.mark(bad, "wrong_type_ts")
    verdicts.mark(mask(pc.is_null(ts)), "missing_ts")
    verdicts.mark(mask(pc.less(ts, 0)), "bad_time")
    latest = microseconds(rules.now + rules.settings.max_future_s)
    verdicts.mark(mask(pc.greater(ts, latest)), "time_in_future")
    return ts


def _event_ids(
    columns: Mapping[str, pa.Array], ts: pa.Array, positions: npt.NDArray[np.int64]
) -> pa.Array:
    """The given ids; where there is none, a hash of the row's content and its position.

    The file's name is no part of it: a log that is moved, or that grows at its end, keeps its ids.
    """
    given = columns["event_id"]
    missing = mask(pc.is_null(given))
    if not missing.any():
        return given
    names = ("user_id", "item_id", "kind", "value", "text", "session_id", "request_id", "rank")
    parts = [pc.cast(columns[n], pa.string()) for n in (*names, "source")]
    parts += [pc.cast(ts, pa.string()), pc.cast(pa.array(positions), pa.string())]
    joined = pc.binary_join_element_wise(
        *parts, _BETWEEN, null_handling="replace", null_replacement=_NO_VALUE
    )
    hashed = [
        hashlib.blake2b(row.encode(), digest_size=_ID_DIGEST_BYTES).hexdigest()
        for row in joined.filter(pa.array(missing)).to_pylist()
    ]
    return pc.replace_with_mask(given, pa.array(missing), pa.array(hashed, pa.string()))


def _canonical(columns: Mapping[str, pa.Array], rules: Rules) -> pa.Table:
    n_rows = len(columns["ts"])
    full = {
        **columns,
        "tenant": pa.repeat(pa.scalar(rules.tenant), n_rows),
        "ts": pc.cast(columns["ts"], TIMESTAMP),
        "ingested_at": pc.cast(pa.repeat(_whole_now(rules), n_rows), TIMESTAMP),
        "rank": pc.cast(columns["rank"], pa.int32()),
    }
    return pa.Table.from_arrays([full[name] for name in EVENTS.names], schema=EVENTS)


def _whole_now(rules: Rules) -> pa.Scalar:
    return pa.scalar(microseconds(rules.now), pa.int64())


def _nulls(raw: RawBatch) -> pa.ChunkedArray:
    return pa.chunked_array([pa.nulls(len(raw.table))])
