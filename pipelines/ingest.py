"""Logs -> the archive: validated, deduplicated, partitioned by user, published at once or not at all.

    files -> splits -> validate, bucket by hash(user) -> dedupe against archive and ledger -> publish

Ray Data runs both stages; each task holds one split or a few buckets of bounded size, so memory
does not grow with the log. The same files twice change nothing.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import ray.data
import typer

from pipelines.entities import read_entities
from pipelines.job import (
    ConfigOption,
    Job,
    LedgerOption,
    SetOption,
    StoreOption,
    TenantOption,
    finish,
    main,
    open_job,
    progress,
    ray_session,
    timed,
)
from recsys import errors
from recsys.archive import Archive, DataFile, Manifest, create_store
from recsys.errors import ConfigError, ConflictError, DataError, RecsysError
from recsys.ingestion.mapping import check_mapping, parse_mapping
from recsys.ingestion.plan import plan_events
from recsys.ingestion.shuffle import IDS, Run, settle_buckets, shuffle_split
from recsys.ledger import Ledger, open_ledger
from recsys.schema import microseconds

GROUP_BYTES = 32 << 20
"""Bytes of events that one task of the second stage settles."""
_PUBLISH_ATTEMPTS = 5

Work = Callable[[Run, Mapping[str, Any]], dict[str, Any]]


def run(
    job: Job,
    events: Sequence[str] = (),
    items: Sequence[str] = (),
    users: Sequence[str] = (),
    mapping: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Ingest logs into the job's store.

    Args:
        job: store, ledger, settings and tenant.
        events: files, folders, globs or URIs of the log; Parquet, JSON Lines or CSV.
        items: the catalog; items that are there already are replaced.
        users: attributes of users; likewise.
        mapping: schema column -> source column, or ``"=constant"`` (see ``parse_mapping``).

    Returns:
        The report: ``n_rows``, ``n_events_new``, ``n_duplicates``, ``n_quarantined``, ``reasons``,
        ``events_per_s`` (Ray's start aside), ``stages`` in seconds, and what was found.

    Raises:
        ConfigError: if columns cannot be found, or nothing is given.
        DataError: if a file is damaged, or too many rows are bad; then nothing is published.
    """
    started = time.perf_counter()
    stages: dict[str, float] = {}
    names = dict(mapping or {})
    check_mapping(names)
    if not (events or items or users):
        raise ConfigError("ingest", "has nothing to read", "Give --events, --items or --users")
    create_store(job.store, job.settings.data.n_partitions)
    now = time.time()
    with timed(stages, "entities"):
        sources = {"items": items, "users": users}
        entities = read_entities(job, {k: v for k, v in sources.items() if v}, names, now)
    report: dict[str, Any] = {"n_events_new": 0, **entities.report}
    if events:
        with timed(stages, "plan"):
            plan = plan_events(events, names, job.settings.data.n_partitions)
        shared = Run(
            job.store,
            f"scratch/ingest-{uuid.uuid4().hex[:12]}",
            job.tenant,
            now,
            job.settings.data,
            plan.n_sub,
        )
        waited = time.perf_counter()
        with ray_session():
            stages["ray_start"] = round(time.perf_counter() - waited, 3)
            try:
                shuffled = _shuffle(shared, plan.tasks, stages)
                manifest, settled = _settle(job, shared, plan.sources, shuffled, entities, stages)
            finally:
                _clean(shared)
        report |= {**plan.report, **_figures(shuffled, settled, stages)}
        report["reasons"] = dict(Counter(report["reasons"]) + Counter(entities.report["reasons"]))
        report["n_quarantined"] = sum(report["reasons"].values())
    else:
        manifest = Archive(job.store).publish(entities.change)
    return {
        "job": "ingest",
        **report,
        "n_events_total": manifest.n_events,
        "data_until": manifest.data_until,
        "manifest_id": manifest.manifest_id,
        "stages": {**stages, "total": round(time.perf_counter() - started, 3)},
    }


def _shuffle(
    shared: Run, tasks: list[dict[str, Any]], stages: dict[str, float]
) -> dict[str, Any]:
    """First stage: all splits; refuses a log with too many bad rows."""
    whole: dict[str, Any] = {"n_rows": 0, "n_bytes": 0, "max_ts": 0, "quarantine": {}, "reasons": {}}
    scratch: dict[int, list[str]] = {}
    buckets = np.zeros(shared.n_buckets, np.int64)
    with timed(stages, "validate"):
        for number, result in _spread("validate", shuffle_split, shared, tasks):
            scratch[number] = result["scratch"]
            buckets += np.array(result["buckets"])
            whole["n_rows"] += result["n_rows"]
            whole["n_bytes"] += result["n_bytes"]
            whole["max_ts"] = max(whole["max_ts"], result["max_ts"])
            _add_bad(whole, result)
    whole["scratch"] = [path for _, paths in sorted(scratch.items()) for path in paths]
    whole["buckets"] = buckets
    if whole["n_rows"] == 0:
        raise DataError("events", "hold no row at all", "Check what --events names")
    _check_share(shared, whole)
    return whole


def _check_share(shared: Run, whole: Mapping[str, Any]) -> None:
    n_bad = sum(whole["reasons"].values())
    share = n_bad / whole["n_rows"]
    if share > shared.settings.max_bad_share:
        counts = ", ".join(f"{r}: {n}" for r, n in Counter(whole["reasons"]).most_common(5))
        raise DataError(
            f"{n_bad} of {whole['n_rows']} events",
            f"are bad ({share:.1%}; at most {shared.settings.max_bad_share:.1%} may be): {counts}",
            f"Nothing was published. See {', '.join(list(whole['quarantine'])[:3])} in the store; "
            "correct the log or --map, or raise data.max_bad_share",
        )


def _settle(
    job: Job,
    shared: Run,
    sources: list[str],
    shuffled: dict[str, Any],
    entities: Any,
    stages: dict[str, float],
) -> tuple[Manifest, dict[str, Any]]:
    """Second stage and publish; again from the second stage if the archive moved meanwhile."""
    archive = Archive(job.store)
    ledger = open_ledger(job.ledger_url)
    index = json.dumps({"scratch": shuffled["scratch"], "sources": sources}).encode()
    groups = _groups(shuffled)
    late = microseconds(job.settings.data.max_late_s)
    try:
        for attempt in range(_PUBLISH_ATTEMPTS):
            base = archive.manifest()
            with timed(stages, "ledger"):
                tails = _export_tails(ledger, shared, base)
            common = {
                "index": job.store.put_content(shared.folder, index, ".json"),
                "manifest_id": None if base is None else base.manifest_id,
                "tails": tails,
                "ids_from": shuffled["max_ts"] - late,
            }
            with timed(stages, "settle"):
                tasks = [{"first": a, "last": b, **common} for a, b in groups]
                settled = _collect(shared, tasks)
            both = {**shuffled, "reasons": dict(Counter(shuffled["reasons"]))}
            both["quarantine"] = {**shuffled["quarantine"]}
            _add_bad(both, settled)
            _check_share(shared, both)
            try:
                with timed(stages, "publish"):
                    change = partial(_change, base, settled["files"], both["quarantine"])
                    manifest = archive.publish(lambda m: entities.change(change(m)))
            except ConflictError:
                if attempt + 1 == _PUBLISH_ATTEMPTS:
                    raise
                continue
            with timed(stages, "ledger"):
                _register(ledger, shared, settled["ids"])
            return manifest, {**settled, "reasons": both["reasons"]}
    finally:
        ledger.close()
    raise AssertionError("unreachable")
