"""What training reads of the record: two passes over the partitions, each a task.

    survey   partition -> item ids, quantiles of its times       -> catalog, validation tail
    gather   partition -> what surrounds training, users' rows   -> staged files in the store

Partials are merged as they come, so the driver holds as much as the catalog needs, and a task as
much as its partition.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import ray

from pipelines.job import Job, progress
from pipelines.train_files import Chunk, read_rows, stage
from pipelines.train_text import max_texts
from recsys.archive import Archive
from recsys.errors import ConflictError, DataError
from recsys.events import event_arrays, timestamps_s
from recsys.ledger import open_ledger
from recsys.record import read_record
from recsys.settings import Settings
from recsys.store import Store
from recsys.training.fitting import before
from recsys.training.sequences import USER_ROWS, pack, questions, user_rows
from recsys.training.surroundings import Gathering, Surroundings
from recsys.training.transition_counts import (
    count_transitions,
    transition_sums,
    with_transitions,
)
from recsys.transition_sums import TransitionSums
from recsys.words import TextCensus, text_counts

_QUANTILES = 4_096
_MOST_SUMS = 8  # each is four matrices of the most frequent items
_ATTEMPTS = 10
_COLUMNS = ["user_id", "item_id", "kind", "ts", "seq", "value", "text"]


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
    texts: tuple[str, ...] = ()
    """The most frequent texts of events, at most ``train.max_event_texts``."""


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
    text_index: Mapping[str, int] | None = None
    """Text of events -> row of its vector; None = none is read."""


def survey(job: Job, until: float | None) -> Survey:
    """Read which items and times the record has.

    Raises:
        DataError: if it has no event.
    """
    n_partitions = Archive(job.store).n_partitions
    n_events, last, ids, samples = 0, -np.inf, set(), []
    census = TextCensus(max_texts(job.settings))
    for found in ordered("read the record", _survey, (job, until), range(n_partitions)):
        if found["n_events"] == 0:
            continue
        n_events += found["n_events"]
        last = max(last, found["last"])
        ids.update(found["item_ids"])
        samples.append((found["ts"], found["n_events"] / len(found["ts"])))
        census.add(found["texts"])
    if n_events == 0:
        raise DataError(
            f"store {job.store.uri}",
            f"holds no event of tenant {job.tenant}" + ("" if until is None else " before --until"),
            "Run `python -m pipelines.ingest --store ... --events ...` first",
        )
    share = 1.0 - job.settings.ranking.validation_share
    tail_start = _time_at_share(samples, share)
    return Survey(n_events, float(last), tail_start, frozenset(ids), census.texts())


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
        if "pilot" in found:
            pilot.merge(found["pilot"])
        for name, more in found["chunks"].items():
            chunks[name] += more
        tail.add(found["validation"], found["n_questions"])
    rows, n = tail.rows()
    return Gathered(whole, pilot, {k: tuple(v) for k, v in chunks.items()}, rows, n)


def with_transitions_of(
    store: Store, chunks: Sequence[Chunk], log: Surroundings, settings: Settings
) -> Surroundings:
    """The log with what follows what, counted from staged rows by as many tasks as there are CPUs.

    Args:
        store: where the rows are staged.
        chunks: the files.
        log: gathered from the same events.
        settings: of the model.
    """
    if not settings.model.use_transitions or not chunks:
        return log
    n_cpus = max(1, int(ray.cluster_resources().get("CPU", 1)))
    groups = np.array_split([c.path for c in chunks], min(len(chunks), n_cpus, _MOST_SUMS))
    light = ray.put(replace(log, text=None, words=None))
    sums = transition_sums(log, settings)
    shared = (store, [group.tolist() for group in groups], light, settings)
    for found in ordered("count what follows what", _count, shared, range(len(groups))):
        sums.merge(found)
    return with_transitions(log, sums, settings)


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


class _Tail:
    """Rows with validation questions: a sample of whole rows, bounded while it grows."""

    def __init__(self, n_wanted: int, seed: int) -> None:
        self._n_wanted = n_wanted
        self._rng = np.random.default_rng([seed, 1])
        self._held: list[tuple[float, int, pa.Table]] = []

    def add(self, rows: pa.Table, n_questions: Sequence[int]) -> None:
        draws = self._rng.random(len(rows))
        self._held += [(draws[i], n, rows.take(pa.array([i]))) for i, n in enumerate(n_questions)]
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
    record = read_partition(job, until, partition)
    ts = np.sort(timestamps_s(record["ts"]))
    if len(ts) > _QUANTILES:
        ts = ts[np.linspace(0, len(ts) - 1, _QUANTILES).astype(np.int64)]
    return {
        "n_events": len(record),
        "last": float(ts[-1]) if len(ts) else -np.inf,
        "item_ids": pc.drop_null(pc.unique(record["item_id"])).to_pylist(),
        "ts": ts,
        "texts": _texts(record, job.settings),
    }


def _texts(record: pa.Table, settings: Settings) -> dict[str, int]:
    if max_texts(settings) == 0:
        return {}
    census = TextCensus(max_texts(settings))
    census.add(text_counts(record, settings.interest))
    return census.counts


def _gather(job: Job, basis: Basis, partition: int) -> dict[str, Any]:
    record = read_partition(job, basis.until, partition)
    events = event_arrays(record, basis.item_index, basis.text_index)
    parts = {"whole": events}
    if basis.tail_start is not None:
        parts["pilot"] = before(events, basis.tail_start)
    out: dict[str, Any] = {"chunks": {}, "validation": USER_ROWS.empty_table(), "n_questions": []}
    for name, part in parts.items():
        out[name] = Gathering(len(basis.item_index), basis.settings)
        out[name].add(part)
        rows = user_rows(part, basis.settings)
        out["chunks"][name] = list(stage(job.store, f"{basis.prefix}/rows/{name}", rows))
        if name == "whole" and basis.tail_start is not None:
            out["validation"], out["n_questions"] = _asked(rows, basis.tail_start)
    return out


def _asked(rows: pa.Table, since: float) -> tuple[pa.Table, list[int]]:
    """Rows that are asked something from a moment on, and how often."""
    counts = np.bincount(questions(pack(rows), "strict", since).run, minlength=len(rows))
    keep = np.flatnonzero(counts)
    return rows.take(pa.array(keep)), counts[keep].tolist()


def _count(
    store: Store, groups: list[list[str]], log: Surroundings, settings: Settings, number: int
) -> TransitionSums:
    sums = transition_sums(log, settings)
    for path in groups[number]:
        count_transitions(sums, read_rows(store, path), settings)
    return sums


def read_partition(job: Job, until: float | None, partition: int) -> pa.Table:
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
