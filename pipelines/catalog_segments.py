"""Segments of a bundle: what users choose who share an attribute, counted up to its end."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import ray

from pipelines.job import Job
from pipelines.train_rows import ordered, read_partition
from recsys.archive import Archive
from recsys.catalog import Catalog
from recsys.coldstart.segments import Segments, SegmentSums, Uncounted, uncounted
from recsys.events import event_arrays


def segments_of_events(
    job: Job, catalog: Catalog, events: pa.Table, data_until: float
) -> Segments | None:
    """The segments of events in memory; None where no attribute is shared by enough users.

    Args:
        job: store, tenant and settings.
        catalog: N items.
        events: all that may be counted.
        data_until: time of the latest one, Unix seconds.
    """
    begun = _begun(job, catalog, data_until)
    if begun is None:
        return None
    return begun.counted([begun.count(event_arrays(events, catalog.index), job.settings.interest)])


def segments_of_record(
    job: Job, catalog: Catalog, until: float, data_until: float
) -> Segments | None:
    """The segments of the record, a task for each partition; otherwise as ``segments_of_events``.

    Args:
        job: store, ledger, tenant and settings.
        catalog: N items.
        until: Unix seconds; nothing at or after this time is counted.
        data_until: time of the latest event before it.
    """
    begun = _begun(job, catalog, data_until)
    if begun is None:
        return None
    shared = (job, until, ray.put((begun, catalog.index)))
    tasks = range(Archive(job.store).n_partitions)
    return begun.counted(list(ordered("count what segments choose", _count, shared, tasks)))


def _begun(job: Job, catalog: Catalog, data_until: float) -> Uncounted | None:
    archive = Archive(job.store)
    manifest = archive.manifest()
    if manifest is None or job.settings.coldstart.segments.weight == 0.0:
        return None
    users = archive.users(manifest, job.tenant).select(["user_id", "attributes"])
    known = (
        (row["user_id"], {name: value for name, value in row["attributes"] or () if value})
        for batch in users.to_batches()
        for row in batch.to_pylist()
    )
    begun = uncounted(known, len(catalog), data_until, job.settings.coldstart.segments)
    return begun if len(begun.names) > 0 else None


def _count(job: Job, until: float, basis: tuple[Uncounted, Any], partition: int) -> SegmentSums:
    begun, index = basis
    record = read_partition(job, until, partition)
    return begun.count(event_arrays(record, index), job.settings.interest)
