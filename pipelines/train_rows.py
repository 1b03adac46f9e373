"""What training reads: two passes over the record, then a stream of users' histories.

    survey   partition -> item ids, span and quantiles of its times      -> catalog, validation tail
    gather   partition -> what surrounds training, rows of users          -> staged files in the store
    stream   staged files in a new order each epoch (Ray Data)            -> training workers

A partition is one task, so memory is bounded by the largest partition; what workers receive is cut
into small blocks, whatever the log's size. All epochs are one stream: no epoch waits for a start.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import ray
import ray.data
from ray.data import ExecutionOptions, TaskPoolStrategy

from pipelines.job import Job, progress
from recsys.archive import Archive
from recsys.catalog import Catalog
from recsys.errors import ConflictError, DataError
from recsys.events import EventArrays, event_arrays, timestamps_s
from recsys.ledger import open_ledger
from recsys.record import read_record
from recsys.settings import Settings
from recsys.store import Store
from recsys.training.sequences import USER_ROWS, pack, questions, user_rows
from recsys.training.surroundings import Gathering

CHUNK_EVENTS = 1 << 16
"""Events in one staged file, about."""
BLOCK_BYTES = 1 << 20
"""Largest block that a worker receives, about."""
AHEAD_BYTES = 32 << 20
"""Of blocks that were read ahead of the workers."""
EPOCH_TASKS = 512
"""Most tasks of one epoch."""

_QUANTILES = 4_096
_ATTEMPTS = 10
_COLUMNS = ["user_id", "item_id", "kind", "ts", "seq", "value"]


@dataclass(frozen=True)
class Survey:
    """The record at a glance."""

    n_events: int
    data_until: float
    """Time of the latest event, Unix seconds."""
    tail_start: float | None
    """Where the validation tail begins; None where no time leaves events on both sides."""
    item_ids: frozenset[str]
    """Items that occur in events."""


class Chunk(NamedTuple):
    """A staged file of rows."""

    path: str
    n_events: int


@dataclass(frozen=True)
class Gathered:
    """What the second pass found."""

    whole: Gathering
    """Of all events."""
    pilot: Gathering
    """Of those before the validation tail."""
    chunks: Mapping[str, tuple[Chunk, ...]]
    """Staged rows: ``pilot`` and ``whole``."""
    validation: pa.Table
    """``USER_ROWS`` of users with questions in the tail."""
    n_validation: int
    """Questions in these rows, from the tail's start on."""


@dataclass(frozen=True)
class Basis:
    """What the second pass needs of the first."""

    item_index: Mapping[str, int]
    settings: Settings
    until: float
    tail_start: float | None
    prefix: str
    """Where rows are staged in the store."""


def survey(job: Job, until: float | None) -> Survey:
    """Read which items and times the record has.

    Raises:
        DataError: if it has no event.
    """
    n_partitions = Archive(job.store).n_partitions
    n_events, last, ids, samples = 0, -np.inf, set(), []
    for found in ordered("read the record", _survey, (job, until), range(n_partitions)):
        if found["n_events"] == 0:
            continue
        n_events += found["n_events"]
        last = max(last, found["last"])
        ids.update(found["item_ids"])
        samples.append((found["ts"], found["n_events"] / len(found["ts"])))
    if n_events == 0:
        raise DataError(
            f"store {job.store.uri}",
            f"holds no event of tenant {job.tenant}" + ("" if until is None else " before --until"),
            "Run `python -m pipelines.ingest --store ... --events ...` first",
        )
    share = 1.0 - job.settings.ranking.validation_share
    return Survey(n_events, float(last), _time_at_share(samples, share), frozenset(ids))


def gather(job: Job, basis: Basis) -> Gathered:
    """Count what surrounds training and stage the rows, one partition a task.

    Args:
        job: store, ledger, tenant, settings.
        basis: from the survey.
    """
    n_items = len(basis.item_index)
    whole, pilot = (Gathering(n_items, basis.settings) for _ in range(2))
    chunks: dict[str, list[Chunk]] = {"pilot": [], "whole": []}
    tail = _Tail(basis.settings.train.n_validation_queries, basis.settings.train.seed)
    n_partitions = Archive(job.store).n_partitions
    shared = (job, ray.put(basis))
    for found in ordered("gather", _gather, shared, range(n_partitions)):
        whole.merge(found["whole"])
        pilot.merge(found["pilot"])
        for name, more in found["chunks"].items():
            chunks[name] += [Chunk(*chunk) for chunk in more]
        tail.add(found["validation"], found["n_questions"])
    rows, n = tail.rows()
    return Gathered(whole, pilot, {k: tuple(v) for k, v in chunks.items()}, rows, n)


