from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipelines import compact
from pipelines.job import Job
from recsys.archive import Archive, Manifest, create_store
from recsys.bundle import Bundle
from recsys.errors import NotFoundError
from recsys.folding import Basis, empty_state
from recsys.ledger import (
    ERASURE_KEY,
    Ledger,
    SqliteLedger,
    erasure_pseudonym,
    open_ledger,
)
from recsys.record import read_all
from recsys.schema import Event, partition_of
from recsys.settings import DAY_S, Settings, load
from recsys.snapshot import Position, SnapshotKey, save
from recsys.store import Store
from recsys.testing.fakes import tiny_bundle, tiny_items

N_PARTITIONS = 4
NOW = time.time()


class Killed(BaseException):
    """Stands for the end of the process: nothing catches it."""


@pytest.fixture
def job(tmp_path: Path) -> Job:
    store = Store(str(tmp_path / "store"))
    create_store(store, N_PARTITIONS)
    settings = load(assignments=[f"data.n_partitions={N_PARTITIONS}"])
    return Job(store, f"sqlite:///{tmp_path}/ledger.db", settings)


def event(number: int, tenant: str = "default", age_s: float = 100.0) -> Event:
    ts = NOW - age_s
    return Event(tenant, f"e{number}", f"u{number % 9}", "i1", "click", ts, 0, ts)


def append(job: Job, events: list[Event]) -> list[int]:
    partitions = [partition_of(e.tenant, e.user_id, N_PARTITIONS) for e in events]
    with closing(open_ledger(job.ledger_url)) as ledger:
        return ledger.append(partitions, events)


def record_ids(job: Job, tenant: str = "default") -> list[str]:
    """Ids of the whole record, each as often as it is counted."""
    archive = Archive(job.store)
    with closing(open_ledger(job.ledger_url)) as ledger:
        table = read_all(archive, ledger, tenant)
    return sorted(table["event_id"].to_pylist())


def n_in_ledger(job: Job) -> int:
    with closing(open_ledger(job.ledger_url)) as ledger:
        return sum(len(ledger.tail(p)) for p in range(N_PARTITIONS))


def n_archived(job: Job) -> int:
    manifest = Archive(job.store).manifest()
    return 0 if manifest is None else manifest.n_events


def snapshot_at(job: Job, bundle: Bundle, partition: int, ledger_seq: int) -> None:
    key = SnapshotKey(job.tenant, bundle.bundle_id, partition)
    state = empty_state(Basis.of(bundle))
    save(job.store, key, *state, Position(ledger_seq))


def test_committed_rows_move_into_the_archive_of_all_tenants(job: Job) -> None:
    append(job, [event(n) for n in range(30)])
    append(job, [event(n, tenant="other") for n in range(5)])
    before = record_ids(job)
    report = compact.run(job)
    assert (report["n_archived"], report["n_trimmed"]) == (35, 35)
    assert n_in_ledger(job) == 0
    assert record_ids(job) == before
    assert len(record_ids(job, "other")) == 5


def test_compacting_again_changes_nothing(job: Job) -> None:
    append(job, [event(n) for n in range(30)])
    first = compact.run(job)
    second = compact.run(job)
    assert (second["n_archived"], second["n_files"], second["n_trimmed"]) == (0, 0, 0)
    assert second["manifest"] == first["manifest"]


def test_an_empty_ledger_is_fine_and_an_unmade_store_is_an_error(job: Job, tmp_path: Path) -> None:
    assert compact.run(job)["manifest"] is None
    unmade = Job(Store(str(tmp_path / "unmade")), job.ledger_url, job.settings)
    with pytest.raises(NotFoundError, match="ingest"):
        compact.run(unmade)


def kill_in(
    monkeypatch: pytest.MonkeyPatch, owner: type, name: str, call: int, after: bool
) -> None:
    """End the process at the ``call``-th call of a method, before or after it did its work."""
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

    monkeypatch.setattr(owner, name, method)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    ("owner", "name", "call"),
    [
        (SqliteLedger, "tail", 1),
        (Archive, "write_events", 1),
        (Archive, "write_events", 3),
        (Archive, "publish", 1),
        (Store, "swap_pointer", 1),
        (SqliteLedger, "trim", 1),
        (SqliteLedger, "trim", 3),
    ],
)
def test_a_crash_between_any_two_steps_loses_and_doubles_nothing(
    job: Job, monkeypatch: pytest.MonkeyPatch, owner: type, name: str, call: int, after: bool
) -> None:
    append(job, [event(n) for n in range(40)])
    compact.run(job)
    append(job, [event(n) for n in range(40, 80)])
    before = record_ids(job)
    assert len(before) == len(set(before)) == 80
    with monkeypatch.context() as patch:
        kill_in(patch, owner, name, call, after)
        with pytest.raises(Killed):
            compact.run(job)
    assert record_ids(job) == before
    append(job, [event(n) for n in range(70, 90)])  # ten of them a second time
    now = record_ids(job)
    assert len(now) == len(set(now)) == 90
    compact.run(job)
    assert record_ids(job) == now
    assert n_archived(job) == 90
    assert n_in_ledger(job) == 0


