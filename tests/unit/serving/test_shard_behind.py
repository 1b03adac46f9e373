"""A shard that knows less than the ledger holds catches up before it folds anything more."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from recsys.errors import LedgerError, StoreError, WrongOwnerError
from recsys.schema import Event, partition_of
from serving.pool import partition as partition_module
from serving.pool.partition import Ground
from serving.pool.shard import Shard

NOW = 1_700_000_000.0
MakeEvent = Callable[..., Event]
NewShard = Callable[[], Shard]


def test_a_batch_that_waited_while_an_answer_was_lost_does_not_hide_what_was_committed(
    new_shard: NewShard, event: MakeEvent, ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard, append = new_shard(), ground.ledger.append
    waits = threading.Event()

    def commit_and_lose_the_answer(*arguments: object) -> list[int]:
        monkeypatch.setattr(ground.ledger, "append", append)
        append(*arguments)  # type: ignore[arg-type]
        thread.start()
        while shard._appends.n_waiting == 0:
            waits.wait(0.001)
        raise LedgerError("ledger", "went away during a commit")

    thread = threading.Thread(target=shard.append, args=([event("u", "space-2")],))
    monkeypatch.setattr(ground.ledger, "append", commit_and_lose_the_answer)
    with pytest.raises(LedgerError):
        shard.append([event("u", "space-1")])
    thread.join()
    (view,) = shard.read(["u"], NOW)
    assert (view.version, view.n_events) == (2, 2)


def test_partitions_after_one_that_cannot_be_folded_are_folded_from_the_ledger(
    new_shard: NewShard, event: MakeEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = new_shard()
    users = [next(f"u{n}" for n in range(99) if at(f"u{n}") == number) for number in range(4)]

    def fail(*_: object, **__: object) -> None:
        raise StoreError("store", "is away")

    with monkeypatch.context() as broken:
        broken.setattr(partition_module, "fold_live", fail)
        broken.setattr(partition_module, "load_partition", fail)
        with pytest.raises(StoreError):
            shard.append([event(user, "space-1") for user in users])
    assert shard.append([event(user, "space-2") for user in users]).n_accepted == 4
    assert [view.n_events for view in shard.read(users, NOW)] == [2, 2, 2, 2]


def test_a_partition_that_was_taken_over_during_a_commit_is_not_served_again(
    new_shard: NewShard, event: MakeEvent, ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard, append = new_shard(), ground.ledger.append

    def commit_and_be_deposed(*arguments: object) -> list[int]:
        sequences = append(*arguments)  # type: ignore[arg-type]
        heirs.append(new_shard())
        shard.renew()
        return sequences

    heirs: list[Shard] = []
    monkeypatch.setattr(ground.ledger, "append", commit_and_be_deposed)
    with pytest.raises(WrongOwnerError):
        shard.append([event("u", "space-1")])
    assert shard.owned() == ()
    assert heirs[0].read(["u"], NOW)[0].n_events == 1


def at(user: str) -> int:
    return partition_of("default", user, 4)
