"""A store with a record, an old bundle that is published, and a new one that is not."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines import bootstrap
from pipelines.job import Job
from recsys.archive import Archive, create_store
from recsys.bundle import load_bundle, promote_bundle
from recsys.ledger import open_ledger
from recsys.schema import Event, partition_of
from recsys.settings import HOUR_S, load
from recsys.store import Store
from recsys.testing.fakes import tiny_bundle, tiny_items, tiny_log

N_PARTITIONS = 3
NOW = 1_700_000_000.0
TEXTS = {f"i{n}": f"topic{n % 3} word{n}" for n in range(12)}


@dataclass(frozen=True)
class Stage:
    """What promotions are tested on."""

    job: Job
    old: str
    new: str


def staged(folder: Path) -> Stage:
    """Archived events of ten users; the new bundle's parent is the old one, which is published."""
    store = Store(str(folder / "store"))
    create_store(store, N_PARTITIONS)
    settings = load(assignments=[f"data.n_partitions={N_PARTITIONS}", "encoder.n_dims=8"])
    job = Job(store, f"sqlite:///{folder}/ledger.db", settings)
    ingest(job, 200, NOW - HOUR_S * 300)
    old = tiny_bundle(store, tiny_items(TEXTS), created_at=NOW, settings=settings)
    changed = load(assignments=["encoder.n_dims=8", "interest.half_lives_s=[3600, 86400]"])
    more = {**TEXTS, "i12": "topic0 fresh"}
    new = tiny_bundle(store, tiny_items(more), created_at=NOW + 60.0, settings=changed)
    promote_bundle(store, "default", old.bundle_id)
    return Stage(job, old.bundle_id, new.bundle_id)


def ingest(job: Job, n_events: int, first_ts: float, user: str = "a") -> None:
    """Put purchases of ten users into the archive directly, an hour apart."""
    rows = [
        (f"{user}{n % 10}", f"i{n % 14}", "purchase", first_ts + HOUR_S * n)
        for n in range(n_events)
    ]
    log = tiny_log(rows)
    owners = np.array([partition_of("default", row[0], N_PARTITIONS) for row in rows])
    archive = Archive(job.store)
    files = {
        p: [archive.write_events(p, log.filter(owners == p))]
        for p in range(N_PARTITIONS)
        if (owners == p).any()
    }
    archive.publish(lambda manifest: manifest.with_events(files))


def append(job: Job, n_events: int, first: int = 0) -> None:
    """Commit live clicks to the ledger."""
    events = [
        Event("default", f"live{n}", f"a{n % 13}", f"i{n % 12}", "click", NOW + n, 0, NOW)
        for n in range(first, first + n_events)
    ]
    owners = [partition_of(e.tenant, e.user_id, N_PARTITIONS) for e in events]
    with closing(open_ledger(job.ledger_url)) as ledger:
        ledger.append(owners, events)


def fold_here(job: Job, bundle_id: str | None = None) -> dict[str, Any]:
    """``bootstrap.run`` without Ray."""
    basis = bootstrap.fold_basis(job, load_bundle(job.store, job.tenant, bundle_id))
    reports = [bootstrap.bootstrap_partition(job, basis, p) for p in range(N_PARTITIONS)]
    return {"bundle_id": bundle_id, "n_events": sum(r["n_events"] for r in reports)}
