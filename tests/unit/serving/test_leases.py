"""Leases: who may answer, and for how long."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from recsys.errors import LedgerError, StaleEpochError, WrongOwnerError
from recsys.ledger import Ledger, Owner, open_ledger
from recsys.schema import Event
from serving.pool.leases import Leases

TENANT = "default"


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return open_ledger(f"sqlite:///{tmp_path}/l.db")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def new(ledger: Ledger, clock: Clock) -> Callable[..., Leases]:
    def make(name: str, dead: tuple[str, ...] = (), lease_s: float = 10.0) -> Leases:
        owner = Owner(name, "here", f"process-{name}", lease_s)
        return Leases(ledger, TENANT, owner, clock, lambda other: other.process in dead)

    return make


def taken(leases: Leases, *partitions: int) -> float:
    wait_s = leases.claim(partitions)
    assert leases.confirm(partitions) == []
    return wait_s


def event(name: str) -> Event:
    return Event(TENANT, name, "u", "i", "click", 1.0, 0, 1.0)


def test_what_nobody_owned_is_opened_at_once(new: Callable[..., Leases]) -> None:
    leases = new("a")
    assert taken(leases, 1, 2) == 0.0
    assert leases.owned() == (1, 2)
    leases.check([1, 2])


def test_what_is_not_owned_is_refused(new: Callable[..., Leases]) -> None:
    with pytest.raises(WrongOwnerError, match="partition 5"):
        new("a").check([5])


def test_a_claimer_waits_as_long_as_the_owner_before_may_answer(
    new: Callable[..., Leases], clock: Clock
) -> None:
    old, fresh = new("a"), new("b", lease_s=2.0)
    taken(old, 1)
    old.check([1])
    assert fresh.claim([1]) == 10.0, "the old one's lease, not its own"
    old.check([1])  # it cannot know yet, and may still answer
    clock.now += 10.0
    with pytest.raises(WrongOwnerError):
        old.check([1])
    assert fresh.confirm([1]) == []
    fresh.check([1])


def test_nobody_waits_for_the_dead_or_for_what_was_released(new: Callable[..., Leases]) -> None:
    old = new("a")
    taken(old, 1, 2)
    old.release([2])
    assert new("b").claim([2]) == 0.0
    assert new("c", dead=("process-a",)).claim([1]) == 0.0
    with pytest.raises(WrongOwnerError):
        old.check([2])


def test_who_follows_a_claimer_that_still_waited_waits_too(new: Callable[..., Leases]) -> None:
    taken(new("a"), 1)
    new("b", lease_s=2.0).claim([1])  # and dies before its wait is over
    assert new("c", dead=("process-b",)).claim([1]) == 10.0


def test_a_claim_that_was_overtaken_is_not_confirmed(new: Callable[..., Leases]) -> None:
    first, second = new("a"), new("b")
    first.claim([1])
    second.claim([1])
    assert first.confirm([1]) == [1]
    assert second.confirm([1]) == []
    assert first.owned() == () and second.owned() == (1,)


def test_a_lease_is_renewed_by_a_look_at_the_ledger(
    new: Callable[..., Leases], clock: Clock
) -> None:
    leases = new("a")
    taken(leases, 1)
    for _ in range(5):
        clock.now += 7.9
        leases.check([1])
        assert leases.renew() == set()
    clock.now += 1_000.0  # stopped for long, but nobody took over
    leases.check([1])


def test_while_the_ledger_is_silent_a_lapsed_owner_answers_nothing(
    new: Callable[..., Leases], clock: Clock, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    leases = new("a")
    taken(leases, 1)

    def silent(*_: object) -> dict[int, int]:
        raise LedgerError("ledger", "is away")

    monkeypatch.setattr(ledger, "epochs", silent)
    leases.check([1])  # still within the lease
    clock.now += 9.0
    with pytest.raises(WrongOwnerError):
        leases.check([1])
    assert leases.owned() == (1,), "it may come back"
    monkeypatch.undo()
    leases.check([1])


def test_an_old_epoch_appends_nothing(new: Callable[..., Leases], ledger: Ledger) -> None:
    old, fresh = new("a"), new("b")
    taken(old, 1)
    epochs = old.epochs([1])
    assert ledger.append([1], [event("e1")], epochs) == [1]
    fresh.claim([1])
    with pytest.raises(StaleEpochError):
        ledger.append([1], [event("e2")], epochs)
    assert old.renew() == {1} and old.owned() == ()
    assert fresh.confirm([1]) == []
    assert ledger.append([1], [event("e2")], fresh.epochs([1])) == [2]


def test_a_restarted_shard_of_the_same_name_waits_for_its_zombie(
    new: Callable[..., Leases],
) -> None:
    taken(new("a"), 1)
    zombie_lives = Owner("a", "here", "process-new", 10.0)
    again = new("a")
    again.owner = zombie_lives
    assert again.claim([1]) == 10.0
