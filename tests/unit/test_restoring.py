"""A ledger that took the place of a lost one goes on where that ended."""

from __future__ import annotations

from pathlib import Path

import pyarrow.compute as pc
import pytest

from recsys.archive import Archive, create_store
from recsys.errors import LedgerError
from recsys.folding import Basis, empty_state
from recsys.ledger import DUPLICATE, Ledger, SqliteLedger
from recsys.record import read_record
from recsys.restoring import check_not_replaced, restore_partition
from recsys.snapshot import Position, SnapshotKey, save
from recsys.store import Store
from recsys.testing import tiny_bundle, tiny_items
from recsys.testing.ledger_contract import contract_event

P = 3
TS = {"ancient": 10.0, "recent": 100.0, "newest": 110.0}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(str(tmp_path / "store"))
    create_store(store, 4)
    return store


@pytest.fixture
def lost(store: Store, tmp_path: Path) -> Ledger:
    """Three archived events, and two more that only the ledger had."""
    ledger = SqliteLedger(tmp_path / "lost.db")
    ledger.append([P] * 3, [contract_event(name, ts=ts) for name, ts in TS.items()])
    archive = Archive(store)
    file = archive.write_events(P, ledger.tail(P))
    archive.publish(lambda m: m.with_events({P: [file]}, {P: 3}))
    ledger.append([P] * 2, [contract_event("gone", ts=120.0), contract_event("gone2", ts=121.0)])
    return ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return SqliteLedger(tmp_path / "new.db")


KEY = SnapshotKey("t", "bundle", P)


def test_a_new_ledger_goes_on_after_the_archive(store: Store, lost: Ledger, ledger: Ledger) -> None:
    archive = Archive(store)
    assert restore_partition(archive, ledger, KEY, ids_after_ts=50.0)
    assert not restore_partition(archive, ledger, KEY, ids_after_ts=50.0)
    again = [contract_event(name, ts=ts) for name, ts in TS.items()]
    assert ledger.append([P] * 3, again) == [4, DUPLICATE, DUPLICATE]
    assert ledger.append([P], [contract_event("fresh", ts=130.0)]) == [5]
    record = read_record(archive, archive.manifest(), ledger, P, "t")
    assert record["event_id"].to_pylist() == ["ancient", "recent", "newest", "fresh"]


def test_without_it_a_new_event_would_count_as_archived(
    store: Store, lost: Ledger, ledger: Ledger
) -> None:
    archive = Archive(store)
    ledger.append([P], [contract_event("fresh", ts=130.0)])
    record = read_record(archive, archive.manifest(), ledger, P, "t")
    assert not pc.any(pc.equal(record["event_id"], "fresh")).as_py()
    with pytest.raises(LedgerError, match=r"pipelines\.bootstrap") as caught:
        check_not_replaced(ledger, P, known_seq=3)
    assert caught.value.partitions == (P,)


def test_the_ledger_that_was_there_is_left_alone(store: Store, lost: Ledger) -> None:
    assert not restore_partition(Archive(store), lost, KEY, ids_after_ts=0.0)
    check_not_replaced(lost, P, known_seq=5)
    assert len(lost.tail(P)) == 5


def test_it_goes_on_after_every_snapshot_of_any_tenant(
    store: Store, lost: Ledger, ledger: Ledger
) -> None:
    bundle = tiny_bundle(store, tiny_items({"i": "moon", "j": "sun"}), created_at=0.0)
    other = SnapshotKey("another", bundle.bundle_id, P)
    save(store, other, *empty_state(Basis.of(bundle)), Position(5))
    restore_partition(Archive(store), ledger, KEY, ids_after_ts=50.0)
    assert (ledger.last_seq(P), ledger.trimmed_seq(P)) == (5, 5)
    assert [ledger.last_seq(p) for p in (0, 1, 2)] == [0, 0, 0]


def test_a_snapshot_alone_is_enough_to_know(store: Store, ledger: Ledger) -> None:
    bundle = tiny_bundle(store, tiny_items({"i": "moon", "j": "sun"}), created_at=0.0)
    key = SnapshotKey("t", bundle.bundle_id, P)
    save(store, key, *empty_state(Basis.of(bundle)), Position(7))
    assert restore_partition(Archive(store), ledger, key, ids_after_ts=0.0)
    assert ledger.append([P], [contract_event("a")]) == [8]
