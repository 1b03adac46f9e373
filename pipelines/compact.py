"""Move committed ledger rows into the archive: ``python -m pipelines.compact --store S``.

Three steps, each safe to be the last one that happened:

    1. the rows past each watermark become content-addressed files      nobody names them yet
    2. one publish names the files and moves the watermarks             readers switch at once
    3. the rows that stand in the archive and in the newest snapshots leave the ledger

With ``data.retention_days`` step 1 also writes anew, without them, the files that hold older
events, step 2 names those instead, and step 3 deletes the old files, and older rows of the ledger.

A reader takes archive files, and ledger rows past the watermark: before step 2 it sees the ledger's
copy, after it the archive's. What an interrupted run left undone, the next run does.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
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
from recsys.bundle_manifest import current_bundle_id
from recsys.events import timestamps_s
from recsys.ledger import Ledger, open_ledger
from recsys.retention import Rewrites, delete_retired, horizon_s, retained, without_older
from recsys.rights.archived import without_erased
from recsys.rights.erasures import Erasures, erasures_of
from recsys.snapshot import SnapshotKey, read_meta
from recsys.store import Store

app = command_line()


def run(job: Job) -> dict[str, Any]:
    """Compact every partition, for all tenants.

    Returns:
        ``n_archived`` events, ``n_files``, ``n_trimmed`` ledger rows, ``n_erased`` rows
        that were left out because their user is being erased, ``n_expired`` events that
        left the archive because of their age, ``retained_since`` (Unix seconds, None = all is
        retained), and the archive's ``manifest`` id (None while there is none).

    Raises:
        NotFoundError: if nothing was ever ingested into the store.
    """
    archive = Archive(job.store)
    n_partitions = archive.n_partitions
    now = time.time() + job.settings.serving.clock_offset_s
    days = job.settings.data.retention_days
    horizon = None if days is None else horizon_s(now, days)
    with closing(open_ledger(job.ledger_url)) as ledger:
        before = archive.manifest() or Manifest(n_partitions)
        erased = _Erased(ledger)
        exported = _export(archive, ledger, before, horizon, erased)
        rewrites = _rewrites(archive, before, horizon)
        published = archive.manifest()
        if len(exported.marks) > 0 or (published is not None and horizon is not None):
            published = archive.publish(
                lambda current: _advanced(current, before, exported, rewrites, horizon)
            )
            erased.purge(archive, {p: [file] for p, file in exported.files.items()})
            published = archive.manifest()
        job.store.settle()  # what leaves the ledger must not be in a write cache only
        delete_retired(archive)
        n_trimmed = 0 if published is None else _trim(job, ledger, published, now)
    newest = archive.manifest()
    return {
        "n_archived": sum(file.n_events for file in exported.files.values()),
        "n_files": len(exported.files),
        "n_trimmed": n_trimmed,
        "n_erased": erased.n_rows,
        "n_expired": _n_events(before, rewrites),
        "retained_since": None if newest is None else newest.retained_since,
        "manifest": None if newest is None else newest.manifest_id,
    }


@dataclass(frozen=True)
class _Exported:
    files: Mapping[int, DataFile]
    """By partition; none where all rows are too old to be kept."""
    marks: Mapping[int, int]
    """The new watermark by partition."""


class _Erased:
    """Who was erased, of all tenants whose rows come by."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._of: dict[str, Erasures] = {}
        self.n_rows = 0
        """Rows that were left out."""

    def without(self, rows: pa.Table) -> pa.Table:
        """Rows that no erasure took away; the ledger is about to remove the others."""
        n_before = len(rows)
        for tenant in pc.unique(rows["tenant"]).to_pylist():
            if tenant not in self._of:
                self._of[tenant] = erasures_of(self._ledger, tenant)
            rows = self._of[tenant].kept(rows)
        self.n_rows += n_before - len(rows)
        return rows

    def purge(self, archive: Archive, ours: Mapping[int, list[DataFile]]) -> None:
        """Rewrite the files that we published, if somebody was erased while we wrote them."""
        for erasures in self._of.values():
            without_erased(archive, self._ledger, erasures, ours)


def _export(
    archive: Archive,
    ledger: Ledger,
    manifest: Manifest,
    horizon: float | None,
    erased: _Erased,
) -> _Exported:
    """Write the ledger rows past each watermark that are not older than a horizon."""
    files: dict[int, DataFile] = {}
    marks: dict[int, int] = {}
    with progress("compact", total=manifest.n_partitions) as advance:
        for partition in range(manifest.n_partitions):
            rows = ledger.tail(partition, manifest.watermark(partition))
            if len(rows) > 0:
                marks[partition] = pc.max(rows["ledger_seq"]).as_py()
            rows = erased.without(rows)
            if horizon is not None:
                rows = rows.filter(pa.array(timestamps_s(rows["ts"]) >= horizon))
            if len(rows) > 0:
                files[partition] = archive.write_events(partition, rows)
            advance(1)
    return _Exported(files, marks)


def _rewrites(archive: Archive, manifest: Manifest, horizon: float | None) -> Rewrites:
    """What stands in the place of the archive's files that hold events before a horizon."""
    found: dict[str, tuple[DataFile, ...]] = {}
    if horizon is not None:
        for _, rewrites in without_older(archive, manifest, horizon):
            found.update(rewrites)
    return found


def _n_events(manifest: Manifest, rewrites: Rewrites) -> int:
    """How many events the rewrites of a manifest's files leave out."""
    files = [file for part in manifest.partitions.values() for file in part.files]
    return sum(
        file.n_events - sum(new.n_events for new in rewrites[file.path])
        for file in files
        if file.path in rewrites
    )


def _advanced(
    current: Manifest,
    before: Manifest,
    exported: _Exported,
    rewrites: Rewrites,
    horizon: float | None,
) -> Manifest:
    """The current manifest with our files, except where another compaction was faster."""
    ours = [p for p in exported.marks if current.watermark(p) == before.watermark(p)]
    files = {p: [exported.files[p]] for p in ours if p in exported.files}
    changed = current.with_events(files, {p: exported.marks[p] for p in ours})
    return changed if horizon is None else retained(changed, rewrites, horizon)


def _trim(job: Job, ledger: Ledger, manifest: Manifest, now: float) -> int:
    """Remove what archive and snapshots both hold, or what is not retained.

    Ids that may come again stay known.
    """
    data = job.settings.data
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
        if manifest.retained_since is not None:
            n_trimmed += ledger.trim_before(partition, manifest.retained_since)
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
