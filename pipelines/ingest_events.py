"""The two distributed stages of ``pipelines.ingest``, and the publish that ends them."""

from __future__ import annotations

import json
import shutil
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from pipelines.job import Job, ray_session, timed
from pipelines.spread import spread
from recsys.archive import Archive, DataFile, Manifest
from recsys.errors import ConflictError, DataError
from recsys.ingestion.plan import Plan, check_bad_share
from recsys.ingestion.shuffle import IDS, Run, settle_buckets, shuffle_split
from recsys.ingestion.validate import Rules
from recsys.ledger import Ledger, open_ledger
from recsys.rights.archived import without_erased
from recsys.rights.erasures import erasures_of
from recsys.schema import microseconds

GROUP_BYTES = 32 << 20
"""Bytes of events that one task of the second stage settles."""
_PUBLISH_ATTEMPTS = 5

Change = Callable[[Manifest], Manifest]


@dataclass
class _Log:
    """A log of events on its way: what the first stage found, summed over its splits."""

    run: Run
    plan: Plan
    scratch: list[str] = field(default_factory=list)
    buckets: Any = 0
    n_rows: int = 0
    n_erased: int = 0
    n_bytes: int = 0
    max_ts: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    quarantine: dict[str, int] = field(default_factory=dict)


def apply_all(changes: Sequence[Change], manifest: Manifest) -> Manifest:
    """A manifest after several changes."""
    for change in changes:
        manifest = change(manifest)
    return manifest


def ingest_events(
    job: Job,
    rules: Rules,
    plan: Plan,
    changes: Sequence[Change],
    report: dict[str, Any],
    stages: dict[str, float],
) -> Manifest:
    """Validate, dedupe and publish a planned log.

    Args:
        job: where to.
        rules: what rows are held against.
        plan: the work.
        changes: further changes of the manifest for the same publish.
        report: figures are added to it.
        stages: seconds are added to it.

    Raises:
        DataError: if too many rows are bad; then nothing is published.
        ConflictError: if other jobs keep changing the archive.
    """
    folder = f"scratch/ingest-{uuid.uuid4().hex[:12]}"
    ledger = open_ledger(job.ledger_url)
    erasures = erasures_of(ledger, job.tenant)
    run = Run(job.store, folder, job.tenant, rules.now, rules.settings, plan.n_sub, erasures)
    log = _Log(run, plan)
    waited = time.perf_counter()
    try:
        with ray_session():
            stages["ray_start"] = round(time.perf_counter() - waited, 3)
            with timed(stages, "validate"):
                _shuffle(log, rules)
            for attempt in range(_PUBLISH_ATTEMPTS):
                try:
                    manifest = _settle(log, rules, ledger, changes, report, stages)
                    break
                except ConflictError:  # the archive moved: dedupe against what it holds now
                    if attempt + 1 == _PUBLISH_ATTEMPTS:
                        raise
    finally:
        ledger.close()
        _clean(log.run)
    worked = sum(stages[s] for s in ("validate", "settle", "publish", "register"))
    report["n_rows"] = log.n_rows
    report["events_per_s"] = round(log.n_rows / worked)
    return manifest


def _shuffle(log: _Log, rules: Rules) -> None:
    """First stage: read, validate and bucket all splits."""
    scratch: dict[int, list[str]] = {}
    log.buckets = np.zeros(log.run.n_buckets, np.int64)
    for number, result in spread("validate", shuffle_split, log.run, log.plan.tasks):
        scratch[number] = result["scratch"]
        log.buckets += np.array(result["buckets"])
        log.n_rows += result["n_rows"]
        log.n_erased += result["n_erased"]
        log.n_bytes += result["n_bytes"]
        log.max_ts = max(log.max_ts, result["max_ts"])
        log.reasons.update(result["reasons"])
        log.quarantine.update(result["quarantine"])
    log.scratch = [path for _, paths in sorted(scratch.items()) for path in paths]
    if log.n_rows == 0:
        raise DataError("events", "hold no row at all", "Check what --events names")
    _check_share(log.reasons, log, rules)