def stream(
    store: Store, chunks: Sequence[Chunk], seed: Sequence[int], epochs: range, n_workers: int
) -> ray.data.Dataset:
    """The rows of many epochs, one after another, with a column ``epoch``.

    Args:
        store: where the rows are staged.
        chunks: the files; not empty.
        seed: of the order of the files, with the epoch's number.
        epochs: numbers of the epochs.
        n_workers: that share the rows; a small log is still cut for all of them.
    """
    n_events = sum(chunk.n_events for chunk in chunks)
    n_tasks = min(len(chunks), EPOCH_TASKS, max(4 * n_workers, n_events // CHUNK_EVENTS))
    task = _ReadRows(store, [chunk.path for chunk in chunks], tuple(seed), epochs, n_tasks)
    ds = ray.data.range(len(epochs) * n_tasks, override_num_blocks=len(epochs) * n_tasks)
    ds.context.target_max_block_size = BLOCK_BYTES
    return ds.map_batches(task, batch_size=None, num_cpus=0, compute=TaskPoolStrategy(size=2))


class EvenSplit(ray.train.DataConfig):
    """Streams shared by the workers in a fixed order, and not a row left out."""

    def __init__(self) -> None:
        options = ExecutionOptions(preserve_order=True)
        options.resource_limits = options.resource_limits.copy(object_store_memory=AHEAD_BYTES)
        super().__init__(execution_options=options, enable_shard_locality=False)

    def configure(self, datasets: Any, world_size: int, *_: Any, **__: Any) -> Any:
        """One iterator per data set and worker."""
        output: list[dict[str, Any]] = [{} for _ in range(world_size)]
        for name, ds in datasets.items():
            ds = ds.copy(ds)
            ds.context.execution_options = self._resolve_execution_options(name)
            for rank, split in enumerate(ds.streaming_split(world_size, equal=False)):
                output[rank][name] = split
        return output


class Epochs:
    """Tables of a stream, epoch by epoch.

    Args:
        tables: with a column ``epoch`` that never falls; constant in each table.
    """

    def __init__(self, tables: Iterator[pa.Table]) -> None:
        self._tables = tables
        self._held: pa.Table | None = None

    def of(self, epoch: int) -> Iterator[pa.Table]:
        """The tables of one epoch; those of earlier ones are passed over."""
        while True:
            table = self._held if self._held is not None else next(self._tables, None)
            self._held = None
            if table is None:
                return
            number = int(table["epoch"][0].as_py()) if len(table) else epoch - 1
            if number > epoch:
                self._held = table
                return
            if number == epoch:
                yield table.select(USER_ROWS.names)


def ordered(
    title: str, work: Callable[..., Any], shared: tuple[Any, ...], tasks: Sequence[int]
) -> Iterator[Any]:
    """``work(*shared, task)`` as Ray tasks of one CPU; results in order, few pending at a time."""
    room = 2 * max(1, int(ray.cluster_resources().get("CPU", 1)))
    remote = ray.remote(num_cpus=1)(work)
    pending: deque[Any] = deque()
    with progress(title, len(tasks)) as advance:
        for task in tasks:
            pending.append(remote.remote(*shared, task))
            if len(pending) >= room:
                yield ray.get(pending.popleft())
                advance(1)
        while pending:
            yield ray.get(pending.popleft())
            advance(1)


@dataclass(frozen=True)
class _ReadRows:
    """What a task of the stream does: number -> rows of some files, with their epoch."""

    store: Store
    paths: Sequence[str]
    seed: tuple[int, ...]
    epochs: range
    n_tasks: int

    def __call__(self, batch: Mapping[str, npt.NDArray[np.int64]]) -> Iterator[pa.Table]:
        pa.set_cpu_count(1)
        for number in batch["id"].tolist():
            epoch = self.epochs[number // self.n_tasks]
            order = np.random.default_rng([*self.seed, epoch]).permutation(len(self.paths))
            for place in np.array_split(order, self.n_tasks)[number % self.n_tasks]:
                data = self.store.read(self.paths[place])
                table = pa.ipc.open_file(pa.BufferReader(data)).read_all()
                yield table.append_column("epoch", pa.array(np.full(len(table), epoch, np.int32)))


class _Tail:
    """Rows with validation questions: a sample of whole rows, bounded while it grows."""

    def __init__(self, n_wanted: int, seed: int) -> None:
        self._n_wanted = n_wanted
        self._rng = np.random.default_rng([seed, 1])
        self._held: list[tuple[float, int, pa.Table]] = []

    def add(self, rows: pa.Table, n_questions: Sequence[int]) -> None:
        draws = self._rng.random(len(rows))
        self._held += [(draws[i], n, rows.slice(i, 1)) for i, n in enumerate(n_questions)]
        self._held = list(self._wanted())

    def rows(self) -> tuple[pa.Table, int]:
        tables = [USER_ROWS.empty_table(), *(table for _, _, table in self._held)]
        return pa.concat_tables(tables).combine_chunks(), sum(n for _, n, _ in self._held)

    def _wanted(self) -> Iterator[tuple[float, int, pa.Table]]:
        n = 0
        for entry in sorted(self._held, key=lambda found: found[0]):
            if n >= self._n_wanted:
                return
            n += entry[1]
            yield entry


def _survey(job: Job, until: float | None, partition: int) -> dict[str, Any]:
    record = _read(job, until, partition)
    ts = np.sort(timestamps_s(record["ts"]))
    if len(ts) > _QUANTILES:
        ts = ts[np.linspace(0, len(ts) - 1, _QUANTILES).astype(np.int64)]
    return {
        "n_events": len(record),
        "last": float(ts[-1]) if len(ts) else -np.inf,
        "item_ids": pc.drop_null(pc.unique(record["item_id"])).to_pylist(),
        "ts": ts,
    }


def _gather(job: Job, basis: Basis, partition: int) -> dict[str, Any]:
    events = event_arrays(_read(job, basis.until, partition), basis.item_index)
    before = _until(events, basis.tail_start)
    out: dict[str, Any] = {"chunks": {}}
    for name, part in (("whole", events), ("pilot", before)):
        out[name] = Gathering(len(basis.item_index), basis.settings)
        out[name].add(part)
        rows = user_rows(part, basis.settings)
        out["chunks"][name] = list(_staged(job.store, f"{basis.prefix}/rows/{name}", rows))
    out["validation"], out["n_questions"] = _asked(events, basis)
    return out


def _asked(events: EventArrays, basis: Basis) -> tuple[pa.Table, list[int]]:
    """Rows that are asked something in the tail, and how often."""
    if basis.tail_start is None:
        return USER_ROWS.empty_table(), []
    rows = user_rows(events, basis.settings)
    asked = questions(pack(rows), "strict", basis.tail_start)
    counts = np.bincount(asked.run, minlength=len(rows))
    keep = np.flatnonzero(counts)
    return rows.take(pa.array(keep)), counts[keep].tolist()


def _until(events: EventArrays, end: float | None) -> EventArrays:
    """The events before a time; users without any stay, with none."""
    if end is None:
        return events
    keep = np.flatnonzero(events.ts < end)
    user = events.user[keep]
    return EventArrays(
        user_ids=events.user_ids,
        bounds=np.searchsorted(user, np.arange(len(events.user_ids) + 1)).astype(np.int64),
        user=user,
        item=events.item[keep],
        kind=events.kind[keep],
        ts=events.ts[keep],
        value=events.value[keep],
    )


def _staged(store: Store, prefix: str, rows: pa.Table) -> Iterator[tuple[str, int]]:
    """Write rows as files of about ``CHUNK_EVENTS`` events."""
    if len(rows) == 0:
        return
    ends = np.cumsum(pc.list_value_length(rows["item"]).to_numpy())
    number = (ends - 1) // CHUNK_EVENTS
    for chunk in np.unique(number):
        inside = np.flatnonzero(number == chunk)
        table = rows.slice(int(inside[0]), len(inside)).combine_chunks()
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        path = store.put_content(prefix, sink.getvalue().to_pybytes(), ".arrow")
        yield path, int(ends[inside[-1]] - (ends[inside[0] - 1] if inside[0] else 0))


def _read(job: Job, until: float | None, partition: int) -> pa.Table:
    """The record of a partition; read again where it is compacted meanwhile."""
    archive = Archive(job.store)
    with closing(open_ledger(job.ledger_url)) as ledger:
        for attempt in range(_ATTEMPTS):
            try:
                record = read_record(
                    archive, archive.manifest(), ledger, partition, job.tenant, until
                )
                return record.select(_COLUMNS)
            except ConflictError:
                if attempt == _ATTEMPTS - 1:
                    raise
    raise AssertionError


def _time_at_share(
    samples: Sequence[tuple[npt.NDArray[np.float64], float]], share: float
) -> float | None:
    """The time before which a share of the events lies, from weighted samples of their times."""
    ts = np.concatenate([times for times, _ in samples])
    weight = np.concatenate([np.full(len(times), w) for times, w in samples])
    order = np.argsort(ts, kind="stable")
    reached = np.cumsum(weight[order])
    place = int(np.searchsorted(reached, share * reached[-1], side="right"))
    found = float(ts[order][min(place, len(ts) - 1)])
    return found if found > ts.min() else None


def catalog_bytes(catalog: Catalog) -> bytes:
    """The ids of a catalog as JSON: a resumed run must have the same rows."""
    return json.dumps(catalog.item_ids).encode()
