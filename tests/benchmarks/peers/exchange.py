"""The folder that stands between the two environments; read and written with pyarrow alone.

    events.parquet    user_id, item_id (null = not in the catalog), ts, seq, kind, value, positive,
                      touches (it makes an item known to the user), train, pilot; users side by
                      side, each in the order of (ts, seq)
    items.parquet     item_id, candidate_from, candidate_until (Unix seconds; a candidate at t where
                      from <= t < until)
    vectors.npy       (N, E) float32 text vectors of the items, where there are some
    split.json        name, start, validation_start (Unix seconds; null for leave-one-out)
    queries.parquet   query, user_id, ts, history_end: how many of the user's events, in order, are
                      known at the query; targets.parquet: query, item_id
    validation_queries.parquet, validation_targets.parquet: the same before the split
    recs_S.parquet    the answer of system S: query, item_id, score, rank from 1
    recs_S.json       what was chosen on the validation tail, seconds, events per second

Models learn from the events with ``train``, and are chosen by those with ``pilot`` on the
validation queries. The history of a query is rolling: it holds events that no model learned from.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

EVENTS, ITEMS, VECTORS, SPLIT = "events.parquet", "items.parquet", "vectors.npy", "split.json"
TEST, VALIDATION = "", "validation_"
"""What the names of the queries' files begin with."""

N_RANKED = 200
"""Items in the answer to a query."""

Ints = npt.NDArray[np.int64]
Times = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Log:
    """T events of U users, side by side, each user's in order; N items."""

    user_ids: list[str]
    item_ids: list[str]
    bounds: Ints
    """(U + 1,) offsets of each user's events."""
    user: Ints
    """(T,) index into ``user_ids``."""
    item: Ints
    """(T,) index into ``item_ids``; -1 = not in the catalog."""
    ts: Times
    """(T,) Unix seconds."""
    value: Times
    """(T,) ratings; NaN where there is none."""
    positive: Bools
    """(T,) right answers."""
    touches: Bools
    """(T,) events that make the item known to the user."""
    train: Bools
    """(T,) what a model may learn from."""
    pilot: Bools
    """(T,) what it may learn from while it is chosen."""
    candidate_from: Times
    """(N,) Unix seconds."""
    candidate_until: Times
    """(N,) Unix seconds."""


@dataclass(frozen=True)
class Asked:
    """Q queries with M right answers."""

    user: Ints
    """(Q,) index into ``Log.user_ids``."""
    ts: Times
    """(Q,) Unix seconds."""
    end: Ints
    """(Q,) offset into the events: the history is ``bounds[user]:end``."""
    target_bounds: Ints
    """(Q + 1,) offsets into ``target``."""
    target: Ints
    """(M,) index into ``item_ids``."""

    def __len__(self) -> int:
        return len(self.user)


def write_log(folder: Path, log: Log, kind: npt.NDArray[np.object_]) -> None:
    """Write ``events.parquet`` and ``items.parquet``; ``kind`` (T,) is for the reader's eyes."""
    place = np.arange(len(log.ts)) - np.repeat(log.bounds[:-1], np.diff(log.bounds))
    columns = {
        "user_id": _named(log.user, log.user_ids),
        "item_id": _named(log.item, log.item_ids),
        "ts": log.ts,
        "seq": place,
        "kind": pa.array(kind, pa.string()),
        "value": pa.array(log.value, from_pandas=True),
    }
    flags = {name: getattr(log, name) for name in ("positive", "touches", "train", "pilot")}
    pq.write_table(pa.table({**columns, **flags}), folder / EVENTS)
    items = {
        "item_id": pa.array(log.item_ids, pa.string()),
        "candidate_from": log.candidate_from,
        "candidate_until": log.candidate_until,
    }
    pq.write_table(pa.table(items), folder / ITEMS)


def read_log(folder: Path) -> Log:
    """The inverse of ``write_log``."""
    items = pq.read_table(folder / ITEMS)
    events = pq.read_table(folder / EVENTS)
    item_ids = items["item_id"].to_pylist()
    user_ids, user = _indexed(events["user_id"])
    row_of = {item_id: row for row, item_id in enumerate(item_ids)}
    named, local = _indexed(events["item_id"])
    rows = np.array([*(row_of[item_id] for item_id in named), -1], np.int64)
    flags = {name: _numpy(events[name]) for name in ("positive", "touches", "train", "pilot")}
    return Log(
        user_ids=user_ids,
        item_ids=item_ids,
        bounds=np.searchsorted(user, np.arange(len(user_ids) + 1)).astype(np.int64),
        user=user,
        item=rows[local],
        ts=_numpy(events["ts"]),
        value=np.asarray(_numpy(events["value"]), np.float64),
        candidate_from=_numpy(items["candidate_from"]),
        candidate_until=_numpy(items["candidate_until"]),
        **flags,
    )