def _check_share(reasons: Counter[str], log: _Log, rules: Rules) -> None:
    listed = [f"{reason} {n}" for reason, n in reasons.most_common(5)]
    check_bad_share("events", sum(reasons.values()), log.n_rows, rules, listed)


def _settle(
    log: _Log,
    rules: Rules,
    ledger: Ledger,
    changes: Sequence[Change],
    report: dict[str, Any],
    stages: dict[str, float],
) -> Manifest:
    """Second stage: dedupe buckets, write archive files, publish, make young ids known."""
    store = log.run.store
    base = Archive(store).manifest()
    index = json.dumps({"scratch": log.scratch, "sources": log.plan.sources}).encode()
    common = {
        "index": store.put_content(log.run.folder, index, ".json"),
        "manifest_id": None if base is None else base.manifest_id,
        "tails": _export_tails(ledger, log.run, base),
        "ids_from": log.max_ts - microseconds(rules.settings.max_late_s),
    }
    files: dict[int, list[DataFile]] = {}
    ids: list[tuple[int, str]] = []
    reasons, quarantine = Counter(log.reasons), dict(log.quarantine)
    counts = Counter({"n_duplicates": 0, "n_erased": log.n_erased})
    with timed(stages, "settle"):
        tasks = [{"first": a, "last": b, **common} for a, b in _groups(log)]
        for _, result in spread("settle", settle_buckets, log.run, tasks):
            for p, found in result["files"].items():
                files.setdefault(int(p), []).extend(DataFile(**f) for f in found)
            ids += [(int(p), path) for p, paths in result["ids"].items() for path in paths]
            reasons.update(result["reasons"])
            quarantine.update(result["quarantine"])
            counts.update({name: result[name] for name in counts})
    _check_share(reasons, log, rules)

    def change(manifest: Manifest) -> Manifest:
        if manifest.partitions != (base.partitions if base is not None else {}):
            raise ConflictError("archive", "was moved by another job", "Run ingest again")
        manifest = replace(manifest, quarantine={**manifest.quarantine, **quarantine})
        return apply_all(changes, manifest.with_events(files))

    with timed(stages, "publish"):
        manifest = Archive(store).publish(change)
        manifest = without_erased(Archive(store), ledger, log.run.erasures, files) or manifest
    with timed(stages, "register"):
        for partition, path in ids:
            rows = store.read_table(path)  # the ledger passes over those of erased users
            ledger.register_archived([partition] * len(rows), rows)
    report["n_events_new"] = sum(f.n_events for found in files.values() for f in found)
    report.update(counts)
    report["reasons"] = report["reasons"] + reasons
    return manifest


def _groups(log: _Log) -> list[tuple[int, int]]:
    """Runs of buckets ``[first, last)`` of bounded size that hold any row."""
    row_bytes = log.n_bytes / max(1, log.buckets.sum())
    groups: list[tuple[int, int]] = []
    size = float("inf")
    for bucket, n in enumerate(log.buckets.tolist()):
        if n == 0:
            continue
        if size + n * row_bytes > GROUP_BYTES:
            groups.append((bucket, bucket + 1))
            size = n * row_bytes
        else:
            groups[-1] = (groups[-1][0], bucket + 1)
            size += n * row_bytes
    return groups


def _export_tails(ledger: Ledger, shared: Run, base: Manifest | None) -> dict[str, str]:
    """Ids that stand in the ledger and not yet in the archive, as files for the tasks."""
    tails = {}
    for p in range(shared.settings.n_partitions):
        watermark = base.watermark(p) if base is not None else 0
        if ledger.last_seq(p) > watermark:
            ids = ledger.tail(p, watermark, shared.tenant).select(IDS)
            tails[str(p)] = shared.store.write_table(f"{shared.folder}/tails", ids)[0]
    return tails


def _clean(shared: Run) -> None:
    if shared.store.root is not None:
        shutil.rmtree(shared.store.root / shared.folder, ignore_errors=True)
        return
    for path in shared.store.paths(shared.folder):
        shared.store.delete(path)
