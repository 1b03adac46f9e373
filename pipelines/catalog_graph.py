"""The interest graph of a bundle: named nodes of its items, edges of the record up to its end."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import ray

from pipelines.job import Job
from pipelines.train_rows import ordered, read_partition
from recsys.archive import Archive
from recsys.catalog import Catalog
from recsys.events import event_arrays
from recsys.graph.edges import EdgeSums
from recsys.graph.interest_graph import InterestGraph, Unconnected, unconnected
from recsys.interest.model import ItemTable


def graph_of_events(
    job: Job, catalog: Catalog, items: ItemTable, events: pa.Table, data_until: float
) -> InterestGraph | None:
    """The graph of events in memory; None where the settings want none.

    Args:
        job: settings.
        catalog: N items.
        items: their vectors.
        events: all that may be counted.
        data_until: time of the latest one, Unix seconds.
    """
    if not job.settings.graph.use:
        return None
    begun = unconnected(catalog, items, job.settings.graph, data_until)
    counted = [begun.count(event_arrays(events, catalog.index), job.settings.interest)]
    return begun.connected(counted)


def graph_of_record(
    job: Job, catalog: Catalog, items: ItemTable, until: float, data_until: float
) -> InterestGraph | None:
    """The graph of the record, a task for each partition; otherwise as ``graph_of_events``.

    Args:
        job: store, ledger, tenant and settings.
        catalog: N items.
        items: their vectors.
        until: Unix seconds; nothing at or after this time is counted.
        data_until: time of the latest event before it.
    """
    if not job.settings.graph.use:
        return None
    begun = unconnected(catalog, items, job.settings.graph, data_until)
    shared = (job, until, ray.put((begun, catalog.index)))
    tasks = range(Archive(job.store).n_partitions)
    return begun.connected(list(ordered("count what leads where", _count, shared, tasks)))


def _count(job: Job, until: float, basis: tuple[Unconnected, Any], partition: int) -> EdgeSums:
    begun, index = basis
    record = read_partition(job, until, partition)
    return begun.count(event_arrays(record, index), job.settings.interest)
