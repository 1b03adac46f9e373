from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from recsys.errors import DataError
from recsys.ingestion.entities import merge_entities, validate_entities
from recsys.ingestion.mapping import resolve
from recsys.ingestion.plan import read_entities
from recsys.ingestion.raw import RawBatch
from recsys.ingestion.validate import Rules, Validated
from recsys.schema import ITEMS, USERS
from recsys.settings import DataSettings

RULES = Rules(DataSettings(max_text_bytes=30), "default", 1_700_000_000.0)


def validate(rows: list[dict[str, Any]], name: str = "items") -> Validated:
    table = pa.Table.from_pylist(rows)
    mapping = resolve({}, name, table.column_names, "f")
    return validate_entities(RawBatch(table, np.arange(len(rows))), mapping, RULES, name, "f")


def test_an_item_without_text_is_sound() -> None:
    done = validate([{"item_id": 5}])
    assert done.sound.schema.equals(ITEMS)
    assert done.sound["item_id"].to_pylist() == ["5"]


def test_lists_and_attributes_come_in_several_forms() -> None:
    done = validate(
        [
            {"item_id": "a", "categories": "toys | red||", "attributes": '{"size": 3, "no": null}'},
            {"item_id": "b", "categories": None, "attributes": None},
        ]
    )
    assert done.sound["categories"].to_pylist() == [["toys", "red"], None]
    assert done.sound["attributes"].to_pylist() == [[("size", "3")], None]
    done = validate([{"item_id": "a", "categories": ["x", None, "y"], "attributes": {"k": 1}}])
    assert done.sound["categories"].to_pylist() == [["x", "y"]]
    assert done.sound["attributes"].to_pylist() == [[("k", "1")]]
    assert validate(done.sound.to_pylist()).sound["categories"].to_pylist() == [["x", "y"]]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"item_id": None}, "missing_item_id"),
        ({"title": "x" * 31}, "too_long_title"),
        ({"attributes": "not json"}, "wrong_type_attributes"),
        ({"created_at": "soon"}, "wrong_type_created_at"),
        ({"item_id": "a\tb"}, "control_character_item_id"),
        ({"tenant": "shop"}, "other_tenant"),
    ],
)
def test_bad_items_are_quarantined(row: dict[str, Any], reason: str) -> None:
    done = validate([{"item_id": "a", **row}])
    assert done.quarantine["reason"].to_pylist() == [reason]
    assert done.quarantine["table"].to_pylist() == ["items"]


def test_users_have_their_own_columns() -> None:
    done = validate([{"user_id": 1, "follows": ["2"], "attributes": {"age": "30"}}], "users")
    assert done.sound.schema.equals(USERS)
    assert done.sound["follows"].to_pylist() == [["2"]]


def test_merging_keeps_the_last_row_of_a_key_sorted() -> None:
    old = validate([{"item_id": "b", "title": "old"}, {"item_id": "c", "title": "kept"}]).sound
    new = validate([{"item_id": "b", "title": "1"}, {"item_id": "b", "title": "2"}]).sound
    merged = merge_entities(old, new, "item_id")
    assert merged["item_id"].to_pylist() == ["b", "c"]
    assert merged["title"].to_pylist() == ["2", "kept"]
    assert len(merge_entities(ITEMS.empty_table(), ITEMS.empty_table(), "item_id")) == 0


def test_items_are_read_from_files(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text("sku,title,created_at\n2,Two,1700000000000\n1,One,\n")
    mapping = {"items.item_id": "sku"}
    table, bad, report = read_entities([str(path)], mapping, "items", RULES)
    assert table["item_id"].to_pylist() == ["1", "2"]
    assert table["created_at"].to_pylist() == [
        None,
        datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC),
    ]
    assert len(bad) == 0
    assert report["time_units"] == ["created_at: ms"]


def test_a_catalog_of_mostly_bad_rows_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text("item_id,title\n,One\n,Two\n3,Three\n")
    with pytest.raises(DataError, match=r"2 of 3 items: are bad .*missing_item_id"):
        read_entities([str(path)], {}, "items", RULES)
    path.write_text("item_id,title\n")
    with pytest.raises(DataError, match="no row"):
        read_entities([str(path)], {}, "items", RULES)


@pytest.mark.parametrize("attributes", ['{"a": "\\ud800"}', "[" * 100_000])
def test_attributes_that_no_table_can_hold_are_quarantined(attributes: str) -> None:
    rules = replace(RULES, settings=DataSettings(max_text_bytes=200_000))
    table = pa.table({"item_id": ["a"], "attributes": [attributes]})
    mapping = resolve({}, "items", table.column_names, "f")
    done = validate_entities(RawBatch(table, np.arange(1)), mapping, rules, "items", "f")
    assert done.quarantine["reason"].to_pylist() == ["wrong_type_attributes"]
