"""The two stages of ingest, as plain functions that any machine may run on its part.

    split  -> validate -> one scratch file, its rows grouped by bucket      (shuffle_split)
    bucket -> all scratch files' rows of it -> dedupe -> archive files      (settle_buckets)

A bucket is a part of one partition: ``bucket = partition * n_sub + crc32(user) % n_sub``; ``n_sub``
grows with the log, so that a bucket always fits in memory. All rows of a user share a bucket.

Scratch file: (R + 1) int64 offsets, then one Arrow IPC stream per bucket; so a run of buckets is
one contiguous range of bytes.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recsys.archive import Archive
from recsys.ingestion.mapping import ColumnMap
from recsys.ingestion.quarantine import QUARANTINE, as_json, count_reasons, quarantined
from recsys.ingestion.reading import read_split
from recsys.ingestion.sources import Split
from recsys.ingestion.validate import Rules, validate_events
from recsys.record import event_keys, first_of_each, known_events
from recsys.rights.erasures import Erasures
from recsys.rights.quarantined import without
from recsys.schema import EVENTS, partition_of
from recsys.settings import DataSettings
from recsys.store import Store

FLUSH_BYTES = 48 << 20
"""Bytes of canonical events that a task gathers before it writes a scratch file."""
SCRATCH = pa.schema([*EVENTS, pa.field("file", pa.int32()), pa.field("position", pa.int64())])
IDS = ["tenant", "user_id", "event_id", "ts"]
_CONTENT = ("item_id", "kind", "ts", "value")


@dataclass(frozen=True)
class Run:
    """What all tasks of one ingest share."""

    store: Store
    folder: str
    """Where the scratch files lie in the store."""
    tenant: str
    now: float
    settings: DataSettings
    n_sub: int
    """Buckets per partition."""
    erasures: Erasures
    """Whose old events are dropped: quarantine would keep them."""

    @property
    def n_buckets(self) -> int:
        """``R``: buckets of all partitions."""
        return self.settings.n_partitions * self.n_sub


def shuffle_split(run: Run, task: Mapping[str, Any]) -> dict[str, Any]:
    """Read, validate and bucket one split.

    Args:
        run: the ingest.
        task: ``split``, ``columns`` and ``constants`` of the mapping, ``time_units``, and
            ``file``, the number of the source.

    Returns:
        ``n_rows``, ``n_erased`` (bad ones of erased users, which are not kept), ``reasons``
        {reason: rows}, ``quarantine`` {path: rows}, ``scratch`` [path],
        ``buckets`` (R,) rows, ``n_bytes`` of all rows in memory, ``max_ts`` int64 microseconds.
    """
    split = Split.from_json(task["split"])
    mapping = ColumnMap(task["columns"], task["constants"])
    rules = Rules(run.settings, run.tenant, run.now, task["time_units"])
    held: list[pa.Table] = []
    bad: list[pa.Table] = []
    writer = _Scratch(run)
    for raw in read_split(split, list(mapping.columns.values())):
        checked = validate_events(raw, mapping, rules, split.file.path)
        file = pa.array(np.full(len(checked.positions), task["file"], np.int32))
        places = pa.array(checked.positions)
        held.append(checked.sound.append_column("file", file).append_column("position", places))
        bad.append(checked.quarantine)
        if sum(t.nbytes for t in held) >= FLUSH_BYTES:
            writer.write(held)
            held = []
    writer.write(held)
    found = pa.concat_tables([QUARANTINE.empty_table(), *bad])
    quarantine = without(found, lambda user_id: run.erasures.of(user_id) is not None)
    return {
        "n_rows": int(writer.buckets.sum()) + len(found),
        "n_erased": len(found) - len(quarantine),
        "reasons": dict(count_reasons(quarantine)),
        "quarantine": put_quarantine(run.store, quarantine),
        "scratch": writer.paths,
        "buckets": writer.buckets.tolist(),
        "n_bytes": writer.n_bytes,
        "max_ts": writer.max_ts,
    }


def put_quarantine(store: Store, table: pa.Table) -> dict[str, int]:
    """Keep bad rows: ``{path: rows}``, empty if there are none."""
    if len(table) == 0:
        return {}
    return {store.write_table("quarantine", table)[0]: len(table)}


class _Scratch:
    """Writes the scratch files of one split."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.paths: list[str] = []
        self.buckets = np.zeros(run.n_buckets, np.int64)
        self.n_bytes = 0
        self.max_ts = 0

    def write(self, held: list[pa.Table]) -> None:
        table = pa.concat_tables([SCRATCH.empty_table(), *(t.cast(SCRATCH) for t in held)])
        if len(table) == 0:
            return
        self.n_bytes += table.nbytes
        self.max_ts = max(self.max_ts, pc.max(pc.cast(table["ts"], pa.int64())).as_py())
        bucket = _buckets(self.run, table["user_id"])
        counts = np.bincount(bucket, minlength=self.run.n_buckets)
        self.buckets += counts
        ordered = table.take(np.argsort(bucket, kind="stable")).combine_chunks()
        ends = np.cumsum(counts)
        sink = pa.BufferOutputStream()
        offsets = np.empty(len(counts) + 1, np.int64)
        sink.write(offsets.tobytes())
        for b, (end, count) in enumerate(zip(ends.tolist(), counts.tolist(), strict=True)):
            offsets[b] = sink.tell()
            if count:
                _write_stream(sink, ordered.slice(end - count, count))
        offsets[-1] = sink.tell()
        data = sink.getvalue().to_pybytes()[offsets.nbytes :]
        self.paths.append(
            self.run.store.put_content(f"{self.run.folder}/rows", offsets.tobytes() + data, ".bin")
        )


