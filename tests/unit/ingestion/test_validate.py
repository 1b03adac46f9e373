from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from recsys.ingestion.mapping import resolve
from recsys.ingestion.raw import RawBatch
from recsys.ingestion.validate import Rules, Validated, validate_events
from recsys.schema import EVENTS
from recsys.settings import DataSettings

NOW = 1_700_000_000.0
GOOD = {"user_id": "u", "item_id": "i", "kind": "click", "ts": NOW - 10}


def validate(table: pa.Table, first: int = 0, **rules: Any) -> Validated:
    raw = RawBatch(table, np.arange(first, first + len(table)))
    settings = DataSettings(max_id_bytes=20, max_text_bytes=30)
    return validate_events(
        raw,
        resolve({}, "events", table.column_names, "log"),
        Rules(settings, "default", NOW, **rules),
        "log",
    )


def reasons(rows: list[dict[str, Any]], **rules: Any) -> list[str]:
    """Reason of each quarantined row; checks that no row is lost."""
    done = validate(pa.Table.from_pylist(rows), **rules)
    assert len(done.sound) + len(done.quarantine) == len(rows)
    return list(done.quarantine["reason"].to_pylist())


def test_a_sound_row_becomes_a_canonical_event() -> None:
    row = {**GOOD, "user_id": 7, "value": "3.5", "rank": 2, "text": "", "session_id": 9.0}
    done = validate(pa.Table.from_pylist([row]), first=40)
    assert done.sound.schema.equals(EVENTS)
    (event,) = done.sound.to_pylist()
    assert (event["user_id"], event["value"], event["rank"]) == ("7", 3.5, 2)
    assert (event["text"], event["session_id"], event["tenant"]) == (None, "9", "default")
    assert (event["seq"], event["ts"].timestamp()) == (40, NOW - 10)
    assert event["ingested_at"].timestamp() == NOW
    assert len(done.quarantine) == 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"user_id": None}, "missing_user_id"),
        ({"user_id": ""}, "missing_user_id"),
        ({"item_id": None}, "missing_item_id"),
        ({"kind": None}, "missing_kind"),
        ({"kind": "Klick"}, "unknown_kind"),
        ({"ts": None}, "missing_ts"),
        ({"ts": float("nan")}, "wrong_type_ts"),
        ({"ts": -5.0}, "bad_time"),
        ({"ts": NOW + 301}, "time_in_future"),
        ({"ts": NOW * 1_000}, "time_in_future"),
        ({"value": float("nan")}, "wrong_type_value"),
        ({"value": float("inf")}, "wrong_type_value"),
        ({"rank": 1.5}, "wrong_type_rank"),
        ({"user_id": "x" * 21}, "too_long_user_id"),
        ({"item_id": "é" * 11}, "too_long_item_id"),
        ({"session_id": "a\x00b"}, "control_character_session_id"),
        ({"user_id": "a\nb"}, "control_character_user_id"),
        ({"text": "x" * 31}, "too_long_text"),
        ({"tenant": "shop"}, "other_tenant"),
    ],
)
def test_a_bad_row_is_quarantined_with_its_reason(change: dict[str, Any], reason: str) -> None:
    full = {**GOOD, **dict.fromkeys(("value", "rank", "session_id", "text", "tenant"))}
    assert reasons([full, {**full, **change}, full]) == [reason]


@pytest.mark.parametrize(
    ("column", "values", "reason"),
    [
        ("value", ["1", "many"], "wrong_type_value"),
        ("ts", ["2020-01-01", "yesterday"], "wrong_type_ts"),
        ("user_id", [b"u", b"\xff"], "wrong_type_user_id"),
        ("seq", ["1", "first"], "wrong_type_seq"),
    ],
)
def test_one_value_of_a_wrong_type_does_not_spoil_its_column(
    column: str, values: list[Any], reason: str
) -> None:
    assert reasons([{**GOOD, column: v} for v in values]) == [reason]


def test_a_column_of_lists_is_quarantined_whole() -> None:
    assert reasons([{**GOOD, "user_id": ["u"]}] * 2) == ["wrong_type_user_id"] * 2


def test_times_of_another_unit_than_their_column_are_found() -> None:
    rows = [{**GOOD, "ts": (NOW - 10) * 1_000}, {**GOOD, "ts": NOW - 10}]
    assert reasons(rows, time_units={"ts": "ms"}) == ["time_in_other_unit"]


