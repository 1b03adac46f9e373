"""Splits of raw files -> batches of raw columns, each row with its position in the source.

A row's position is its number in Parquet and CSV, and its byte offset in JSON Lines. Lines that
are no row at all (broken JSON, too many fields) come out as ``malformed``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from recsys.errors import DataError
from recsys.ingestion.jsonl import read_jsonl
from recsys.ingestion.raw import BATCH_BYTES, BATCH_ROWS, RawBatch
from recsys.ingestion.sources import SourceFile, Split, open_file, open_stream

SPLIT_ROWS = 250_000
SPLIT_BYTES = 64 << 20
_MAX_SPLITS_PER_GROUP = 8  # every split of a row group decodes the group again


def plan_splits(file: SourceFile) -> list[Split]:
    """Cut a file into splits of bounded size.

    Raises:
        DataError: if a Parquet file is damaged or half-written.
    """
    if file.format == "parquet":
        return _parquet_splits(file)
    if file.format == "jsonl" and not file.is_compressed:
        edges = [*range(0, file.n_bytes, SPLIT_BYTES), file.n_bytes]
        pairs = pairwise(edges)
        return [Split(file, a, b, b - a) for a, b in pairs]
    return [Split(file, 0, -1, file.n_bytes * (5 if file.is_compressed else 1))]


def _parquet_splits(file: SourceFile) -> list[Split]:
    splits = []
    with _reading(file), _parquet(file) as parquet:
        first = 0
        for group in range(parquet.num_row_groups):
            meta = parquet.metadata.row_group(group)
            row_bytes = max(1, meta.total_byte_size // max(1, meta.num_rows))
            n_rows = max(1, min(SPLIT_ROWS, SPLIT_BYTES // row_bytes))
            n_rows = max(n_rows, -(-meta.num_rows // _MAX_SPLITS_PER_GROUP))
            end = first + meta.num_rows
            for start in range(first, end, n_rows):
                stop = min(end, start + n_rows)
                splits.append(Split(file, start, stop, (stop - start) * row_bytes))
            first = end
    return _joined(splits)


def _joined(splits: list[Split]) -> list[Split]:
    """Put small neighbours together, so that many small row groups do not make many tasks."""
    out: list[Split] = []
    for s in splits:
        last = out[-1] if out else None
        if (
            last is not None
            and s.stop - last.start <= SPLIT_ROWS
            and last.n_bytes + s.n_bytes <= SPLIT_BYTES
        ):
            out[-1] = Split(s.file, last.start, s.stop, last.n_bytes + s.n_bytes)
        else:
            out.append(s)
    return out


def first_rows(file: SourceFile) -> pa.Table:
    """The first rows of a file with all columns: their names, and a sample of their values.

    Raises:
        DataError: if the file cannot be read.
    """
    split = Split(file, 0, BATCH_ROWS if file.format == "parquet" else BATCH_BYTES, 0)
    for batch in read_split(split, None, n_rows=1_000, n_bytes=1 << 20):
        return batch.table
    if file.format == "parquet":
        with _reading(file), _parquet(file) as parquet:
            return _with_constants(parquet.schema_arrow.empty_table(), file)
    with _reading(file):
        names = _csv_names(file) if file.format == "csv" else []
    return _with_constants(pa.table({n: pa.array([], pa.binary()) for n in names}), file)


def read_split(
    split: Split,
    columns: Sequence[str] | None,
    n_rows: int = BATCH_ROWS,
    n_bytes: int = BATCH_BYTES,
) -> Iterator[RawBatch]:
    """The rows of one split, in order.

    Args:
        split: what to read.
        columns: names wanted; those that the file lacks are left out. None = all.
        n_rows: rows per batch of Parquet.
        n_bytes: bytes per batch of text formats.

    Raises:
        DataError: if the file is damaged.
    """
    file = split.file
    with _reading(file):
        if file.format == "parquet":
            batches = _read_parquet(split, columns, n_rows)
        elif file.format == "csv":
            batches = _read_csv(file, n_bytes)
        else:
            batches = read_jsonl(split, n_bytes)
        for batch in batches:
            table = _with_constants(batch.table, file)
            if columns is not None:
                table = table.select([c for c in table.column_names if c in columns])
            yield RawBatch(table, batch.positions, batch.malformed)


def _with_constants(table: pa.Table, file: SourceFile) -> pa.Table:
    for name, value in file.constants.items():
        if name not in table.column_names:
            table = table.append_column(name, pa.repeat(pa.scalar(value), len(table)))
    return table


def _parquet(file: SourceFile) -> Any:
    return pq.ParquetFile(open_file(file.path), pre_buffer=False)


def _read_parquet(split: Split, columns: Sequence[str] | None, n_rows: int) -> Iterator[RawBatch]:
    with _parquet(split.file) as parquet:
        sizes = [parquet.metadata.row_group(g).num_rows for g in range(parquet.num_row_groups)]
        ends = np.cumsum([0, *sizes])
        touched = (ends[1:] > split.start) & (ends[:-1] < split.stop)
        groups = np.flatnonzero(touched).tolist()
        if not groups:
            return
        names = parquet.schema_arrow.names
        wanted = None if columns is None else [n for n in names if n in columns]
        row = int(ends[groups[0]])
        for batch in parquet.iter_batches(
            batch_size=n_rows, row_groups=groups, columns=wanted, use_threads=False
        ):
            first, last = max(row, split.start), min(row + len(batch), split.stop)
            if first < last:
                part = pa.table(batch.slice(first - row, last - first))
                yield RawBatch(part, np.arange(first, last, dtype=np.int64))
            row += len(batch)
            if row >= split.stop:
                return


def _read_csv(file: SourceFile, n_bytes: int) -> Iterator[RawBatch]:
    names = _csv_names(file)
    malformed: list[tuple[int, str]] = []

    def refuse(row: Any) -> str:
        malformed.append((-1 if row.number is None else row.number, row.text))
        return "skip"

    reader = pa_csv.open_csv(
        open_stream(file),
        pa_csv.ReadOptions(block_size=n_bytes, use_threads=False),
        _csv_format(file, refuse),
        pa_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.binary()),  # one odd row must not end the file
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            null_values=[""],
        ),
    )
    row = 0
    for batch in reader:
        lines, malformed[:] = list(malformed), []
        positions = np.arange(row, row + len(batch), dtype=np.int64)
        yield RawBatch(pa.table(batch), positions, lines)
        row += len(batch)
    if malformed:
        yield RawBatch(pa.table({}), np.empty(0, np.int64), malformed)


def _csv_names(file: SourceFile) -> list[str]:
    options = pa_csv.ReadOptions(block_size=1 << 20, use_threads=False)
    with pa_csv.open_csv(open_stream(file), options, _csv_format(file, lambda _: "skip")) as reader:
        return list(reader.schema.names)


def _csv_format(file: SourceFile, refuse: Callable[[Any], str]) -> Any:
    delimiter = "\t" if ".tsv" in file.path.lower() else ","
    return pa_csv.ParseOptions(
        delimiter=delimiter, newlines_in_values=True, invalid_row_handler=refuse
    )


@contextmanager
def _reading(file: SourceFile) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"source {file.path}",
            f"is no sound {file.format} file ({error})",
            "It may be half-written: copy or write it again",
        ) from error
