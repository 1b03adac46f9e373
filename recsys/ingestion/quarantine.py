"""Rows that break the schema: kept with their reason and their place in the source."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recsys.ingestion.raw import RawBatch

QUARANTINE = pa.schema(
    [
        pa.field("table", pa.string(), nullable=False),  # events, items or users
        pa.field("reason", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("position", pa.int64(), nullable=False),  # row number; byte offset in JSON Lines
        pa.field("raw", pa.string(), nullable=False),  # the row as JSON, or the broken line
    ]
)
MALFORMED = "malformed_row"


class Verdicts:
    """For each of T rows, the first reason why it is bad."""

    def __init__(self, n_rows: int) -> None:
        self._reasons: list[str] = [""]
        self._code = np.zeros(n_rows, np.int16)

    def mark(self, bad: npt.NDArray[np.bool_], reason: str) -> None:
        """Give a reason to those of the rows (T,) that have none yet."""
        fresh = bad & (self._code == 0)
        if fresh.any():
            self._reasons.append(reason)
            self._code[fresh] = len(self._reasons) - 1

    @property
    def sound(self) -> npt.NDArray[np.bool_]:
        """(T,) rows without a reason."""
        return np.asarray(self._code == 0)

    def quarantine(self, raw: RawBatch, table: str, source: str) -> pa.Table:
        """The bad rows and the malformed lines of a batch, schema ``QUARANTINE``."""
        index = np.flatnonzero(self._code)
        rows = _plain_rows(raw.table.take(index)) if len(index) else []
        rows = rows or [{}] * len(index)  # of a batch that has none of the columns wanted
        reasons = [self._reasons[c] for c in self._code[index]] + [MALFORMED] * len(raw.malformed)
        positions = [*raw.positions[index].tolist(), *(p for p, _ in raw.malformed)]
        texts = [as_json(row) for row in rows] + [text for _, text in raw.malformed]
        return quarantined(table, source, reasons, positions, texts)


def _plain_rows(table: pa.Table) -> list[dict[str, Any]]:
    """Rows as Python values; times as text, since Python's own cannot hold all of Arrow's."""
    for i, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type) or pa.types.is_date(field.type):
            stamps = table.column(i)
            if pa.types.is_timestamp(field.type):
                stamps = pc.cast(stamps, pa.timestamp(field.type.unit))  # UTC; zones may be unknown
            table = table.set_column(i, field.name, pc.cast(stamps, pa.string()))
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def quarantined(
    table: str, source: str, reasons: Sequence[str], positions: Sequence[int], texts: Sequence[str]
) -> pa.Table:
    """Rows of the quarantine, all from one source."""
    n = len(reasons)
    columns = [[table] * n, reasons, [source] * n, positions, texts]
    arrays = [pa.array(c, f.type) for c, f in zip(columns, QUARANTINE, strict=True)]
    return pa.Table.from_arrays(arrays, schema=QUARANTINE)


def as_json(row: dict[str, Any]) -> str:
    """A raw row as JSON; bytes and times as text, NaN as ``NaN``."""
    return json.dumps(row, default=_plain, ensure_ascii=False)


def _plain(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def count_reasons(table: pa.Table) -> Counter[str]:
    """Rows by reason."""
    return Counter(table["reason"].to_pylist())
