from __future__ import annotations

import gzip
import json
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.errors import ConfigError, DataError, NotFoundError
from recsys.ingestion import reading
from recsys.ingestion.raw import RawBatch
from recsys.ingestion.reading import first_rows, plan_splits, read_split
from recsys.ingestion.sources import SourceFile, Split, find_files


def file_at(path: Path) -> SourceFile:
    return find_files([str(path)])[0][0]


def everything(file: SourceFile, n_bytes: int = 1 << 20) -> list[RawBatch]:
    return [b for s in plan_splits(file) for b in read_split(s, None, n_bytes=n_bytes)]


def rows(batches: list[RawBatch]) -> list[dict[str, object]]:
    return [row for b in batches for row in b.table.to_pylist()]


def test_folders_globs_and_hive_partitions_are_found_in_a_stable_order(tmp_path: Path) -> None:
    for day in ("b", "a"):
        folder = tmp_path / "log" / f"day={day}" / "kind=a%20b"
        folder.mkdir(parents=True)
        pq.write_table(pa.table({"x": [1]}), folder / "part.parquet")
        (folder / "_SUCCESS").touch()
    (tmp_path / "log" / "README.txt").write_text("hello")
    files, skipped = find_files([str(tmp_path / "log")])
    assert [f.constants for f in files] == [
        {"day": "a", "kind": "a b"},
        {"day": "b", "kind": "a b"},
    ]
    assert [Path(s).name for s in skipped] == ["README.txt"]
    assert rows(everything(files[0])) == [{"x": 1, "day": "a", "kind": "a b"}]
    assert len(find_files([str(tmp_path / "log" / "*" / "*" / "*.parquet")])[0]) == 2
    assert len(find_files([f"file://{tmp_path}/log"])[0]) == 2


def test_what_cannot_be_a_source_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").touch()
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(NotFoundError, match="absent"):
        find_files([str(tmp_path / "absent")])
    with pytest.raises(NotFoundError, match="holds no file"):
        find_files([str(tmp_path / "*.parquet")])
    with pytest.raises(DataError, match=r"empty\.csv: is empty"):
        find_files([str(tmp_path / "empty.csv")])
    with pytest.raises(ConfigError, match=r"no known format. Known are \.parquet"):
        find_files([str(tmp_path / "notes.txt")])


def test_a_half_written_parquet_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"x": list(range(10_000))}), path)
    path.write_bytes(path.read_bytes()[:2_000])
    with pytest.raises(DataError, match="half-written"):
        plan_splits(file_at(path))
    with pytest.raises(DataError, match=r"x\.parquet"):
        first_rows(file_at(path))


def test_parquet_is_cut_by_rows_and_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "SPLIT_ROWS", 300)
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"x": np.arange(2_500)}), path, row_group_size=1_000)
    splits = plan_splits(file_at(path))
    assert [(s.start, s.stop) for s in splits][:5] == [
        (0, 300),
        (300, 600),
        (600, 900),
        (900, 1_000),
        (1_000, 1_300),
    ]
    batches = [b for s in splits for b in read_split(s, ["x"], n_rows=128)]
    got = np.concatenate([b.table["x"].to_numpy() for b in batches])
    assert got.tolist() == list(range(2_500))
    assert np.concatenate([b.positions for b in batches]).tolist() == list(range(2_500))


def test_small_row_groups_share_a_split(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"x": np.arange(1_000)}), path, row_group_size=10)
    (split,) = plan_splits(file_at(path))
    assert Split.from_json(json.loads(json.dumps(asdict(split)))) == split
    assert len(rows(list(read_split(split, None)))) == 1_000


def test_parquet_without_rows_still_has_columns(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"x": pa.array([], pa.int64())}), path)
    assert plan_splits(file_at(path)) == []
    assert first_rows(file_at(path)).column_names == ["x"]


def test_every_line_is_read_once_wherever_json_lines_are_cut(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    lines = [json.dumps({"x": i, "pad": "é" * (i % 7)}) for i in range(60)]
    path.write_text("\n\n".join(lines))  # no newline at the end, blank lines between
    file = file_at(path)
    for cut in (1, 7, 50, 333, 10_000):
        edges = [*range(0, file.n_bytes, cut), file.n_bytes]
        splits = [Split(file, a, b, 0) for a, b in pairwise(edges)]
        batches = [b for s in splits for b in read_split(s, None, n_bytes=40)]
        assert [r["x"] for r in rows(batches)] == list(range(60))
        places = np.concatenate([b.positions for b in batches])
        data = path.read_bytes()
        assert all(data[p:].startswith(b'{"x": %d,' % i) for i, p in enumerate(places))


def test_broken_lines_and_mixed_types_do_not_stop_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('{"x": 1, "y": "a"}\n{broken\n{"x": "two", "y": {"z": 1}}\n[1]\n{"x": null}\n')
    (batch,) = everything(file_at(path))
    assert batch.table["x"].to_pylist() == ["1", "two", None]
    assert [text for _, text in batch.malformed] == ["{broken", "[1]"]
    assert batch.malformed[0][0] == 19


def test_text_that_looks_like_a_time_stays_text(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"text": "2024-01-01"}\n')
    assert rows(everything(file_at(path))) == [{"text": "2024-01-01"}]


def test_a_json_array_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('[{"x": 1}]')
    with pytest.raises(DataError, match="jq -c"):
        everything(file_at(path))


def test_csv_keeps_text_and_reports_broken_rows(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text('x,text\n007,"two\nlines"\n1,2,3\nNA,\n')
    batches = everything(file_at(path))
    assert rows(batches) == [{"x": b"007", "text": b"two\nlines"}, {"x": b"NA", "text": None}]
    assert next(m for b in batches for m in b.malformed)[1] == "1,2,3"


def test_compressed_text_is_one_split(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"x": 1}\n{"x": 2}\n'))
    (split,) = plan_splits(file_at(path))
    assert rows(list(read_split(split, ["x"]))) == [{"x": 1}, {"x": 2}]
    table = tmp_path / "y.tsv.gz"
    table.write_bytes(gzip.compress(b"x\ty\n1\t2\n"))
    assert rows(everything(file_at(table))) == [{"x": b"1", "y": b"2"}]


def test_a_csv_of_only_a_header_has_columns_and_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("x,y\n")
    assert rows(everything(file_at(path))) == []
    assert first_rows(file_at(path)).column_names == ["x", "y"]


def test_whole_numbers_beyond_int64_keep_their_digits(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"user_id": 12345678901234567890}\n{"user_id": 12345678901234567891}\n')
    users = [row["user_id"] for row in rows(everything(file_at(path)))]
    assert users == ["12345678901234567890", "12345678901234567891"]


@pytest.mark.parametrize(
    "line",
    [
        pytest.param('{"x": "\\ud800"}', id="half a surrogate pair"),
        pytest.param('{"\\udc00": 1}', id="such a name"),
        pytest.param('{"a":' * 20_000 + "1" + "}" * 20_000, id="too deep for Arrow"),
    ],
)
def test_a_line_that_no_table_can_hold_is_malformed(tmp_path: Path, line: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"x": "good"}\n' + line + "\n")
    (batch,) = everything(file_at(path))
    assert batch.table.to_pylist() == [{"x": "good"}]
    assert [text for _, text in batch.malformed] == [line]


def test_lines_that_name_no_column_at_all_are_malformed(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text("{}\n\n{}\n")
    (batch,) = everything(file_at(path))
    assert len(batch.table) == len(batch.positions) == 0
    assert batch.malformed == [(0, "{}"), (4, "{}")]
