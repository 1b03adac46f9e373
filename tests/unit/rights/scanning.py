"""Looks for somebody in every file below some folders: in its bytes, and in what it decodes to."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


def found_in(folders: Iterable[Path], needles: Iterable[str]) -> dict[str, list[str]]:
    """Needle -> paths of the files that hold it."""
    files = sorted(p for folder in folders for p in folder.rglob("*") if p.is_file())
    wanted = list(needles)
    hits: dict[str, list[str]] = {needle: [] for needle in wanted}
    for path in files:
        try:
            texts = [path.read_bytes(), *(text.encode() for text in decoded(path))]
        except FileNotFoundError:  # whoever owns it was faster
            continue
        for needle in wanted:
            if any(needle.encode() in text for text in texts):
                hits[needle].append(str(path))
    return hits


def decoded(path: Path) -> Iterator[str]:
    """The content of a file of any format that the store or the ledger has."""
    if path.suffix == ".parquet":
        yield from _rows(pq.read_table(path))
    elif path.suffix == ".arrow":
        yield from _rows(pa.ipc.open_file(path.read_bytes()).read_all())
    elif path.suffix in {".db", ".spill"}:
        yield from _tables(path)
    elif path.suffix == ".bin":
        yield from _buckets(path.read_bytes())


def _rows(table: pa.Table) -> Iterator[str]:
    yield json.dumps(table.to_pylist(), default=str, ensure_ascii=False)


def _tables(path: Path) -> Iterator[str]:
    db = sqlite3.connect(path)
    names = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    for name in names:
        rows = db.execute(f"SELECT * FROM {name}").fetchall()
        yield json.dumps(rows, default=lambda value: value.decode("utf-8", "replace"))
    db.close()


def _buckets(data: bytes) -> Iterator[str]:
    n_offsets = int(np.frombuffer(data[:8], np.int64)[0]) // 8
    offsets = np.frombuffer(data[: 8 * n_offsets], np.int64)
    for first, last in pairwise(offsets):
        if last > first:
            yield from _rows(pa.ipc.open_stream(data[first:last]).read_all())