def test_events_that_arrive_while_it_runs_stay_in_the_ledger(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(job, [event(n) for n in range(20)])
    original = Archive.publish

    def publish(self: Archive, change: Callable[[Manifest], Manifest]) -> Manifest:
        append(job, [event(n) for n in range(20, 27)])
        return original(self, change)

    with monkeypatch.context() as patch:
        patch.setattr(Archive, "publish", publish)
        report = compact.run(job)
    assert report["n_archived"] == 20
    assert n_in_ledger(job) == 7
    ids = record_ids(job)
    assert len(ids) == len(set(ids)) == 27


def test_two_compactions_at_once_archive_each_event_once(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(job, [event(n) for n in range(20)])
    original = Archive.publish
    rival_ran = False

    def publish(self: Archive, change: Callable[[Manifest], Manifest]) -> Manifest:
        nonlocal rival_ran
        if not rival_ran:
            rival_ran = True
            append(job, [event(n) for n in range(20, 30)])  # so that the rival's files differ
            compact.run(job)
        return original(self, change)

    with monkeypatch.context() as patch:
        patch.setattr(Archive, "publish", publish)
        compact.run(job)
    assert n_archived(job) == 30
    assert len(record_ids(job)) == 30
    assert n_in_ledger(job) == 0


def test_an_ingest_in_between_keeps_its_events_and_ours(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(job, [event(n) for n in range(20)])
    archive = Archive(job.store)
    original = Store.swap_pointer
    ingested = False

    def swap(self: Store, path: str, value: dict[str, Any], expected: str | None) -> None:
        nonlocal ingested
        if not ingested:
            ingested = True
            rows = tail_of(event(99, age_s=5 * DAY_S))
            file = archive.write_events(0, rows)
            archive.publish(lambda m: m.with_events({0: [file]}))
        original(self, path, value, expected)

    def tail_of(live: Event) -> Any:
        with closing(SqliteLedger(Path(job.ledger_url.removeprefix("sqlite:///") + ".2"))) as other:
            other.append([0], [live])
            return other.tail(0)

    monkeypatch.setattr(Store, "swap_pointer", swap)
    compact.run(job)
    assert n_archived(job) == 21
    assert n_in_ledger(job) == 0


def test_rows_that_a_snapshot_lacks_stay_until_it_has_them(job: Job) -> None:
    bundle = tiny_bundle(job.store, tiny_items({"i1": "moon", "i2": "sun"}), created_at=NOW)
    append(job, [event(n) for n in range(40)])
    with closing(open_ledger(job.ledger_url)) as ledger:
        partition = max(range(N_PARTITIONS), key=ledger.last_seq)
        last = ledger.last_seq(partition)
    snapshot_at(job, bundle, partition, last - 3)
    compact.run(job)
    with closing(open_ledger(job.ledger_url)) as ledger:
        assert len(ledger.tail(partition)) == 3
    assert n_in_ledger(job) == 3
    assert len(record_ids(job)) == 40
    snapshot_at(job, bundle, partition, last)
    assert compact.run(job)["n_trimmed"] == 3
    assert n_in_ledger(job) == 0


def test_a_copy_of_a_compacted_event_is_still_a_duplicate(job: Job) -> None:
    events = [event(n) for n in range(10)]
    append(job, events)
    compact.run(job)
    assert append(job, events) == [0] * 10
    assert len(record_ids(job)) == 10


def test_old_ids_are_forgotten_because_such_events_are_refused(job: Job) -> None:
    late = Settings().data.max_late_s
    append(job, [event(1, age_s=late + 2 * DAY_S), event(2, age_s=late - DAY_S), event(3)])
    compact.run(job)
    with closing(open_ledger(job.ledger_url)) as ledger:
        assert known(ledger, event(2)) == 0
        assert known(ledger, event(1)) > 0


def known(ledger: Ledger, again: Event) -> int:
    """0 if the ledger takes it for a duplicate."""
    partition = partition_of(again.tenant, again.user_id, N_PARTITIONS)
    return ledger.append([partition], [again])[0]


def test_ids_that_an_ingest_registered_are_forgotten_without_live_events_too(job: Job) -> None:
    append(job, [event(2)])
    compact.run(job)
    ids = pa.table({"tenant": ["default"], "user_id": ["u"], "event_id": ["e"], "ts": [10**15]})
    with closing(open_ledger(job.ledger_url)) as ledger:
        assert ledger.register_archived([0], ids) == 1
        compact.run(job)
        assert ledger.register_archived([0], ids) == 1


def test_what_leaves_the_ledger_is_on_the_disk_for_good(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(job, [event(1)])
    left: list[int] = []
    monkeypatch.setattr(os, "sync", lambda: left.append(n_in_ledger(job)))
    compact.run(job)
    assert (left, n_in_ledger(job)) == ([1], 0)


@pytest.mark.parametrize("is_before", [True, False])
def test_compaction_archives_nothing_of_who_is_being_erased(
    job: Job, monkeypatch: pytest.MonkeyPatch, is_before: bool
) -> None:
    """Whether the tombstone stood before it began, or came while it wrote its files."""
    append(job, [event(n) for n in range(18)])

    def bury() -> None:
        with closing(open_ledger(job.ledger_url)) as ledger:
            ledger.put_value(ERASURE_KEY, "ab" * 32, 0)
            name = erasure_pseudonym("ab" * 32, "default", "u4")
            ledger.bury("default", name, NOW)

    publish = Archive.publish

    def meanwhile(self: Archive, change: Callable[[Manifest], Manifest]) -> Manifest:
        bury()
        return publish(self, change)

    if is_before:
        bury()
    else:
        monkeypatch.setattr(Archive, "publish", meanwhile)
    report = compact.run(job)
    assert report["n_erased"] == (2 if is_before else 0)
    assert n_archived(job) == 16 and n_in_ledger(job) == 0
    stored = [
        user
        for path in job.store.paths("archive/events")
        for user in job.store.read_table(path)["user_id"].to_pylist()
    ]
    assert len(stored) == 16 and "u4" not in stored
