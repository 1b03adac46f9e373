from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipelines import train_files
from pipelines.train_files import Chunk, Place, ReadRows, place_of, stage
from pipelines.train_stream import Epochs
from recsys.store import Store
from recsys.training.sequences import USER_ROWS

FIRST = Place("pilot", 0, 0, 3)


def rows(sizes: list[int]) -> pa.Table:
    zeros = pa.ListArray.from_arrays(np.cumsum([0, *sizes]), np.zeros(sum(sizes), np.int32))
    names = pa.array([f"u{i}" for i in range(len(sizes))])
    plain = pa.array([0] * len(sizes))
    kinds = [field.type for field in list(USER_ROWS)[1:]]
    columns = [(zeros if pa.types.is_list(kind) else plain).cast(kind) for kind in kinds]
    return pa.Table.from_arrays([names, *columns], schema=USER_ROWS)


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ReadRows:
    monkeypatch.setattr(train_files, "CHUNK_EVENTS", 10)
    store = Store(str(tmp_path))
    paths = [chunk.path for chunk in stage(store, "rows", rows([4] * 12))]
    assert len(paths) == 5
    return ReadRows(store, "CURRENT", {"pilot": paths, "refit": paths}, 17, FIRST, 3, 2)


def read(reader: ReadRows, numbers: list[int]) -> pa.Table:
    return pa.concat_tables(reader({"id": np.array(numbers)}))


def test_rows_are_cut_into_files_and_every_event_is_counted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_files, "CHUNK_EVENTS", 10)
    table = rows([7, 7, 30, 1, 1, 4])
    chunks = list(stage(Store(str(tmp_path)), "rows", table))
    assert sum(chunk.n_events for chunk in chunks) == 50
    assert all(isinstance(chunk, Chunk) for chunk in chunks)
    assert list(stage(Store(str(tmp_path)), "rows", table.slice(0, 0))) == []


def test_an_epoch_has_every_row_once_in_an_order_of_its_own(reader: ReadRows) -> None:
    epochs = [read(reader, [2 * e, 2 * e + 1]) for e in range(3)]
    orders = [table["user_id"].to_pylist() for table in epochs]
    for number, (order, table) in enumerate(zip(orders, epochs, strict=True)):
        assert sorted(order) == sorted(f"u{i}" for i in range(12))
        assert set(table["epoch"].to_pylist()) == {number}
    assert orders[0] != orders[1]
    assert read(reader, [0, 1])["user_id"].to_pylist() == orders[0]


def test_a_restarted_stream_begins_where_training_stands(reader: ReadRows) -> None:
    progress = {"phase": "refit", "candidate": 0, "epoch": 1, "refit_epochs": 2}
    reader.store.swap_pointer("CURRENT", {"checkpoints": [{"progress": progress}]}, None)
    tables = list(reader({"id": np.arange(6)}))
    assert {epoch for table in tables for epoch in table["epoch"].to_pylist()} == {1}


def test_the_place_is_the_first_one_before_any_checkpoint() -> None:
    assert place_of(None, FIRST, 9) == FIRST
    assert place_of({"checkpoints": []}, FIRST, 9) == FIRST
    done = {"phase": "done", "candidate": 1, "epoch": 0, "refit_epochs": 4}
    assert place_of({"checkpoints": [{"progress": done}]}, FIRST, 9).phase == "done"


def test_epochs_are_told_apart_in_one_stream(reader: ReadRows) -> None:
    epochs = Epochs(reader({"id": np.arange(6)}))
    counts = [sum(len(table) for table in epochs.of(epoch)) for epoch in range(4)]
    assert counts == [12, 12, 12, 0]


def test_what_was_left_of_an_epoch_is_passed_over(reader: ReadRows) -> None:
    epochs = Epochs(reader({"id": np.arange(6)}))
    next(epochs.of(0))
    assert sum(len(table) for table in epochs.of(2)) == 12
