"""Retention: what is older than the horizon is gone from archive and ledger."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines import compact
from pipelines.job import Job
from recsys.archive import Archive, create_store
from recsys.errors import ConfigError, ConflictError
from recsys.folding import read_to_position
from recsys.ledger import SqliteLedger, open_ledger
from recsys.record import read_all, read_record
from recsys.retention import horizon_s
from recsys.schema import Event
from recsys.settings import DAY_S, load
from recsys.store import Store
from tests.postgres import PostgresServer

N_PARTITIONS = 2
NOW = time.time()
DAYS = 30


class Killed(BaseException):
    """Stands for the end of the process: nothing catches it."""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(str(tmp_path / "store"))
    create_store(store, N_PARTITIONS)
    return store


@pytest.fixture
def job(store: Store, tmp_path: Path) -> Job:
    settings = load(assignments=[f"data.n_partitions={N_PARTITIONS}"])
    return Job(store, f"sqlite:///{tmp_path}/ledger.db", settings)


def retaining(job: Job, days: float = DAYS) -> Job:
    data = job.settings.data.model_copy(update={"retention_days": days})
    return replace(job, settings=job.settings.model_copy(update={"data": data}))


def event(name: str, age_days: float) -> Event:
    ts = NOW - age_days * DAY_S
    return Event("default", name, f"user-of-{name}", "i1", "click", ts, 0, ts)


def append(job: Job, partition: int, *events: Event) -> list[int]:
    with closing(open_ledger(job.ledger_url)) as ledger:
        return ledger.append([partition] * len(events), events)


def record_ids(job: Job) -> list[str]:
    with closing(open_ledger(job.ledger_url)) as ledger:
        found = read_all(Archive(job.store), ledger, "default")["event_id"].to_pylist()
    assert len(found) == len(set(found))
    return sorted(found)


def stored_bytes(job: Job) -> bytes:
    root = job.store.root
    assert root is not None
    tables = [
        job.store.read_table(str(path.relative_to(root))).to_pylist()
        for path in sorted((root / "archive/events").rglob("*.parquet"))
    ]
    return repr(tables).encode()


def fill(job: Job) -> None:
    """Archived: one file with young and old events, one all old, one all young; and a tail."""
    append(job, 0, event("a-old", 40.0), event("a-young", 10.0))
    compact.run(job)
    append(job, 0, event("b-old", 50.0))
    append(job, 1, event("c-young", 3.0))
    compact.run(job)
    append(job, 1, event("d-old", 60.0), event("d-young", 1.0))


OLD, YOUNG = ["a-old", "b-old", "d-old"], ["a-young", "c-young", "d-young"]


def test_without_a_horizon_nothing_ever_leaves(job: Job) -> None:
    fill(job)
    report = compact.run(job)
    assert (report["n_expired"], report["retained_since"]) == (0, None)
    assert record_ids(job) == sorted(OLD + YOUNG)


def test_older_events_leave_archive_and_ledger(job: Job) -> None:
    fill(job)
    report = compact.run(retaining(job))
    since = report["retained_since"]
    assert NOW - DAYS * DAY_S <= since <= NOW - (DAYS - 1.001) * DAY_S
    assert report["n_expired"] == 2
    assert record_ids(job) == YOUNG
    stored = stored_bytes(job)
    assert all(name.encode() in stored for name in YOUNG)
    assert not any(name.encode() in stored for name in OLD)
    manifest = Archive(job.store).manifest()
    assert manifest is not None
    assert (manifest.retained_since, manifest.retired) == (since, ())
    assert all(f.min_ts >= since for p in manifest.partitions.values() for f in p.files)
    with closing(open_ledger(job.ledger_url)) as ledger:
        assert sum(len(ledger.tail(p)) for p in range(N_PARTITIONS)) == 0
        assert ledger.last_seq(1) == manifest.watermark(1) == 3


def test_an_expired_tail_without_anything_young_moves_the_watermark(job: Job) -> None:
    append(job, 0, event("old", 60.0))
    report = compact.run(retaining(job))
    assert (report["n_archived"], report["n_files"], record_ids(job)) == (0, 0, [])
    manifest = Archive(job.store).manifest()
    assert manifest is not None and manifest.watermark(0) == 1
    assert append(job, 0, event("new", 1.0)) == [2]
    assert record_ids(job) == ["new"]


def test_a_rerun_on_the_same_day_changes_nothing(job: Job) -> None:
    fill(job)
    first = compact.run(retaining(job))
    second = compact.run(retaining(job))
    assert second["manifest"] == first["manifest"]
    assert (second["n_archived"], second["n_expired"], second["n_trimmed"]) == (0, 0, 0)


def test_a_longer_retention_later_does_not_move_the_horizon_back(job: Job) -> None:
    fill(job)
    first = compact.run(retaining(job))
    assert compact.run(retaining(job, 90.0))["retained_since"] == first["retained_since"]
    assert compact.run(job)["retained_since"] == first["retained_since"]


def test_what_comes_late_from_before_the_horizon_is_not_read(job: Job) -> None:
    compact.run(retaining(job))
    append(job, 0, event("straggler", 40.0), event("young", 1.0))
    archive = Archive(job.store)
    assert archive.manifest() is None, "an archive that never was holds no promise"
    compact.run(retaining(job))
    append(job, 0, event("second straggler", 40.0))
    assert record_ids(job) == ["young"]
    with closing(open_ledger(job.ledger_url)) as ledger:
        record, position = read_to_position(archive, ledger, 0, "default")
    assert (record["event_id"].to_pylist(), position.ledger_seq) == (["young"], 3)


def test_a_reader_of_the_manifest_before_reads_again(job: Job) -> None:
    fill(job)
    compact.run(job)
    archive = Archive(job.store)
    before = archive.manifest()
    compact.run(retaining(job))
    with pytest.raises(ConflictError, match="Read the archive's manifest again"):
        read_record(archive, before, None, 0, "default")


def test_a_retention_that_late_events_could_undo_is_refused() -> None:
    with pytest.raises(ConfigError, match="retention_days must be at least 8"):
        load(assignments=["data.retention_days=7"])
    assert load(assignments=["data.retention_days=9"]).data.retention_days == 9.0


def test_the_horizon_is_a_whole_day_within_the_retention() -> None:
    for now in (100.0 * DAY_S, 100.0 * DAY_S + 1.0, 100.9 * DAY_S):
        horizon = horizon_s(now, 30.0)
        assert horizon % DAY_S == 0.0
        assert now - 30.0 * DAY_S <= horizon < now - 29.0 * DAY_S


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    ("owner", "name", "call"),
    [
        (Archive, "write_events", 1),
        (Archive, "write_events", 2),
        (Store, "swap_pointer", 1),
        (Store, "swap_pointer", 2),
        (Store, "delete", 1),
        (Store, "delete", 2),
        (SqliteLedger, "trim", 1),
        (SqliteLedger, "trim_before", 1),
        (SqliteLedger, "trim_before", 2),
    ],
)
def test_a_crash_between_any_two_steps_keeps_the_young_and_the_next_run_ends_it(
    job: Job, monkeypatch: pytest.MonkeyPatch, owner: type, name: str, call: int, after: bool
) -> None:
    fill(job)
    original: Callable[..., Any] = getattr(owner, name)
    calls = 0

    def method(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call and not after:
            raise Killed
        result = original(*args, **kwargs)
        if calls == call:
            raise Killed
        return result

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, method)
        with pytest.raises(Killed):
            compact.run(retaining(job))
    found = record_ids(job)
    assert found in (sorted(OLD + YOUNG), YOUNG), "all or nothing of what is too old"
    compact.run(retaining(job))
    assert record_ids(job) == YOUNG
    assert not any(old.encode() in stored_bytes(job) for old in OLD)
    with closing(open_ledger(job.ledger_url)) as ledger:
        assert sum(len(ledger.tail(p)) for p in range(N_PARTITIONS)) == 0


def test_it_works_on_postgres_too(job: Job, postgres: PostgresServer) -> None:
    job = replace(job, ledger_url=postgres.new_database())
    fill(job)
    compact.run(retaining(job))
    assert record_ids(job) == YOUNG
