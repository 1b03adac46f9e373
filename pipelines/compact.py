"""Move committed ledger rows into the archive: ``python -m pipelines.compact --store S``.

Three steps, each safe to be the last one that happened:

    1. the rows past each watermark become content-addressed files      nobody names them yet
    2. one publish names the files and moves the watermarks             readers switch at once
    3. the rows that stand in the archive and in the newest snapshots leave the ledger

A reader takes archive files, and ledger rows past the watermark: before step 2 it sees the ledger's
copy, after it the archive's. What an interrupted run left undone, the next run does.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import pyarrow.compute as pc

from pipelines.job import (
    ConfigOption,
    Job,
    LedgerOption,
    SetOption,
    StoreOption,
    command_line,
    finish,
    main,
    open_job,
    progress,
)
from recsys.archive import Archive, DataFile, Manifest
from recsys.bundle import current_bundle_id
from recsys.ledger import Ledger, open_ledger
from recsys.snapshot import SnapshotKey, read_meta
from recsys.store import Store

app = command_line()


def run(job: Job) -> dict[str, Any]:
    """Compact every partition, for all tenants.

    Returns:
        ``n_archived`` events, ``n_files``, ``n_trimmed`` ledger rows, and the archive's
        ``manifest`` id (None while there is none).

    Raises:
        NotFoundError: if nothing was ever ingested into the store.
    """
    archive = Archive(job.store)
    n_partitions = archive.n_partitions
    with closing(open_ledger(job.ledger_url)) as ledger:
        before = archive.manifest() or Manifest(n_partitions)
        files, marks = _export(archive, ledger, before)
        published = archive.manifest()
        if len(files) > 0:
            published = archive.publish(lambda current: _advanced(current, before, files, marks))
        job.store.settle()  # what leaves the ledger must not be in a write cache only
        n_trimmed = 0 if published is None else _trim(job, ledger, published)
    return {
        "n_archived": sum(file.n_events for file in files.values()),
        "n_files": len(files),
        "n_trimmed": n_trimmed,
        "manifest": None if published is None else published.manifest_id,
    }


def _export(
    archive: Archive, ledger: Ledger, manifest: Manifest
) -> tuple[dict[int, DataFile], dict[int, int]]:
    """Write the ledger rows past each watermark; return files and new watermarks."""
    files: dict[int, DataFile] = {}
    marks: dict[int, int] = {}
    with progress("compact", total=manifest.n_partitions) as advance:
        for partition in range(manifest.n_partitions):
            rows = ledger.tail(partition, manifest.watermark(partition))
            if len(rows) > 0:
                files[partition] = archive.write_events(partition, rows)
                marks[partition] = pc.max(rows["ledger_seq"]).as_py()
            advance(1)
    return files, marks


def _advanced(
    current: Manifest,
    before: Manifest,
    files: Mapping[int, DataFile],
    marks: Mapping[int, int],
) -> Manifest:
    """The current manifest with our files, except where another compaction was faster."""
    ours = [p for p in files if current.watermark(p) == before.watermark(p)]
    return current.with_events({p: [files[p]] for p in ours}, {p: marks[p] for p in ours})


def _trim(job: Job, ledger: Ledger, manifest: Manifest) -> int:
    """Remove what archive and snapshots both hold; ids that may come again stay known."""
    data = job.settings.data
    now = time.time() + job.settings.serving.clock_offset_s
    latest = now if manifest.data_until is None else min(now, manifest.data_until)
    keep_ids_after = latest - data.max_late_s - data.max_future_s
    published = list(_published_bundles(job.store))
    n_trimmed = 0
    for partition in range(manifest.n_partitions):
        upto = manifest.watermark(partition)
        for tenant, bundle_id in published:
            meta = read_meta(job.store, SnapshotKey(tenant, bundle_id, partition))
            if meta is not None:
                upto = min(upto, meta["ledger_seq"])
        n_trimmed += ledger.trim(partition, upto, keep_ids_after)  # old ids of an ingest too
    return n_trimmed


def _published_bundles(store: Store) -> Iterator[tuple[str, str]]:
    """(tenant, bundle id) of every tenant with a published bundle."""
    for path in store.paths("bundles"):
        tenant, _, name = path.removeprefix("bundles/").rpartition("/")
        bundle_id = current_bundle_id(store, tenant) if name == "CURRENT" else None
        if bundle_id is not None:
            yield tenant, bundle_id


@app.command()
def compact(
    store: StoreOption,
    ledger: LedgerOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
) -> None:
    """Move committed ledger rows, of all tenants, into the archive.

    Example: python -m pipelines.compact --store S (every hour or so while the service takes events)
    """
    finish(run(open_job(store, ledger, config=config, assignments=assignments)))


if __name__ == "__main__":
    main(app)
