"""A shard without Ray: commit, fold, read, recover."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest

from recsys.archive import Archive
from recsys.errors import LedgerError, StoreError, UnavailableError, WrongOwnerError
from recsys.folding import fold_partition, read_to_position
from recsys.schema import Event, partition_of
from recsys.snapshot import Position, load, save
from serving.pool import partition as partition_module
from serving.pool.leases import Leases
from serving.pool.partition import Ground, load_partition
from serving.pool.shard import Shard

NOW = 1_700_000_000.0
MakeEvent = Callable[..., Event]
NewShard = Callable[[], Shard]


def test_an_acknowledged_event_is_in_the_next_read(new_shard: NewShard, event: MakeEvent) -> None:
    shard = new_shard()
    ack = shard.append([event("u", "space-1"), event("u", "space-2", NOW + 5.0)])
    (view,) = shard.read(["u"], NOW + 10.0)
    assert (ack.n_accepted, ack.n_duplicates, ack.n_pending) == (2, 0, 0)
    assert ack.versions == {view.partition: view.version}
    assert view.is_known and view.n_events == 2 and view.t_ref == NOW + 5.0
    assert sorted(view.seen) == sorted(view.recent_item)
    assert view.recent_kind == ("click", "click")
    assert np.linalg.norm(view.query.vectors) > 0.0


def test_an_event_counts_once(new_shard: NewShard, event: MakeEvent) -> None:
    shard = new_shard()
    first = event("u", "space-1")
    assert shard.append([first, first]).n_accepted == 1
    before = shard.read(["u"], NOW)[0]
    again = shard.append([first])
    assert (again.n_accepted, again.n_duplicates) == (0, 1)
    assert again.versions == {before.partition: before.version}
    np.testing.assert_array_equal(shard.read(["u"], NOW)[0].mass, before.mass)


def test_somebody_unknown_has_an_empty_profile(new_shard: NewShard) -> None:
    (view,) = new_shard().read(["nobody"], NOW)
    assert not view.is_known
    assert view.n_events == 0 and view.as_of == NOW and view.t_ref == -np.inf
    assert not view.query.vectors.any() and not view.mass.any() and len(view.seen) == 0


def test_a_read_before_the_last_event_is_made_at_that_event(
    new_shard: NewShard, event: MakeEvent
) -> None:
    shard = new_shard()
    shard.append([event("u", "space-1", NOW)])
    assert shard.read(["u"], NOW - 100.0)[0].as_of == NOW


def test_confidence_fades_and_the_mean_does_not_matter_for_it(
    new_shard: NewShard, event: MakeEvent
) -> None:
    shard = new_shard()
    shard.append([event("u", "food-1")])
    now, later = (shard.read(["u"], NOW + gap)[0] for gap in (0.0, 30 * 86_400.0))
    assert np.all(later.confidence < now.confidence)
    assert later.confidence[0] < 1e-6 < later.confidence[-1]


def test_an_item_that_the_catalog_lacks_is_pending_and_still_durable(
    new_shard: NewShard, event: MakeEvent, ground: Ground
) -> None:
    ack = new_shard().append([event("u", "not-yet"), event("u", None, kind="search")])
    assert (ack.n_accepted, ack.n_pending) == (2, 1)
    (partition,) = ack.versions
    assert len(ground.ledger.tail(partition)) == 2


def test_a_restarted_shard_reads_the_same(
    new_shard: NewShard, event: MakeEvent, rng: np.random.Generator
) -> None:
    shard = new_shard()
    items = [f"space-{n}" for n in range(12)]
    events = [
        event(f"u{n % 9}", items[int(rng.integers(12))], NOW - float(rng.random()) * 1e6)
        for n in range(60)
    ]
    for start in range(0, 60, 7):
        shard.append(events[start : start + 7])
        if start == 28:
            assert shard.save_snapshots() > 0
    users = [f"u{n}" for n in range(9)]
    for before, after in zip(shard.read(users, NOW), new_shard().read(users, NOW), strict=True):
        np.testing.assert_allclose(after.query.vectors, before.query.vectors, atol=1e-5)
        np.testing.assert_allclose(after.mass, before.mass, rtol=1e-5)
        assert sorted(after.seen) == sorted(before.seen)
        assert after.version == before.version and after.n_events == before.n_events


def test_live_folds_agree_with_a_fold_of_the_record(
    new_shard: NewShard, event: MakeEvent, ground: Ground, rng: np.random.Generator
) -> None:
    shard = new_shard()
    for n in range(40):
        ts = NOW - float(rng.random()) * 1e7
        shard.append([event(f"u{n % 5}", f"food-{n % 12}", ts, "dislike" if n % 4 else "like")])
    for user in (f"u{n}" for n in range(5)):
        number = partition_of("default", user, 4)
        record, _ = read_to_position(Archive(ground.store), ground.ledger, number, "default")
        table, trend = fold_partition(record, ground.basis)
        live = shard._holdings.partitions[number]
        row, live_row = table.rows([user])[0], live.table.rows([user])[0]
        np.testing.assert_allclose(live.table.sums[live_row], table.sums[row], atol=1e-5)
        np.testing.assert_allclose(
            live.table.negative_mass[live_row], table.negative_mass[row], atol=1e-5
        )
        np.testing.assert_allclose(live.trend.at(NOW, 25), trend.at(NOW, 25), rtol=1e-6)


def test_a_spoilt_snapshot_is_replaced_by_the_record(
    new_shard: NewShard, event: MakeEvent, ground: Ground
) -> None:
    shard = new_shard()
    ack = shard.append([event("u", "space-1")])
    (number,) = ack.versions
    shard.save_snapshots()
    store = ground.store
    for path in store.paths(ground.key(number).prefix):
        if path.endswith(".arrow"):
            store.write(path, b"half")
    assert load_partition(ground, number).is_rebuilt
    assert new_shard().read(["u"], NOW)[0].n_events == 1


def test_a_snapshot_older_than_the_trimmed_ledger_is_not_trusted(
    new_shard: NewShard, event: MakeEvent, ground: Ground
) -> None:
    shard = new_shard()
    (number,) = shard.append([event("u", "space-1")]).versions
    shard.save_snapshots()
    shard.append([event("u", "space-2")])
    tail = ground.ledger.tail(number)
    archive = Archive(ground.store)
    file = archive.write_events(number, tail)
    archive.publish(lambda manifest: manifest.with_events({number: [file]}, {number: 2}))
    ground.ledger.trim(number, 2, 0.0)
    loaded = load_partition(ground, number)
    assert loaded.is_rebuilt and loaded.position.ledger_seq == 2
    assert new_shard().read(["u"], NOW)[0].n_events == 2


def test_only_changed_partitions_are_saved(
    new_shard: NewShard, event: MakeEvent, ground: Ground
) -> None:
    shard = new_shard()
    assert shard.save_snapshots() == 4  # the first ones
    (number,) = shard.append([event("u", "space-1")]).versions
    assert shard.save_snapshots() == 1
    assert shard.save_snapshots() == 0
    found = load(ground.store, ground.key(number), ground.settings)
    assert found is not None and found.position.ledger_seq == 1


def test_a_partition_bootstrapped_by_others_is_loaded_again(
    new_shard: NewShard, event: MakeEvent, ground: Ground
) -> None:
    shard = new_shard()
    shard.save_snapshots()
    (number,) = shard.append([event("u", "space-1")]).versions
    archive = Archive(ground.store)
    other = event("u", "space-2")
    table = ground.ledger.tail(number).slice(0, 1)
    table = table.set_column(1, "event_id", [[other.event_id]])
    table = table.set_column(3, "item_id", [["space-2"]])
    file = archive.write_events(number, table.select(table.column_names[:-1]))
    archive.publish(lambda manifest: manifest.with_events({number: [file]}))
    record, position = read_to_position(archive, ground.ledger, number, "default")
    profiles, trend = fold_partition(record, ground.basis)
    save(ground.store, ground.key(number), profiles, trend, position, rebase=True)
    shard.append([event("u", "space-3")])
    shard.take_trend()
    shard.save_snapshots()
    assert shard.read(["u"], NOW)[0].n_events == 3
    assert shard.take_trend()[0], "the board must get the whole trend"


def test_a_user_of_another_shard_is_refused(
    ground: Ground, event: MakeEvent, new_leases: Callable[[], Leases]
) -> None:
    shard = Shard(ground, 4, new_leases())
    with pytest.raises(UnavailableError, match="is not served by only"):
        shard.read(["u"], NOW)
    with pytest.raises(UnavailableError, match="is not served by only"):
        shard.append([event("u", "space-1")])


def test_a_shard_whose_partitions_were_taken_over_commits_nothing(
    new_shard: NewShard, event: MakeEvent
) -> None:
    first, second = new_shard(), new_shard()
    with pytest.raises(WrongOwnerError):
        first.append([event("u", "space-1")])
    assert len(first.owned()) < 4
    assert second.append([event("u", "space-1")]).n_accepted == 1


def test_nothing_is_folded_when_the_ledger_refuses(
    new_shard: NewShard, event: MakeEvent, ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = new_shard()

    def refuse(*_: object) -> list[int]:
        raise LedgerError("ledger", "is full")

    monkeypatch.setattr(ground.ledger, "append", refuse)
    with pytest.raises(LedgerError):
        shard.append([event("u", "space-1")])
    assert not shard.read(["u"], NOW)[0].is_known


def test_a_committed_event_whose_fold_fails_is_folded_from_the_ledger(
    new_shard: NewShard, event: MakeEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = new_shard()

    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(partition_module, "fold_live", fail)
    assert shard.append([event("u", "space-1")]).n_accepted == 1
    assert shard.read(["u"], NOW)[0].n_events == 1


def test_a_partition_that_is_not_whole_is_not_read_until_it_is(
    new_shard: NewShard, event: MakeEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = new_shard()

    def fail(*_: object, **__: object) -> None:
        raise StoreError("store", "is away")

    with monkeypatch.context() as broken:
        broken.setattr(partition_module, "fold_live", fail)
        broken.setattr(partition_module, "load_partition", fail)
        with pytest.raises(StoreError):
            shard.append([event("u", "space-1")])
        with pytest.raises(StoreError):
            shard.read(["u"], NOW)
    assert shard.read(["u"], NOW)[0].n_events == 1  # committed, so folded in the end
    assert shard.append([event("u", "space-2")]).n_accepted == 1
    assert shard.read(["u"], NOW)[0].n_events == 2


def test_threads_append_at_the_same_time(new_shard: NewShard, event: MakeEvent) -> None:
    shard = new_shard()
    batches = [[event(f"u{n}", f"food-{n}")] for n in range(12)]
    threads = [threading.Thread(target=shard.append, args=(batch,)) for batch in batches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    views = shard.read([f"u{n}" for n in range(12)], NOW)
    assert [view.n_events for view in views] == [1] * 12
    assert shard.counts() == ((0, 1, 2, 3), 12, 12)


def test_the_trend_is_handed_on_once(new_shard: NewShard, event: MakeEvent) -> None:
    shard = new_shard()
    shard.append([event("u", "space-1"), event("w", "food-1", kind="impression")])
    is_full, whole = shard.take_trend()
    assert is_full and len(whole) == 1
    shard.append([event("w", "space-1"), event("w", "food-2")])
    is_full, delta = shard.take_trend()
    assert not is_full and len(delta) == 2
    assert len(shard.take_trend()[1]) == 0
    assert len(shard.take_trend(is_full=True)[1]) == 2


def test_a_position_says_what_is_folded(
    new_shard: NewShard, event: MakeEvent, ground: Ground
) -> None:
    shard = new_shard()
    (number,) = shard.append([event("u", "space-1"), event("u", "space-2")]).versions
    assert shard._holdings.partitions[number].position == Position(2)


def test_a_quiet_partition_bootstrapped_by_others_is_loaded_again(
    new_shard: NewShard, ground: Ground
) -> None:
    shard = new_shard()
    shard.save_snapshots()
    number = partition_of("default", "u", 4)
    other = load_partition(ground, number)
    other.table.rows(["u"], create=True)
    position = Position(0, "newer")
    save(ground.store, ground.key(number), other.table, other.trend, position, rebase=True)
    assert shard.save_snapshots() == 0
    assert shard.read(["u"], NOW)[0].is_known
