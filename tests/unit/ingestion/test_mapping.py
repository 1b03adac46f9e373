from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from recsys.errors import ConfigError
from recsys.ingestion.mapping import apply, check_mapping, parse_mapping, resolve, unused
from recsys.ingestion.plan import understand

FOUND = ["user", "item_id", "kind", "ts", "extra", "ingested_at"]


def test_columns_come_by_name_by_mapping_or_as_constants() -> None:
    mapping = parse_mapping(["user_id=user,kind==click", "items.title=name"])
    check_mapping(mapping)
    resolved = resolve(mapping, "events", FOUND, "log.csv")
    assert resolved.columns == {"item_id": "item_id", "ts": "ts", "user_id": "user"}
    assert resolved.constants == {"kind": "click"}
    assert unused(resolved, FOUND) == ["kind", "extra"]
    table = pa.table({"user": ["u"], "ts": [1]})
    columns = {k: v.to_pylist() for k, v in apply(resolved, table).items()}
    assert columns == {"user_id": ["u"], "ts": [1], "kind": ["click"], "item_id": [None]}


def test_a_missing_column_names_those_that_are_there_and_the_remedy() -> None:
    with pytest.raises(ConfigError, match=r"its columns are usr_id, .*--map user_id=.*'usr_id'\?"):
        resolve({}, "events", ["usr_id", "item_id", "kind", "ts"], "log.csv")
    with pytest.raises(ConfigError, match=r"--map items\.item_id=COLUMN"):
        resolve({}, "items", ["sku"], "items.csv")
    with pytest.raises(ConfigError, match="'usr' of log, mapped to user_id"):
        resolve({"user_id": "usr"}, "events", FOUND, "log")


def test_a_table_reads_its_own_mapping_only() -> None:
    mapping = {"item_id": "sku", "items.item_id": "id"}
    assert resolve(mapping, "items", ["id"], "x").columns == {"item_id": "id"}


@pytest.mark.parametrize("name", ["usr", "items.kind", "shops.item_id", "ingested_at"])
def test_a_mapping_of_an_unknown_column_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="Its columns are"):
        check_mapping({name: "x"})


@pytest.mark.parametrize("option", ["user_id", "=x", "user_id=", "kind==", "a=b,,c=d"])
def test_a_malformed_option_is_refused(option: str) -> None:
    with pytest.raises(ConfigError, match="column=source_column"):
        parse_mapping([option])


def test_a_column_that_stands_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="twice"):
        resolve({}, "items", ["item_id", "title", "title"], "x")


def test_a_column_that_only_later_json_lines_have_is_read(tmp_path: Path) -> None:
    row = {"user_id": "u", "item_id": "i", "kind": "click", "ts": 1}
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps({**row, **more}) + "\n" for more in ({}, {"value": 2.5})))
    first = tmp_path / "first.jsonl"
    first.write_text(json.dumps(row) + "\n")  # as if the sample had ended here
    for file in (path, first):
        (source,), _ = understand([str(file)], {}, "events")
        assert source.mapping.columns["value"] == "value"
    assert "created_at" not in understand([str(first)], {}, "items")[0][0].mapping.columns, (
        "the unit of its times is not known"
    )
