"""Events as rows of a table, and rows as the table that a tail is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa

from recsys.ledger.base import TAIL
from recsys.schema import EVENTS, Event, microseconds

COLUMNS = EVENTS.names  # also the order of an ``Event``
CHUNK_ROWS = 16_384

Row = Sequence[Any]


def row_of(partition: int, event: Event, seq: int) -> tuple[Any, ...]:
    """Partition and columns of ``EVENTS``, as they are stored."""
    times = (microseconds(event.ts), seq, microseconds(event.ingested_at))
    return (partition, *event[:5], *times, *event[8:])


def table_of(fetch: Callable[[int], Sequence[Row]]) -> pa.Table:
    """A tail.

    Args:
        fetch: gives the next rows, at most so many, with ``COLUMNS``; none at the end. One chunk
            of them is held at a time.
    """
    batches = []
    while len(rows := fetch(CHUNK_ROWS)) > 0:
        columns = list(zip(*rows, strict=True))
        columns.append(columns[COLUMNS.index("seq")])
        arrays = [pa.array(c, type=f.type) for c, f in zip(columns, TAIL, strict=True)]
        batches.append(pa.RecordBatch.from_arrays(arrays, schema=TAIL))
    return pa.Table.from_batches(batches, schema=TAIL)
