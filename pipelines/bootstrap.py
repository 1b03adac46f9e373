"""Fold the whole record into profile snapshots: ``python -m pipelines.bootstrap --store S``.

One Ray Data row per partition: read archive + ledger tail, fold, save. Partitions share nothing, so
the job is as wide as the cluster, and a task that is run again saves the same snapshot. A partition
whose users say something tells only what at first; it is folded when all words have been read.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import ray
import typer

from pipelines.job import (
    ConfigOption,
    Job,
    LedgerOption,
    SetOption,
    StoreOption,
    TenantOption,
    command_line,
    finish,
    main,
    open_job,
    progress,
    ray_session,
)
from pipelines.spoken import words_of
from recsys.archive import Archive
from recsys.bundle import Bundle, load_bundle
from recsys.errors import ConflictError
from recsys.folding import Basis, empty_state, fold_record, read_to_position
from recsys.ledger import open_ledger
from recsys.restoring import restore_partition
from recsys.snapshot import SnapshotKey, save
from recsys.words import texts_of

log = logging.getLogger(__name__)

TASKS_PER_CPU = 8
_ATTEMPTS = 3

app = command_line()


@dataclass(frozen=True)
class FoldBasis:
    """What every task needs of a bundle."""

    bundle_id: str
    basis: Basis
    """Its settings are the job's, with the bundle's in the sections that a bundle fixes."""

    def unread(self, record: pa.Table) -> list[str]:
        """The texts that must be read before a record is folded; none once words were read."""
        if self.basis.words is not None or not self.basis.model.reads_text:
            return []
        return texts_of(record, self.basis.settings.interest)


def fold_basis(job: Job, bundle: Bundle) -> FoldBasis:
    """The basis of a bundle for a job."""
    return FoldBasis(bundle.bundle_id, Basis.of(bundle, job.settings))


def run(job: Job, bundle_id: str | None = None) -> dict[str, Any]:
    """Make the snapshots of all partitions for one bundle.

    Args:
        job: what to work on.
        bundle_id: which bundle; None = the published one.

    Returns:
        ``bundle_id, n_partitions, n_users, n_events, n_pending`` (events whose item the bundle
        lacks), ``n_texts`` (distinct, of events), ``fold_s`` (seconds of folding, of all tasks
        together), ``seconds`` and ``events_per_s`` (wall clock, reading and saving included).

    Raises:
        NotFoundError: if there is no record or no bundle yet.
        ConflictError: if a running pool keeps saving newer snapshots.
    """
    started = time.perf_counter()
    n_partitions = Archive(job.store).n_partitions
    bundle = load_bundle(job.store, job.tenant, bundle_id)
    basis = fold_basis(job, bundle)
    totals = dict.fromkeys(("n_users", "n_events", "n_pending", "fold_s"), 0.0)
    with ray_session(), progress("bootstrap", total=n_partitions) as advance:
        texts: set[str] = set()
        unread: list[int] = []
        for row in _rows(job, basis, range(n_partitions)):
            said = json.loads(row["unread"])
            texts.update(said)
            if said:
                unread.append(int(row["partition"]))
            else:
                _add(totals, row)
                advance(1)
        if unread:
            words = words_of(job, bundle, sorted(texts))
            basis = replace(basis, basis=replace(basis.basis, words=words))
            for row in _rows(job, basis, unread):
                _add(totals, row)
                advance(1)
    seconds = time.perf_counter() - started
    return {
        "bundle_id": basis.bundle_id,
        "n_partitions": n_partitions,
        **{name: int(totals[name]) for name in ("n_users", "n_events", "n_pending")},
        "n_texts": len(texts),
        "fold_s": round(totals["fold_s"], 3),
        "seconds": round(seconds, 3),
        "events_per_s": round(totals["n_events"] / seconds, 1),
    }


def _add(totals: dict[str, float], row: Mapping[str, Any]) -> None:
    for name in totals:
        totals[name] += row[name]


def _rows(job: Job, basis: FoldBasis, partitions: Sequence[int]) -> Iterator[Mapping[str, Any]]:
    """Fold partitions with Ray Data; one report per partition, as they are done."""
    n_tasks = min(len(partitions), TASKS_PER_CPU * int(ray.cluster_resources().get("CPU", 1)))
    task = partial(_fold_block, job=job, basis=ray.put(basis), partitions=partitions)
    places = ray.data.range(len(partitions), override_num_blocks=n_tasks)
    yield from places.map_batches(task, batch_size=None, num_cpus=1).iter_rows()


def _fold_block(
    block: Mapping[str, npt.NDArray[np.int64]],
    job: Job,
    basis: ray.ObjectRef[FoldBasis],
    partitions: Sequence[int],
) -> dict[str, list[Any]]:
    """One Ray task: the partitions of a block, one after another."""
    shared: FoldBasis = ray.get(basis)
    reports = [bootstrap_partition(job, shared, partitions[place]) for place in block["id"]]
    return {name: [report[name] for report in reports] for name in reports[0]}


def bootstrap_partition(job: Job, basis: FoldBasis, partition: int) -> dict[str, Any]:
    """Fold one partition and save its snapshot, unless there are words to be read before.

    Returns:
        ``partition, n_users, n_events, n_pending, fold_s``, and ``unread``: a JSON list of the
        texts because of which nothing was folded.

    Raises:
        ConflictError: if others keep saving snapshots that know more.
    """
    for _ in range(_ATTEMPTS - 1):
        try:
            return _fold_and_save(job, basis, partition)
        except ConflictError:
            continue  # a shard saved, or the archive moved on: read again
    return _fold_and_save(job, basis, partition)


def _fold_and_save(job: Job, basis: FoldBasis, partition: int) -> dict[str, Any]:
    archive, key = Archive(job.store), SnapshotKey(job.tenant, basis.bundle_id, partition)
    with closing(open_ledger(job.ledger_url)) as ledger:
        if restore_partition(archive, ledger, key, _late_from(job, archive)):
            log.warning("partition %d: the ledger is another one than it was", partition)
        record, position = read_to_position(archive, ledger, partition, job.tenant)
    unread = basis.unread(record)
    if unread:
        nothing = dict.fromkeys(("n_users", "n_events", "n_pending"), 0)
        return {"partition": partition, **nothing, "fold_s": 0.0, "unread": json.dumps(unread)}
    started = time.perf_counter()
    table, trend = empty_state(basis.basis)
    n_pending = fold_record(table, trend, record, basis.basis)
    fold_s = time.perf_counter() - started
    save(job.store, key, table, trend, position, rebase=True)
    return {
        "partition": partition,
        "n_users": len(table),
        "n_events": len(record),
        "n_pending": n_pending,
        "fold_s": fold_s,
        "unread": "[]",
    }


def _late_from(job: Job, archive: Archive) -> float:
    """The time (Unix seconds) from which events may come again."""
    data, manifest = job.settings.data, archive.manifest()
    now = time.time() + job.settings.serving.clock_offset_s
    until = None if manifest is None else manifest.data_until
    return min(now, now if until is None else until) - data.max_late_s - data.max_future_s


@app.command()
def bootstrap(
    store: StoreOption,
    bundle: Annotated[str | None, typer.Option(help="Bundle id; default: the published.")] = None,
    ledger: LedgerOption = None,
    tenant: TenantOption = "default",
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """Fold archive + ledger tail into profile snapshots of a bundle, one per partition.

    Example: python -m pipelines.bootstrap --store S (after ingest and embed; again after each)
    """
    finish(run(open_job(store, ledger, tenant, config, assignments), bundle))


if __name__ == "__main__":
    main(app)
