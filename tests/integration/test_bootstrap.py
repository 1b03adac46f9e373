from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from pipelines import bootstrap
from pipelines.job import Job
from recsys.archive import Archive, create_store
from recsys.bundle import Bundle
from recsys.errors import ConflictError, NotFoundError
from recsys.folding import Basis, fold_partition
from recsys.ledger import open_ledger
from recsys.record import read_record
from recsys.schema import Event, partition_of
from recsys.settings import HOUR_S, load
from recsys.snapshot import Snapshot, SnapshotKey
from recsys.snapshot import load as load_snapshot
from recsys.store import Store
from recsys.testing.fakes import tiny_bundle, tiny_items, tiny_log

N_PARTITIONS = 3
NOW = time.time()
TEXTS = {f"i{n}": f"topic{n % 3} word{n}" for n in range(12)}


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A store with archived events of users a0..a9 and nothing in the ledger."""
    store = Store(str(tmp_path / "store"))
    create_store(store, N_PARTITIONS)
    settings = load(assignments=[f"data.n_partitions={N_PARTITIONS}", "encoder.n_dims=8"])
    job = Job(store, f"sqlite:///{tmp_path}/ledger.db", settings)
    archive = Archive(store)
    rows = [(f"a{n % 10}", f"i{n % 14}", "purchase", NOW - HOUR_S * (300 - n)) for n in range(200)]
    log = tiny_log(rows)
    owners = np.array([partition_of("default", row[0], N_PARTITIONS) for row in rows])
    files = {p: [archive.write_events(p, log.filter(owners == p))] for p in range(N_PARTITIONS)}
    archive.publish(lambda manifest: manifest.with_events(files))
    return job


@pytest.fixture
def bundle(job: Job) -> Bundle:
    return tiny_bundle(job.store, tiny_items(TEXTS), created_at=NOW, settings=job.settings)


def append(job: Job, n_events: int, first: int = 0) -> None:
    events = [
        Event("default", f"live{n}", f"a{n % 13}", f"i{n % 12}", "click", NOW + n, 0, NOW)
        for n in range(first, first + n_events)
    ]
    partitions = [partition_of(e.tenant, e.user_id, N_PARTITIONS) for e in events]
    with closing(open_ledger(job.ledger_url)) as ledger:
        ledger.append(partitions, events)


def loaded(job: Job, bundle: Bundle, partition: int) -> Snapshot:
    key = SnapshotKey(job.tenant, bundle.bundle_id, partition)
    found = load_snapshot(job.store, key, bundle.settings)
    assert found is not None
    return found


@pytest.mark.ray
def test_bootstrap_saves_the_fold_of_archive_and_ledger_for_every_partition(
    job: Job, bundle: Bundle, cluster: None
) -> None:
    append(job, 60)
    report = bootstrap.run(job)
    assert report["n_events"] == 260
    assert report["n_users"] == 13
    assert report["n_pending"] == 28  # purchases of i12 and i13, which the bundle lacks
    archive = Archive(job.store)
    manifest = archive.manifest()
    assert manifest is not None
    with closing(open_ledger(job.ledger_url)) as ledger:
        for partition in range(N_PARTITIONS):
            record = read_record(archive, manifest, ledger, partition, "default")
            table, trend = fold_partition(record, Basis.of(bundle, job.settings))
            found = loaded(job, bundle, partition)
            assert found.position.ledger_seq == ledger.last_seq(partition)
            assert found.position.archive_manifest == manifest.manifest_id
            assert found.table.user_ids == table.user_ids
            np.testing.assert_array_equal(found.table.sums, table.sums)
            np.testing.assert_array_equal(found.table.t_ref, table.t_ref)
            np.testing.assert_array_equal(found.trend.mass, trend.mass)


@pytest.mark.ray
def test_bootstrapping_again_after_more_events_counts_each_once(
    job: Job, bundle: Bundle, cluster: None
) -> None:
    bootstrap.run(job)
    assert bootstrap.run(job)["n_events"] == 200
    append(job, 39)
    assert bootstrap.run(job)["n_events"] == 239
    tables = [loaded(job, bundle, p).table for p in range(N_PARTITIONS)]
    assert sum(int(table.n_events.sum()) for table in tables) == 239 - 28


@pytest.mark.ray
def test_an_error_of_a_task_reaches_the_caller_as_our_own(
    job: Job, bundle: Bundle, cluster: None
) -> None:
    manifest = Archive(job.store).manifest()
    assert manifest is not None
    job.store.delete(manifest.partition(1).files[0].path)
    with pytest.raises(NotFoundError, match="partition=1"):
        bootstrap.run(job)


def test_a_store_without_a_bundle_says_what_to_run(job: Job) -> None:
    with pytest.raises(NotFoundError, match="embed"):
        bootstrap.run(job)


def test_a_partition_is_folded_again_when_a_shard_saves_meanwhile(
    job: Job, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = bootstrap.save
    calls = 0

    def save(*args: object, **kwargs: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 1:
            append(job, 20)
            raise ConflictError("snapshot", "was moved")
        return original(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(bootstrap, "save", save)
    basis = bootstrap.fold_basis(job, bundle)
    report = bootstrap.bootstrap_partition(job, basis, 0)
    manifest = Archive(job.store).manifest()
    assert manifest is not None
    n_archived = manifest.partition(0).files[0].n_events
    with closing(open_ledger(job.ledger_url)) as ledger:
        assert loaded(job, bundle, 0).position.ledger_seq == ledger.last_seq(0) > 0
        assert report["n_events"] == n_archived + ledger.last_seq(0)


def test_the_bundle_fixes_how_events_are_folded(job: Job, bundle: Bundle) -> None:
    changed = job.settings.model_copy(
        update={"interest": job.settings.interest.model_copy(update={"half_lives_s": (5.0,)})}
    )
    basis = bootstrap.fold_basis(Job(job.store, job.ledger_url, changed), bundle)
    assert basis.basis.settings.interest == bundle.settings.interest
    assert basis.basis.settings.evaluation == changed.evaluation