def write_asked(folder: Path, phase: str, asked: Asked, log: Log) -> None:
    """Write the queries of a phase (``TEST``, ``VALIDATION``) and their right answers."""
    number = np.arange(len(asked))
    queries = {
        "query": number,
        "user_id": _named(asked.user, log.user_ids),
        "ts": asked.ts,
        "history_end": asked.end - log.bounds[asked.user],
    }
    pq.write_table(pa.table(queries), folder / f"{phase}queries.parquet")
    targets = {
        "query": np.repeat(number, np.diff(asked.target_bounds)),
        "item_id": _named(asked.target, log.item_ids),
    }
    pq.write_table(pa.table(targets), folder / f"{phase}targets.parquet")


def read_asked(folder: Path, phase: str, log: Log) -> Asked:
    """The inverse of ``write_asked``."""
    queries = pq.read_table(folder / f"{phase}queries.parquet")
    targets = pq.read_table(folder / f"{phase}targets.parquet")
    row_of_user = {user_id: row for row, user_id in enumerate(log.user_ids)}
    user = np.array([row_of_user[u] for u in queries["user_id"].to_pylist()], np.int64)
    of_query = _numpy(targets["query"])
    return Asked(
        user=user,
        ts=_numpy(queries["ts"]),
        end=log.bounds[user] + _numpy(queries["history_end"]),
        target_bounds=np.searchsorted(of_query, np.arange(len(user) + 1)).astype(np.int64),
        target=item_rows(targets["item_id"], log),
    )


def write_answer(
    folder: Path, system: str, answer: tuple[Ints, Floats], log: Log, notes: dict[str, Any]
) -> None:
    """Write what a system answers.

    Args:
        folder: where.
        system: name.
        answer: (Q, n) rows of the catalog, best first, -1 = an empty place, and their scores.
        log: whose items.
        notes: JSON-ready: what was chosen, seconds.
    """
    rows, scores = answer
    query, place = np.nonzero(rows >= 0)
    columns = {
        "query": query,
        "item_id": _named(rows[query, place], log.item_ids),
        "score": scores[query, place].astype(np.float32),
        "rank": (place + 1).astype(np.int32),
    }
    pq.write_table(pa.table(columns), folder / f"recs_{system}.parquet")
    text = json.dumps({"system": system, **notes}, indent=1, sort_keys=True)
    (folder / f"recs_{system}.json").write_text(text + "\n", encoding="utf-8")


def read_answer(folder: Path, system: str, log: Log, n_queries: int) -> Ints:
    """(n_queries, ``N_RANKED``) rows of the catalog, best first; -1 = an empty place."""
    table = pq.read_table(folder / f"recs_{system}.parquet")
    rows = np.full((n_queries, N_RANKED), -1, np.int64)
    rows[_numpy(table["query"]), _numpy(table["rank"]) - 1] = item_rows(table["item_id"], log)
    return rows


def read_notes(folder: Path, system: str) -> dict[str, Any]:
    """The notes of ``write_answer``."""
    found: dict[str, Any] = json.loads((folder / f"recs_{system}.json").read_text(encoding="utf-8"))
    return found


def item_rows(column: pa.ChunkedArray, log: Log) -> Ints:
    """Catalog rows of ids that all stand in it."""
    named, local = _indexed(column)
    row_of = {item_id: row for row, item_id in enumerate(log.item_ids)}
    return np.array([row_of[item_id] for item_id in named], np.int64)[local]


def _named(rows: Ints, names: list[str]) -> pa.Array:
    """Names of rows, null for negative ones, as a dictionary column."""
    index = pa.array(rows, pa.int32(), mask=rows < 0)
    return pa.DictionaryArray.from_arrays(index, pa.array(names, pa.string())).cast(pa.string())


def _indexed(column: pa.ChunkedArray) -> tuple[list[str], Ints]:
    """Distinct values in order of first appearance, and indices into them (-1 = null)."""
    encoded = column.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    index = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return encoded.dictionary.to_pylist(), np.asarray(index, np.int64)


def _numpy(column: pa.ChunkedArray) -> Any:
    return column.to_numpy()
