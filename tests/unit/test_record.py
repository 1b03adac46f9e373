from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from recsys.archive import Archive, Manifest, create_store
from recsys.errors import ConflictError
from recsys.ledger import Ledger, open_ledger
from recsys.record import (
    event_keys,
    first_of_each,
    known_events,
    read_all,
    read_record,
    read_user,
)
from recsys.schema import EVENTS, Event
from recsys.store import Store

P = 2


def event(name: str, user: str = "u", ts: float = 10.0, tenant: str = "default") -> Event:
    return Event(tenant, name, user, "i", "click", ts, 0, ts)


def table(*events: Event) -> pa.Table:
    rows = [
        {**e._asdict(), "ts": round(e.ts * 1e6), "ingested_at": round(e.ingested_at * 1e6)}
        for e in events
    ]
    return pa.Table.from_pylist(rows, schema=EVENTS)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    store = Store(str(tmp_path))
    create_store(store, 4)
    return Archive(store)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return open_ledger(f"sqlite:///{tmp_path}/ledger.db")


def names(record: pa.Table) -> list[str]:
    return list(record["event_id"].to_pylist())


def test_an_event_in_archive_and_tail_counts_once(archive: Archive, ledger: Ledger) -> None:
    file = archive.write_events(P, table(event("a"), event("b", ts=20.0)))
    manifest = archive.publish(lambda m: m.with_events({P: [file]}))
    ledger.append([P, P], [event("b", ts=20.0), event("c", ts=5.0)])
    record = read_record(archive, manifest, ledger, P, "default")
    assert names(record) == ["c", "a", "b"]
    assert record.schema.equals(EVENTS)


def test_one_user_is_read_as_in_the_whole_record(archive: Archive, ledger: Ledger) -> None:
    file = archive.write_events(P, table(event("a"), event("b", ts=20.0), event("d", "other")))
    manifest = archive.publish(lambda m: m.with_events({P: [file]}))
    ledger.append([P] * 3, [event("b", ts=20.0), event("c", ts=5.0), event("e", "other")])
    mine = read_user(archive, ledger, P, "default", "u", max_rows=3)
    whole = read_record(archive, manifest, ledger, P, "default")
    assert mine is not None
    assert mine.equals(whole.filter([user == "u" for user in whole["user_id"].to_pylist()]))
    assert read_user(archive, ledger, P, "default", "u", max_rows=2) is None
    nobody = read_user(archive, ledger, P, "default", "nobody", max_rows=3)
    assert nobody is not None and len(nobody) == 0 and nobody.schema.equals(EVENTS)


def test_rows_below_the_watermark_are_read_from_the_archive_alone(
    archive: Archive, ledger: Ledger
) -> None:
    ledger.append([P, P], [event("a"), event("b", ts=11.0)])
    file = archive.write_events(P, ledger.tail(P).slice(0, 1))
    manifest = archive.publish(lambda m: m.with_events({P: [file]}, {P: 1}))
    assert names(read_record(archive, manifest, ledger, P, "default")) == ["a", "b"]
    ledger.trim(P, 1, 0.0)
    assert names(read_record(archive, manifest, ledger, P, "default")) == ["a", "b"]


def test_reading_with_a_manifest_older_than_a_trim_is_a_conflict_not_a_loss(
    archive: Archive, ledger: Ledger
) -> None:
    old = archive.publish(lambda m: m)
    ledger.append([P], [event("a")])
    file = archive.write_events(P, ledger.tail(P))
    archive.publish(lambda m: m.with_events({P: [file]}, {P: 1}))
    ledger.trim(P, 1, 0.0)
    with pytest.raises(ConflictError, match="manifest again"):
        read_record(archive, old, ledger, P, "default")
    assert names(read_record(archive, archive.manifest(), ledger, P, "default")) == ["a"]


def test_tenants_do_not_see_each_other(archive: Archive, ledger: Ledger) -> None:
    file = archive.write_events(P, table(event("a"), event("b", tenant="shop")))
    manifest = archive.publish(lambda m: m.with_events({P: [file]}))
    ledger.append([P, P], [event("c"), event("d", tenant="shop")])
    assert names(read_record(archive, manifest, ledger, P, "shop")) == ["b", "d"]


def test_until_is_strict(archive: Archive, ledger: Ledger) -> None:
    file = archive.write_events(P, table(event("a", ts=1.0), event("b", ts=2.0)))
    manifest = archive.publish(lambda m: m.with_events({P: [file]}))
    ledger.append([P, P], [event("c", ts=1.5), event("d", ts=2.0)])
    assert names(read_record(archive, manifest, ledger, P, "default", until=2.0)) == ["a", "c"]


def test_nothing_ingested_is_an_empty_record(archive: Archive, ledger: Ledger) -> None:
    assert read_record(archive, None, None, P, "default").schema.equals(EVENTS)
    assert read_all(archive, ledger, "default").num_rows == 0


def test_the_whole_record_holds_every_partition(archive: Archive, ledger: Ledger) -> None:
    file = archive.write_events(0, table(event("a", user="z")))
    archive.publish(lambda m: m.with_events({0: [file]}))
    ledger.append([3], [event("b", user="a")])
    assert names(read_all(archive, ledger, "default")) == ["a", "b"]
    assert read_all(archive, ledger, "default", columns=["kind"]).column_names == ["kind"]


def test_a_partition_compacted_while_it_is_read_is_read_again(
    archive: Archive, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.append([P], [event("a")])
    plain = Archive.manifest

    def manifest_then_compaction(self: Archive) -> Manifest | None:
        found = plain(self)
        if ledger.trimmed_seq(P) == 0:
            file = archive.write_events(P, table(event("a")))
            archive.publish(lambda m: m.with_events({P: [file]}, {P: 1}))
            ledger.trim(P, 1, keep_ids_after_ts=0.0)
        return found

    monkeypatch.setattr(Archive, "manifest", manifest_then_compaction)
    assert names(read_all(archive, ledger, "default")) == ["a"]


def test_keys_tell_users_and_tenants_apart() -> None:
    rows = table(event("a"), event("a", user="v"), event("a"), event("a", tenant="t"))
    assert first_of_each(event_keys(rows)).tolist() == [0, 1, 3]
    assert first_of_each(event_keys(rows.slice(0, 0))).tolist() == []


def test_known_events_are_those_in_the_archive(archive: Archive) -> None:
    files = [archive.write_events(P, table(event(n))) for n in ("a", "b")]
    manifest = archive.publish(lambda m: m.with_events({P: files}))
    keys = event_keys(table(event("b"), event("c")))
    assert known_events(archive, manifest, P, keys).to_pylist() == ["default\0u\0b"]
    assert len(known_events(archive, manifest, 0, keys)) == 0
