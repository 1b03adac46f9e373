"""Ownership under races, and under every order of claims, releases and commits."""

from __future__ import annotations

import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from recsys.errors import StaleEpochError
from recsys.ledger import DUPLICATE, Owner, SqliteLedger, open_ledger
from recsys.testing.ledger_contract import contract_event

PARTITIONS = range(4)


def owner(name: str) -> Owner:
    return Owner(name, "machine", f"process of {name}", 3.0)


def test_threads_that_race_for_partitions_get_epochs_of_their_own(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "l.db")
    start = threading.Barrier(8)

    def race(number: int) -> list[tuple[int, int]]:
        start.wait()
        claims = ledger.claim("t", PARTITIONS, owner(f"shard-{number}"))
        return [(claim.partition, claim.epoch) for claim in claims]

    with ThreadPoolExecutor(8) as threads:
        won = [pair for pairs in threads.map(race, range(8)) for pair in pairs]
    assert sorted(won) == [(p, epoch) for p in PARTITIONS for epoch in range(1, 9)]


def _claim_and_write(url: str, name: str, rounds: int, answers: multiprocessing.Queue) -> None:
    """Claim, then commit until somebody else claims; tell what was acknowledged."""
    ledger = open_ledger(url)
    acknowledged = []
    for turn in range(rounds):
        (claim,) = ledger.claim("t", [0], owner(name))
        for k in range(5):
            event = contract_event(f"{name}-{turn}-{k}")
            try:
                (seq,) = ledger.append([0], [event], {0: claim.epoch})
            except StaleEpochError:
                break
            acknowledged.append((seq, event.event_id, claim.epoch))
    ledger.close()
    answers.put(acknowledged)


def test_processes_that_take_a_partition_from_each_other_lose_nothing(tmp_path: Path) -> None:
    race_for_a_partition(f"sqlite:///{tmp_path}/l.db")


def race_for_a_partition(url: str) -> None:
    """Two processes claim a partition in turn and commit: the tail is what was acknowledged."""
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    racers = [
        context.Process(target=_claim_and_write, args=(url, name, 25, answers))
        for name in ("first", "second")
    ]
    for racer in racers:
        racer.start()
    acknowledged = sorted(row for _ in racers for row in answers.get(timeout=60.0))
    for racer in racers:
        racer.join()
    tail = open_ledger(url).tail(0)
    stored = list(zip(tail["ledger_seq"].to_pylist(), tail["event_id"].to_pylist(), strict=True))
    assert stored == [(seq, name) for seq, name, _ in acknowledged]
    epochs = [epoch for _, _, epoch in acknowledged]
    assert epochs == sorted(epochs), "no commit of an epoch after one of a later epoch"


def test_who_is_deposed_between_two_commits_is_refused(tmp_path: Path) -> None:
    first, second = (SqliteLedger(tmp_path / "l.db") for _ in range(2))
    first.claim("t", [0], owner("first"))
    assert first.append([0], [contract_event("a")], {0: 1}) == [1]
    second.claim("t", [0], owner("second"))
    with pytest.raises(StaleEpochError) as caught:
        first.append([0], [contract_event("b")], {0: 1})
    assert caught.value.partitions == (0,)
    assert second.tail(0)["event_id"].to_pylist() == ["a"]


def test_only_the_epoch_that_is_expected_is_claimed(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "l.db")
    ledger.claim("t", [0, 1], owner("first"))
    ledger.claim("t", [1], owner("second"))
    claims = ledger.claim("t", [0, 1, 2], owner("third"), expected={0: 1, 1: 1})
    assert [(claim.partition, claim.epoch) for claim in claims] == [(0, 2)]
    assert ledger.epochs("t", [0, 1, 2]) == {0: 2, 1: 2}


def test_tenants_own_the_same_partition_apart(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "l.db")
    ledger.claim("t", [0], owner("first"))
    ledger.claim("other", [0], owner("second"))
    ledger.claim("other", [0], owner("third"))
    assert ledger.append([0], [contract_event("a")], {0: 1}) == [1]
    assert ledger.append([0], [contract_event("a", tenant="other")], {0: 2}) == [2]
    with pytest.raises(StaleEpochError):
        ledger.append([0], [contract_event("b", tenant="other")], {0: 1})


class Ownership(RuleBasedStateMachine):
    """A ledger beside a model of it; shards believe in the epoch that they got last."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = TemporaryDirectory()
        self._ledger = SqliteLedger(Path(self._folder.name) / "l.db")
        self._epoch = dict.fromkeys(PARTITIONS, 0)
        self._holder: dict[int, str | None] = dict.fromkeys(PARTITIONS)
        self._belief: dict[str, dict[int, int]] = {name: {} for name in "abc"}
        self._rows: dict[int, list[str]] = {p: [] for p in PARTITIONS}

    @rule(name=st.sampled_from("abc"), share=st.sets(st.sampled_from(PARTITIONS), min_size=1))
    def claim(self, name: str, share: set[int]) -> None:
        for claim in self._ledger.claim("t", sorted(share), owner(name)):
            p = claim.partition
            before = self._holder[p]
            assert claim.previous == (None if before in (None, name) else owner(str(before)))
            self._epoch[p] += 1
            assert claim.epoch == self._epoch[p]
            self._holder[p], self._belief[name][p] = name, claim.epoch

    @rule(name=st.sampled_from("abc"))
    def release(self, name: str) -> None:
        self._ledger.release("t", self._belief[name])
        for p, epoch in self._belief[name].items():
            if epoch == self._epoch[p]:
                self._holder[p] = None

    @rule(
        name=st.sampled_from("abc"),
        batch=st.lists(
            st.tuples(st.sampled_from(PARTITIONS), st.integers(0, 30)), min_size=1, max_size=6
        ),
    )
    def append(self, name: str, batch: list[tuple[int, int]]) -> None:
        partitions = [p for p, _ in batch]
        events = [contract_event(f"{p}-{n}", user_id=f"u{p}") for p, n in batch]
        belief = self._belief[name]
        stale = {
            p
            for p in partitions
            if belief.get(p, 0) != self._epoch[p] or (self._epoch[p] > 0 and not self._holder[p])
        }
        try:
            sequences = self._ledger.append(partitions, events, belief)
        except StaleEpochError as error:
            assert set(error.partitions) == stale != set()
            return
        assert stale == set()
        for p, event, seq in zip(partitions, events, sequences, strict=True):
            if event.event_id in self._rows[p]:
                assert seq == DUPLICATE
            else:
                self._rows[p].append(event.event_id)
                assert seq == len(self._rows[p])

    @precondition(lambda self: any(self._rows.values()))
    @rule()
    def reopen(self) -> None:
        self._ledger.close()
        self._ledger = SqliteLedger(Path(self._folder.name) / "l.db")

    @invariant()
    def the_ledger_holds_what_was_acknowledged(self) -> None:
        for p in PARTITIONS:
            assert self._ledger.tail(p)["event_id"].to_pylist() == self._rows[p]
        held = {p: self._epoch[p] for p in PARTITIONS if self._holder[p] is not None}
        assert self._ledger.epochs("t", PARTITIONS) == held

    def teardown(self) -> None:
        self._ledger.close()
        self._folder.cleanup()


Ownership.TestCase.settings = settings(max_examples=15, stateful_step_count=25, deadline=None)
TestOwnership = Ownership.TestCase