def test_a_search_needs_no_item() -> None:
    assert reasons([{**GOOD, "kind": "search", "item_id": None}]) == []


def test_a_time_a_little_ahead_is_clamped_to_now_and_keeps_its_id() -> None:
    table = pa.Table.from_pylist([{**GOOD, "ts": NOW + 200}])
    done = validate(table)
    assert done.sound["ts"][0].as_py().timestamp() == NOW
    raw = RawBatch(table, np.arange(1))
    later = Rules(DataSettings(), "default", NOW + 1_000)
    again = validate_events(raw, resolve({}, "events", table.column_names, "log"), later, "log")
    assert again.sound["event_id"].equals(done.sound["event_id"])


def test_the_quarantine_keeps_place_and_row() -> None:
    done = validate(pa.Table.from_pylist([GOOD, {**GOOD, "kind": "?", "extra": b"\xff"}]), first=7)
    (row,) = done.quarantine.to_pylist()
    assert (row["table"], row["source"], row["position"]) == ("events", "log", 8)
    assert json.loads(row["raw"])["kind"] == "?"
    assert done.positions.tolist() == [7]


def test_malformed_lines_are_counted_too() -> None:
    table = pa.Table.from_pylist([GOOD])
    raw = RawBatch(table, np.arange(1), [(99, "{oops")])
    done = validate_events(
        raw,
        resolve({}, "events", table.column_names, "log"),
        Rules(DataSettings(), "default", NOW),
        "log",
    )
    (row,) = done.quarantine.to_pylist()
    assert (row["reason"], row["position"], row["raw"]) == ("malformed_row", 99, "{oops")


def test_derived_ids_depend_on_content_and_position_only() -> None:
    rows = pa.Table.from_pylist([GOOD, GOOD, {**GOOD, "item_id": "j"}])
    ids = validate(rows).sound["event_id"].to_pylist()
    assert len(set(ids)) == 3
    assert validate(rows.slice(1), first=1).sound["event_id"].to_pylist() == ids[1:]
    as_text = rows.set_column(3, "ts", pa.array([str(NOW - 10)] * 3))
    assert validate(as_text).sound["event_id"].to_pylist() == ids


def test_given_ids_are_kept_and_gaps_filled() -> None:
    rows = [{**GOOD, "event_id": "a"}, {**GOOD, "event_id": None}]
    given, derived = validate(pa.Table.from_pylist(rows)).sound["event_id"].to_pylist()
    assert given == "a"
    assert len(derived) == 24


def test_an_empty_batch_is_an_empty_table() -> None:
    done = validate(pa.Table.from_pylist([GOOD]).slice(0, 0))
    assert done.sound.schema.equals(EVENTS)
    assert len(done.sound) == 0


@pytest.mark.parametrize(
    ("stamp", "reason"),
    [
        (pa.array([2**61], pa.timestamp("us")), "time_in_future"),
        (pa.array([2**50], pa.timestamp("s", tz="UTC")), "time_in_future"),
        (pa.array([-(2**61)], pa.timestamp("us", tz="Mars/Olympus")), "bad_time"),
        (pa.array([2**31 - 1], pa.date32()), "wrong_type_ts"),
    ],
)
def test_times_that_python_cannot_hold_are_quarantined(stamp: pa.Array, reason: str) -> None:
    table = pa.Table.from_pylist([{k: v for k, v in GOOD.items() if k != "ts"}])
    done = validate(table.append_column("ts", stamp))
    assert done.quarantine["reason"].to_pylist() == [reason]
    assert json.loads(done.quarantine["raw"][0].as_py())["user_id"] == GOOD["user_id"]


def test_rows_without_any_column_that_is_wanted_are_quarantined() -> None:
    raw = RawBatch(pa.table({"other": [1, 2]}).select([]), np.arange(2))
    mapping = resolve({}, "events", list(GOOD), "log")
    done = validate_events(raw, mapping, Rules(DataSettings(), "default", NOW), "log")
    assert done.quarantine["reason"].to_pylist() == ["missing_user_id"] * 2
    assert done.quarantine["raw"].to_pylist() == ["{}", "{}"]
