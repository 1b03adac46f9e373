"""JSON Lines -> raw batches: fast where a block is sound, line by line where it is not."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pa_json

from recsys.errors import DataError
from recsys.ingestion.raw import RawBatch
from recsys.ingestion.sources import Split, open_file, open_stream

_MAX_BRACKETS = 500
"""Openings in one line; Arrow's parser overruns its stack at some ten thousand levels."""
_EXACT_BELOW = 2.0**53


def read_jsonl(split: Split, n_bytes: int) -> Iterator[RawBatch]:
    """The lines of a split, in order; a line belongs to the split that holds its first byte.

    Args:
        split: which bytes; ``stop`` = -1 reads to the end.
        n_bytes: bytes per batch, the last line's rest aside.

    Raises:
        DataError: if the file is one JSON array.
    """
    for offset, lines in _line_blocks(split, n_bytes):
        if offset == 0 and lines.lstrip()[:1] == b"[":
            raise DataError(
                f"source {split.file.path}",
                "is one JSON array, not JSON Lines",
                "Write one object per line, for example with: jq -c '.[]'",
            )
        yield _parse(offset, lines)


def _line_blocks(split: Split, n_bytes: int) -> Iterator[tuple[int, bytes]]:
    """Whole lines as ``(offset, bytes)``."""
    packed = split.file.is_compressed
    opened = open_stream(split.file) if packed else open_file(split.file.path)
    with io.BufferedReader(opened, 1 << 20) as stream:
        offset = split.start
        if offset > 0:
            stream.seek(offset - 1)
            offset += len(stream.readline()) - 1  # the line that runs in belongs to the one before
        while split.stop < 0 or offset < split.stop:
            n = n_bytes if split.stop < 0 else min(n_bytes, split.stop - offset)
            block = stream.read(n)
            if not block.endswith(b"\n"):
                block += stream.readline()
            if not block:
                return
            yield offset, block
            offset += len(block)


def _parse(offset: int, lines: bytes) -> RawBatch:
    raw = np.frombuffer(lines, np.uint8)
    starts = np.concatenate([[0], np.flatnonzero(raw == 10) + 1])
    lengths = np.diff(np.concatenate([starts, [len(lines) + 1]])) - 1
    starts = starts[lengths > 0]
    opened = np.flatnonzero((raw == ord("{")) | (raw == ord("[")))
    n_opened = np.diff(np.searchsorted(opened, np.append(starts, len(lines))))
    if n_opened.max(initial=0) > _MAX_BRACKETS:
        return _parse_slowly(offset, lines)
    try:
        table = pa_json.read_json(
            pa.BufferReader(lines),
            pa_json.ReadOptions(use_threads=False, block_size=len(lines) + 1),
        )
    except pa.ArrowInvalid:
        return _parse_slowly(offset, lines)
    stamped = any(pa.types.is_timestamp(f.type) for f in table.schema)  # text that looks like time
    rounded = any(_is_rounded(column) for column in table.columns)
    if len(table) != len(starts) or stamped or rounded or table.num_columns == 0:
        return _parse_slowly(offset, lines)
    return RawBatch(table, starts.astype(np.int64) + offset)


def _is_rounded(column: pa.ChunkedArray) -> bool:
    """Whether whole numbers may have lost digits: one beyond int64 makes the column floats."""
    if not pa.types.is_floating(column.type):
        return False
    return pc.any(pc.greater_equal(pc.abs(column), _EXACT_BELOW)).as_py() is True


def _parse_slowly(offset: int, lines: bytes) -> RawBatch:
    """Line by line, for blocks in which a line is broken or types change between lines."""
    rows: list[dict[str, Any]] = []
    positions: list[int] = []
    malformed: list[tuple[int, str]] = []
    place = offset
    for line in lines.split(b"\n"):
        try:
            if line.strip():
                rows.append(_object(line))
                positions.append(place)
        except (ValueError, RecursionError):
            malformed.append((place, line.decode("utf-8", "replace")))
        place += len(line) + 1
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: _column([row.get(name) for row in rows]) for name in names}
    return RawBatch(pa.table(columns), np.array(positions, np.int64), malformed)


def _object(line: bytes) -> dict[str, Any]:
    value = json.loads(line)
    if not isinstance(value, dict) or len(value) == 0:
        raise ValueError("no object, or an empty one")
    if b"\\u" in line:
        json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair is no text
    return value


def _column(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return pa.array(
            [v if v is None or isinstance(v, str) else json.dumps(v) for v in values], pa.string()
        )