def _write_stream(sink: Any, table: pa.Table) -> None:
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.ipc.new_stream(sink, table.schema, options=options) as stream:
        stream.write_table(table)


def _buckets(run: Run, users: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    coded = users.combine_chunks().dictionary_encode()
    n_partitions, n_sub = run.settings.n_partitions, run.n_sub
    of_user = [
        partition_of(run.tenant, user, n_partitions) * n_sub + zlib.crc32(user.encode()) % n_sub
        for user in coded.dictionary.to_pylist()
    ]
    codes: npt.NDArray[np.int32] = coded.indices.to_numpy()
    return np.array(of_user, np.int64)[codes]


def settle_buckets(run: Run, task: Mapping[str, Any]) -> dict[str, Any]:
    """Dedupe a run of buckets against itself, the archive and the ledger; write archive files.

    Args:
        run: the ingest.
        task: ``first`` and ``last`` (exclusive) bucket; ``index``, path of the JSON that lists
            scratch files and sources; ``manifest_id`` or None; ``tails`` {partition: path of the
            ids in the ledger}; ``ids_from``: microseconds from which ids are reported.

    Returns:
        ``files`` {partition: [DataFile as dict]}, ``n_duplicates``, ``n_erased`` (dropped),
        ``reasons``, ``quarantine``, ``ids`` {partition: [path]}: files of the ids of all its
        events since ``ids_from``.
    """
    index = json.loads(run.store.read(task["index"]))
    archive = Archive(run.store)
    manifest = archive.at(task["manifest_id"]) if task["manifest_id"] is not None else None
    files: dict[str, list[dict[str, Any]]] = {}
    ids: dict[str, list[str]] = {}
    bad = [QUARANTINE.empty_table()]
    n_duplicates, n_erased = 0, 0
    for bucket, found in _rows_of(run, index["scratch"], task["first"], task["last"]):
        rows = run.erasures.kept(found)
        n_erased += len(found) - len(rows)
        partition, keys = bucket // run.n_sub, event_keys(rows)
        name = str(partition)
        first = first_of_each(keys)
        conflicts = _conflicts(rows, keys, first, index["sources"])
        table, keys = rows.take(first), keys.take(first)
        young = table.filter(pc.greater_equal(pc.cast(table["ts"], pa.int64()), task["ids_from"]))
        if len(young):
            path, _, _ = run.store.write_table(f"{run.folder}/ids", young.select(IDS))
            ids.setdefault(name, []).append(path)
        known = [pa.array([], pa.large_string())]
        if manifest is not None:
            known.append(known_events(archive, manifest, partition, keys))
        if name in task["tails"]:
            known += event_keys(run.store.read_table(task["tails"][name])).chunks
        new = table.filter(pc.invert(pc.is_in(keys, value_set=pa.concat_arrays(known))))
        if len(new):
            files.setdefault(name, []).append(asdict(archive.write_events(partition, new)))
        n_duplicates += len(rows) - len(new) - len(conflicts)
        bad.append(conflicts)
    quarantine = pa.concat_tables(bad)
    return {
        "files": files,
        "ids": ids,
        "n_duplicates": n_duplicates,
        "n_erased": n_erased,
        "reasons": dict(count_reasons(quarantine)),
        "quarantine": put_quarantine(run.store, quarantine),
    }


def _rows_of(run: Run, scratch: list[str], first: int, last: int) -> Iterator[tuple[int, pa.Table]]:
    """Each bucket of a range with all its rows, in the order of the source."""
    parts: list[tuple[npt.NDArray[np.int64], bytes]] = []
    for path in scratch:
        head = run.store.read_range(path, first * 8, (last - first + 1) * 8)
        offsets = np.frombuffer(head, np.int64)
        data = run.store.read_range(path, int(offsets[0]), int(offsets[-1] - offsets[0]))
        parts.append((offsets - offsets[0], data))
    for b in range(last - first):
        tables = [SCRATCH.empty_table()]
        for offsets, data in parts:
            piece = memoryview(data)[offsets[b] : offsets[b + 1]]
            if len(piece):
                tables.append(pa.ipc.open_stream(pa.py_buffer(piece)).read_all())
        table = pa.concat_tables(tables)
        if len(table):
            yield first + b, table


def _conflicts(
    table: pa.Table,
    keys: pa.ChunkedArray,
    first: npt.NDArray[np.int64],
    sources: list[str],
) -> pa.Table:
    """Quarantine of rows that repeat an id with other content; equal rows are mere duplicates."""
    if len(first) == len(table):
        return QUARANTINE.empty_table()
    codes = keys.combine_chunks().dictionary_encode().indices.to_numpy()
    original = table.take(first[codes])
    differs = np.zeros(len(table), np.bool_)
    for name in _CONTENT:
        a, b = table[name], original[name]
        same = pc.or_(pc.fill_null(pc.equal(a, b), False), pc.and_(pc.is_null(a), pc.is_null(b)))
        differs |= ~same.to_numpy(zero_copy_only=False)
    out = [QUARANTINE.empty_table()]
    rows = table.filter(pa.array(differs))
    for file in pc.unique(rows["file"]).to_pylist():
        own = rows.filter(pc.equal(rows["file"], file))
        texts = [as_json(row) for row in own.select(EVENTS.names).drop("ingested_at").to_pylist()]
        places = own["position"].to_pylist()
        out.append(quarantined("events", sources[file], ["duplicate_id"] * len(own), places, texts))
    return pa.concat_tables(out)
