"""Warm standbys: copies where a partition would go, as fresh as the ledger, and nowhere else."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Collection

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.bundle import Bundle
from recsys.errors import LedgerError
from recsys.folding import fold_record
from recsys.ledger import ERASURE_KEY, erasure_pseudonym
from recsys.schema import DEFAULT_TENANT, Event, partition_of
from recsys.settings import Settings
from recsys.snapshot import Position, save
from serving.pool import partition as partition_module
from serving.pool.assignment import MapRegistry, rendezvous, standbys
from serving.pool.copies import Copies
from serving.pool.partition import Ground, load_partition
from serving.pool.shard import Shard
from serving.pool.spec import PoolSpec, shard_roles
from serving.pool.steward import Steward
from tests.unit.serving.here_shards import HereShards, settled, write

N_PARTITIONS = 4
NOW = 1_700_000_000.0
USERS = [f"u{n}" for n in range(30)]
NUMBER = partition_of(DEFAULT_TENANT, "u", N_PARTITIONS)
MakeEvent = Callable[..., Event]
NewShard = Callable[[], Shard]


@pytest.fixture
def shards(ground: Ground) -> HereShards:
    return HereShards(ground)


def steward_of(
    bundle: Bundle, settings: Settings, shards: HereShards, standby: bool, n_shards: int = 2
) -> Steward:
    serving = settings.serving.model_copy(update={"standby": standby, "n_shards": n_shards})
    chosen = settings.model_copy(update={"serving": serving})
    spec = PoolSpec(bundle.store.uri, "", bundle.tenant, bundle.bundle_id, N_PARTITIONS, chosen)
    return Steward(spec, MapRegistry(shards._ground.ledger, bundle.tenant), shards)


def no_load(*_: object) -> None:
    raise AssertionError("it was loaded, and had only to be caught up")


def bury(ground: Ground, user: str) -> None:
    ground.ledger.put_value(ERASURE_KEY, "ab" * 32, 0)
    ground.ledger.bury(
        DEFAULT_TENANT, erasure_pseudonym("ab" * 32, DEFAULT_TENANT, user), NOW + 1.0
    )


@given(n_partitions=st.integers(1, 96), n_shards=st.integers(1, 9))
def test_a_standby_is_who_gets_the_partition_when_its_owner_is_gone(
    n_partitions: int, n_shards: int
) -> None:
    roles = shard_roles(n_shards)
    owners = rendezvous(n_partitions, roles)
    found = standbys(owners, roles)
    for gone in roles:
        others = [role for role in roles if role != gone]
        expected = rendezvous(n_partitions, others) if others else (None,) * n_partitions
        for partition, owner in enumerate(owners):
            assert owner != gone or found[partition] == expected[partition]


def test_each_partition_has_a_copy_at_its_heir_and_no_other(
    bundle: Bundle, settings: Settings, shards: HereShards
) -> None:
    steward = steward_of(bundle, settings, shards, standby=True, n_shards=3)
    settled(steward)
    heirs = standbys(steward.map.owners, shard_roles(3))
    for role, shard in shards.shards.items():
        assert shard.copied() == tuple(p for p, heir in enumerate(heirs) if heir == role)


def test_a_takeover_of_standbys_reads_the_end_of_the_ledger_and_no_snapshot(
    bundle: Bundle,
    settings: Settings,
    shards: HereShards,
    event: MakeEvent,
    ground: Ground,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steward = steward_of(bundle, settings, shards, standby=True)
    settled(steward)
    write(steward, shards, [event(user, "space-1") for user in USERS], bundle.tenant)
    for shard in shards.shards.values():
        shard.save_snapshots()
        shard.catch_up_copies()
    write(steward, shards, [event(user, "food-1", NOW + 1.0) for user in USERS], bundle.tenant)
    oracle = {user: load_partition(ground, partition_of("default", user, 4)) for user in USERS}
    lost = {p for p, role in enumerate(steward.map.owners) if role == "shard-0"}
    caught_up_to = {p: len(ground.ledger.tail(p)) // 2 for p in lost}

    read: dict[int, list[int]] = {}
    tail = ground.ledger.tail

    def noted(partition: int, after_seq: int = 0, tenant: str | None = None) -> object:
        read.setdefault(partition, []).append(after_seq)
        return tail(partition, after_seq, tenant)

    monkeypatch.setattr(partition_module, "load_partition", no_load)
    monkeypatch.setattr(ground.ledger, "tail", noted)
    shards.away.add("shard-0")
    steward.step(1.0)
    opened: list[list[int]] = []

    def opening(role: str, partitions: Collection[int]) -> None:
        opened.append(sorted(partitions))
        HereShards.open(shards, role, partitions)

    monkeypatch.setattr(shards, "open", opening)
    steward.step(2.0 + settings.serving.failover_s)
    assert opened == [sorted(lost)], "the lease of the one that is gone is waited for once"
    assert read == {p: [caught_up_to[p]] for p in lost}
    assert steward.map.owners == ("shard-1",) * N_PARTITIONS
    for view in shards.shards["shard-1"].read(USERS, NOW + 1.0):
        table = oracle[view.user_id].table
        row = table.rows([view.user_id])[0]
        assert view.n_events == 2
        np.testing.assert_allclose(view.mass, table.mass[row], rtol=1e-6)


def test_without_standbys_what_was_prepared_and_went_elsewhere_is_let_go(
    bundle: Bundle, settings: Settings, shards: HereShards
) -> None:
    steward = steward_of(bundle, settings, shards, standby=False)
    settled(steward)
    owner = steward.map.owners[0]
    other = next(role for role in shards.shards if role != owner)
    shards.shards[other].prepare(0)
    assert shards.shards[other].copied() == (0,)
    steward.step(1.0)
    assert shards.shards[other].copied() == ()


def test_what_was_prepared_for_a_move_that_is_still_to_come_stays(
    bundle: Bundle, settings: Settings, shards: HereShards, monkeypatch: pytest.MonkeyPatch
) -> None:
    steward = steward_of(bundle, settings, shards, standby=False)
    settled(steward)
    number = steward.map.owners.index("shard-0")
    steward.map = steward._registry.write(
        dataclasses.replace(steward.map, owners=("shard-1",) * N_PARTITIONS)
    )
    shards.shards["shard-0"].hand_over(number)
    shards.shards["shard-1"].open([number])
    shards.shards["shard-0"].prepare(number)
    monkeypatch.setattr(steward, "_move", lambda *_: None)  # put off
    steward.step(1.0)
    assert number in shards.shards["shard-0"].copied()


def test_copies_follow_the_ledger_and_rest_while_it_rests(
    new_shard: NewShard, event: MakeEvent, ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies, shard = Copies(ground), new_shard()
    copies.keep([NUMBER])
    assert copies.numbers() == ()
    copies.catch_up()
    shard.append([event("u", "space-1"), event("u", "space-2")])
    copies.catch_up()

    def no_tail(*_: object) -> None:
        raise AssertionError("nothing is new")

    monkeypatch.setattr(partition_module, "load_partition", no_load)
    with monkeypatch.context() as quiet:
        quiet.setattr(ground.ledger, "tail", no_tail)
        copies.catch_up()
    copy = copies.take(NUMBER)
    assert copy is not None and copy.position.ledger_seq == 2 and copy.table.user_ids == ["u"]
    copies.catch_up()
    assert copies.numbers() == (), "it was taken: nobody asks for it any more"


def test_a_copy_forgets_who_is_erased(
    new_shard: NewShard, event: MakeEvent, ground: Ground
) -> None:
    copies, shard = Copies(ground), new_shard()
    shard.append([event("u", "space-1")])
    copies.keep([NUMBER])
    copies.catch_up()
    bury(ground, "u")
    copies.catch_up()
    copy = copies.take(NUMBER)
    assert copy is not None and list(copy.table.all_user_ids()) == []


def test_a_copy_whose_fold_broke_off_is_loaded_anew(
    new_shard: NewShard, event: MakeEvent, ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies, shard = Copies(ground), new_shard()
    copies.prepare(NUMBER)
    shard.append([event("u", "space-1")])

    def half(*arguments: object) -> None:
        fold_record(*arguments)  # type: ignore[arg-type]
        raise MemoryError

    with monkeypatch.context() as broken:
        broken.setattr(partition_module, "fold_record", half)
        with pytest.raises(MemoryError):
            copies.prepare(NUMBER)
    copies.prepare(NUMBER)
    copy = copies.take(NUMBER)
    assert copy is not None and copy.table.n_events[copy.table.rows(["u"])].tolist() == [1]


def test_a_ledger_that_is_silent_for_a_moment_costs_no_copy(
    new_shard: NewShard, event: MakeEvent, ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies, shard = Copies(ground), new_shard()
    copies.keep([NUMBER])
    copies.catch_up()
    shard.append([event("u", "space-1")])

    def silent(*_: object) -> None:
        raise LedgerError("ledger", "is away")

    with monkeypatch.context() as broken:
        broken.setattr(ground.ledger, "tail", silent)
        copies.catch_up()
    assert copies.numbers() == (NUMBER,)
    monkeypatch.setattr(partition_module, "load_partition", no_load)
    copies.catch_up()
    copy = copies.take(NUMBER)
    assert copy is not None and copy.position.ledger_seq == 1


def test_a_copy_that_is_let_go_while_it_loads_does_not_come_back(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies, begun, go_on = Copies(ground), threading.Event(), threading.Event()

    def slow(*arguments: object) -> object:
        begun.set()
        assert go_on.wait(10.0)
        return load_partition(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(partition_module, "load_partition", slow)
    copies.keep([NUMBER])
    thread = threading.Thread(target=copies.catch_up)
    thread.start()
    assert begun.wait(10.0)
    copies.keep([])
    go_on.set()
    thread.join()
    assert copies.numbers() == () and copies.take(NUMBER) is None


def test_a_copy_of_an_older_archive_is_let_go(new_shard: NewShard, ground: Ground) -> None:
    shard = new_shard()
    shard.save_snapshots()
    shard.hand_over(NUMBER)
    shard.keep_copies([NUMBER])
    shard.catch_up_copies()
    newer = load_partition(ground, NUMBER)
    position = Position(0, "newer")
    save(ground.store, ground.key(NUMBER), newer.table, newer.trend, position, rebase=True)
    shard.save_snapshots()
    assert shard.copied() == ()
    shard.catch_up_copies()
    assert shard.copied() == (NUMBER,)


def test_a_shard_keeps_no_copy_of_what_it_serves(new_shard: NewShard) -> None:
    shard = new_shard()
    shard.keep_copies(range(N_PARTITIONS))
    shard.catch_up_copies()
    assert shard.copied() == ()
