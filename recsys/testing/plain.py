"""A log without structure, only for measuring speed: it streams, at any length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recsys.datasets import canonical
from recsys.schema import EVENTS, TIMESTAMP
from recsys.settings import DAY_S

START = 1_704_067_200.0
"""Unix seconds at which every synthetic log begins: 1 January 2024."""

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PlainLog:
    """How long and how wide a plain log is."""

    n_events: int
    n_users: int
    n_items: int
    rows_per_file: int = 500_000
    """Rows of one Parquet file, and all that stands in memory at a time."""
    span_s: float = 365 * DAY_S
    """Time from the first event to the last."""
    kinds: tuple[str, ...] = ("view", "click", "purchase", "rating")
    """Kinds, drawn evenly; a rating has a value from 1 to 5."""


def plain_tables(log: PlainLog, rng: np.random.Generator) -> Iterator[pa.Table]:
    """The log in order of time, as canonical tables of ``rows_per_file`` rows."""
    for first in range(0, log.n_events, log.rows_per_file):
        n = min(log.rows_per_file, log.n_events - first)
        seq = np.arange(first, first + n)
        users = (log.n_users * rng.random(n) ** 1.5).astype(np.int64)
        items = (log.n_items * rng.random(n) ** 2).astype(np.int64)
        kinds = rng.integers(len(log.kinds), size=n)
        rated = kinds == (log.kinds.index("rating") if "rating" in log.kinds else -1)
        ts = times(START + log.span_s * (seq + rng.random(n)) / log.n_events)
        yield canonical(
            EVENTS,
            n,
            event_id=numbered("e", seq),
            user_id=numbered("u", users),
            item_id=numbered("i", items),
            kind=pa.DictionaryArray.from_arrays(kinds, list(log.kinds)).cast(pa.string()),
            ts=ts,
            seq=seq,
            ingested_at=ts,
            value=pa.array(rng.integers(1, 6, n).astype(np.float64), mask=~rated),
        )


def plain_log(log: PlainLog, folder: str | Path, rng: np.random.Generator) -> list[Path]:
    """Stream a plain log into ``part-00000.parquet``, ...; memory does not grow with its length."""
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, table in enumerate(plain_tables(log, rng)):
        paths.append(place / f"part-{number:05d}.parquet")
        pq.write_table(table, paths[-1])
    return paths


def times(seconds: Floats) -> pa.Array:
    """(T,) Unix seconds as a timestamp column."""
    return pa.array(np.round(seconds * 1e6).astype(np.int64)).cast(TIMESTAMP)


def numbered(prefix: str, numbers: Integers) -> pa.Array:
    """(T,) strings: the prefix and a number."""
    return pc.binary_join_element_wise(prefix, pa.array(numbers).cast(pa.string()), "")
