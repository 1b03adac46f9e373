"""The contract of every ledger: rows and sequences, ownership, people's rights.

See ``recsys.testing.contracts`` for how a contract is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

import pyarrow as pa

from recsys.errors import LedgerError, StaleEpochError
from recsys.ledger import (
    DUPLICATE,
    ERASED,
    ERASURE_KEY,
    TAIL,
    Claim,
    Ledger,
    Owner,
    erasure_pseudonym,
)
from recsys.schema import TIMESTAMP, Event

E = TypeVar("E", bound=LedgerError)
TENANT = "t"
FIRST = Owner("shard-0", "machine", "process-0", lease_s=3.0)
SECOND = Owner("shard-1", "machine", "process-1", lease_s=5.0)
KEY = "5e" * 32


class LedgerContract:
    """Fixture ``ledger``: any empty ``recsys.ledger.Ledger``."""

    # rows

    def test_sequences_count_from_one_in_each_partition(self, ledger: Ledger) -> None:
        """And go on in the next batch."""
        events = [contract_event(f"e{n}") for n in range(4)]
        assert ledger.append([0, 1, 0, 0], events) == [1, 1, 2, 3]
        assert ledger.append([1], [contract_event("e9")]) == [2]
        assert [ledger.last_seq(p) for p in (0, 1, 2)] == [3, 2, 0]
        assert ledger.append([], []) == []

    def test_a_duplicate_gets_zero_and_is_not_stored(self, ledger: Ledger) -> None:
        """In one batch or in two; another user or tenant may use the same id."""
        same, other = contract_event("e"), contract_event("e", user_id="v")
        assert ledger.append([0, 0, 0], [same, same, other]) == [1, 0, 2]
        foreign = contract_event("e", tenant="other")
        assert ledger.append([0, 0], [same, foreign]) == [0, 3]
        assert ledger.tail(0).num_rows == 3

    def test_a_tail_gives_back_what_was_appended(self, ledger: Ledger) -> None:
        """In the order of the sequence, which is also the event's place in its source."""
        ledger.append([5, 5, 6], [contract_event(x, ts=1e9 + 0.25) for x in ("a", "b", "c")])
        ledger.append([5], [contract_event("d", tenant="other")])
        tail = ledger.tail(5)
        assert tail.schema.equals(TAIL)
        assert tail["event_id"].to_pylist() == ["a", "b", "d"]
        assert tail["ledger_seq"].to_pylist() == tail["seq"].to_pylist() == [1, 2, 3]
        first = tail.slice(0, 1).to_pylist()[0]
        assert first["ts"].timestamp() == 1e9 + 0.25
        assert (first["value"], first["text"], first["rank"]) == (2.5, "ö", None)
        assert ledger.tail(5, after_seq=2)["event_id"].to_pylist() == ["d"]
        assert ledger.tail(5, tenant="t")["event_id"].to_pylist() == ["a", "b"]
        assert ledger.tail(7).schema.equals(TAIL)

    def test_whatever_people_write_comes_back_as_it_was(self, ledger: Ledger) -> None:
        """Quotes, escapes, the names of nothing, and what only looks like a list."""
        texts = [
            "",
            "NULL",
            "null",
            'say "x"',
            "back\\slash\\",
            "{a,b}",
            "a\nb\tc",
            "'; --",
            "?%s",
            "𝔘 é",
        ]
        events = [contract_event(f"e{t}", user_id=f"u{t}")._replace(text=t) for t in texts]
        odd = contract_event("odd")._replace(item_id=None, text=None, value=float("inf"), rank=-1)
        assert ledger.append([0] * 11, [*events, odd]) == list(range(1, 12))
        tail = ledger.tail(0)
        assert tail["text"].to_pylist() == [*texts, None]
        assert tail["event_id"].to_pylist()[:-1] == [f"e{t}" for t in texts]
        last = tail.slice(10).to_pylist()[0]
        assert (last["item_id"], last["value"], last["rank"]) == (None, float("inf"), -1)
        assert ledger.append([0] * 10, events) == [DUPLICATE] * 10

    def test_a_live_copy_of_an_archived_event_is_a_duplicate(self, ledger: Ledger) -> None:
        """Ids are registered once, whatever is registered again."""
        ids = archived_ids("u", {"old": 1e9, "older": 1e8})
        assert ledger.register_archived([0, 0], ids) == 2
        assert ledger.register_archived([0, 0], ids) == 0
        live = [contract_event("old"), contract_event("new")]
        assert ledger.append([0, 0], live) == [0, 1]

    def test_trimmed_rows_leave_but_their_young_ids_and_sequences_stay(
        self, ledger: Ledger
    ) -> None:
        """A retry of an exported event stays a duplicate; a sequence is never given twice."""
        ledger.append([0, 0, 1], [contract_event(x) for x in ("a", "b", "c")])
        assert ledger.trim(0, 2, keep_ids_after_ts=0.0) == 2
        assert (ledger.tail(0).num_rows, ledger.tail(1).num_rows) == (0, 1)
        assert (ledger.trimmed_seq(0), ledger.trimmed_seq(1)) == (2, 0)
        assert ledger.append([0, 0], [contract_event("a"), contract_event("d")]) == [0, 3]

    def test_old_ids_are_forgotten_by_a_trim(self, ledger: Ledger) -> None:
        """They are refused as too late before they come here."""
        ledger.append([0], [contract_event("a", ts=1e9)])
        ledger.trim(0, 1, keep_ids_after_ts=2e9)
        assert ledger.append([0], [contract_event("a", ts=1e9)]) == [2]

    def test_rows_older_than_a_horizon_leave_with_their_ids(self, ledger: Ledger) -> None:
        """Wherever they stand in the sequence, which goes on; a tail without them is whole."""
        times = {"a": 50.0, "b": 10.0, "c": 60.0, "d": 20.0}
        ledger.append([0] * 4, [contract_event(x, ts=ts) for x, ts in times.items()])
        ledger.append([1], [contract_event("e", ts=10.0)])
        assert ledger.trim_before(0, ts=50.0) == 2
        assert ledger.tail(0)["event_id"].to_pylist() == ["a", "c"]
        assert (ledger.trimmed_seq(0), ledger.last_seq(0), len(ledger.tail(1))) == (0, 4, 1)
        again = [contract_event("a", ts=50.0), contract_event("b", ts=10.0)]
        assert ledger.append([0, 0], again) == [DUPLICATE, 5]

    def test_registered_ids_older_than_a_horizon_are_forgotten(self, ledger: Ledger) -> None:
        """Those of the archive leave it too."""
        ledger.register_archived([0, 0], archived_ids("u", {"old": 10.0, "young": 60.0}))
        ledger.trim_before(0, ts=50.0)
        live = [contract_event("old", ts=10.0), contract_event("young", ts=60.0)]
        assert ledger.append([0, 0], live) == [1, DUPLICATE]

    def test_sequences_go_on_after_those_of_a_lost_database(self, ledger: Ledger) -> None:
        """They never go back."""
        ledger.append([1], [contract_event("b")])
        ledger.start_after(0, 7)
        ledger.start_after(1, 1)
        assert (ledger.last_seq(0), ledger.trimmed_seq(0)) == (7, 7)
        assert (ledger.last_seq(1), ledger.trimmed_seq(1)) == (1, 0)
        assert ledger.append([0], [contract_event("a")]) == [8]
        ledger.start_after(0, 3)
        assert (ledger.last_seq(0), len(ledger.tail(0))) == (8, 1)

    # ownership

    def test_nobody_owns_a_new_partition(self, ledger: Ledger) -> None:
        """And who owns nothing may write there."""
        ledger.append([0], [contract_event("a")])
        assert (ledger.epochs(TENANT, [0, 1]), ledger.owners(TENANT)) == ({}, {})

    def test_each_claim_raises_the_epoch_and_names_who_held_it(self, ledger: Ledger) -> None:
        """The sequence goes on."""
        assert ledger.claim(TENANT, [1, 0], FIRST) == [Claim(1, 1, None), Claim(0, 1, None)]
        assert ledger.append([0], [contract_event("a")], {0: 1, 1: 1}) == [1]
        assert ledger.claim(TENANT, [0], SECOND) == [Claim(0, 2, FIRST)]
        assert ledger.append([0], [contract_event("b")], {0: 2}) == [2]
        assert ledger.epochs(TENANT, [0, 1, 2]) == {0: 2, 1: 1}
        assert ledger.owners(TENANT) == {0: (SECOND, 2), 1: (FIRST, 1)}

    def test_an_owner_that_claims_again_waits_for_nobody(self, ledger: Ledger) -> None:
        """A process of the same name and another birth is somebody else."""
        ledger.claim(TENANT, [0], FIRST)
        assert ledger.claim(TENANT, [0], replace(FIRST, lease_s=9.0)) == [Claim(0, 2, None)]
        reborn = replace(FIRST, process="process-9")
        assert ledger.claim(TENANT, [0], reborn) == [Claim(0, 3, replace(FIRST, lease_s=9.0))]

    def test_a_commit_of_a_stale_epoch_is_refused_as_a_whole(self, ledger: Ledger) -> None:
        """The events of partitions that are still owned too."""
        ledger.claim(TENANT, [0, 1, 2], FIRST)
        ledger.claim(TENANT, [1], SECOND)
        batch = [contract_event(x) for x in ("a", "b")]
        error = raised(StaleEpochError, lambda: ledger.append([0, 1], batch, {0: 1, 1: 1, 2: 1}))
        assert error.partitions == (1,)
        assert [len(ledger.tail(p)) for p in (0, 1)] == [0, 0]
        assert [ledger.last_seq(p) for p in (0, 1)] == [0, 0]
        assert ledger.append([1], [contract_event("b")], {1: 2}) == [1]

    def test_an_epoch_that_is_not_given_or_not_born_is_stale(self, ledger: Ledger) -> None:
        """Nobody passes a fence by saying nothing."""
        ledger.claim(TENANT, [0], FIRST)
        for epochs in ({}, {0: 0}, {0: 2}, {1: 1}):
            raised(StaleEpochError, lambda e=epochs: ledger.append([0], [contract_event("a")], e))  # type: ignore[misc]

    def test_what_was_released_is_nobodys(self, ledger: Ledger) -> None:
        """It takes no more commits, and its next owner waits for nobody."""
        ledger.claim(TENANT, [0, 1], FIRST)
        ledger.release(TENANT, {0: 1})
        raised(StaleEpochError, lambda: ledger.append([0], [contract_event("a")], {0: 1}))
        assert ledger.epochs(TENANT, [0, 1]) == {1: 1}
        assert ledger.owners(TENANT) == {1: (FIRST, 1)}
        assert ledger.claim(TENANT, [0], SECOND) == [Claim(0, 2, None)]
        ledger.release(TENANT, {0: 1, 7: 1})  # too late: it is the other's by now
        assert ledger.epochs(TENANT, [0]) == {0: 2}

    def test_a_claim_that_expects_an_epoch_leaves_others_alone(self, ledger: Ledger) -> None:
        """So a claim is confirmed, unless somebody came in between."""
        ledger.claim(TENANT, [0, 1], FIRST)
        ledger.claim(TENANT, [1], SECOND)
        taken = ledger.claim(TENANT, [0, 1], FIRST, {0: 1, 1: 1})
        assert taken == [Claim(0, 2, None)]
        assert ledger.owners(TENANT)[1] == (SECOND, 2)

    def test_an_unknown_process_is_told_apart_from_itself(self, ledger: Ledger) -> None:
        """Nobody can say that it is gone."""
        unknown = replace(FIRST, process="")
        ledger.claim(TENANT, [0], unknown)
        assert ledger.claim(TENANT, [0], unknown) == [Claim(0, 2, unknown)]

    def test_tenants_own_their_shares_of_a_partition_apart(self, ledger: Ledger) -> None:
        """Their rows share the sequence."""
        ledger.claim(TENANT, [0], FIRST)
        assert ledger.claim("other", [0], SECOND) == [Claim(0, 1, None)]
        theirs = contract_event("a")._replace(tenant="other")
        assert ledger.append([0], [contract_event("a")], {0: 1}) == [1]
        assert ledger.append([0], [theirs], {0: 1}) == [2]
        assert ledger.owners("other") == {0: (SECOND, 1)}
        ledger.release("other", {0: 1})
        assert ledger.epochs(TENANT, [0]) == {0: 1}

    # registered values

    def test_a_value_is_changed_by_who_knows_its_version(self, ledger: Ledger) -> None:
        """Version 0 is none."""
        assert ledger.get_value("map") is None
        assert not ledger.put_value("map", "x", 1)
        assert ledger.put_value("map", "one", 0)
        assert not ledger.put_value("map", "two", 0)
        assert ledger.get_value("map") == ("one", 1)
        assert ledger.put_value("map", "two", 1)
        assert not ledger.put_value("map", "three", 1)
        assert ledger.get_value("map") == ("two", 2)

    # people's rights

    def test_an_erased_user_leaves_nothing_and_others_stay(self, ledger: Ledger) -> None:
        """Rows and registered ids, in every partition; another tenant's user is another one."""
        ledger.put_value(ERASURE_KEY, KEY, 0)
        others = [contract_event("b", user_id="v"), contract_event("c", tenant="other")]
        ledger.append([0, 1, 0, 0], [contract_event("a"), contract_event("z"), *others])
        ledger.register_archived([0], archived_ids("u", {"old": 1e9}))
        name = erasure_pseudonym(KEY, "t", "u")
        assert ledger.erase("t", "u", name, at=1.5e9) == 2
        assert ledger.erase("t", "u", name, at=1.4e9) == 0
        assert ledger.tail(0)["event_id"].to_pylist() == ["b", "c"]
        assert ledger.tombstones("t") == [(name, 1.5e9)]
        assert ledger.tombstones("other") == []

    def test_who_is_buried_is_refused_before_anything_is_removed(self, ledger: Ledger) -> None:
        """The later of two times holds, and the version rises with each that counts."""
        ledger.put_value(ERASURE_KEY, KEY, 0)
        ledger.append([0], [contract_event("a")])
        names = [erasure_pseudonym(KEY, "t", user) for user in "uv"]
        assert ledger.erasure_version("t") == 0
        for at in (1.75e9, 1.5e9):
            ledger.bury("t", names[0], at=at)
        assert ledger.tombstones("t") == [(names[0], 1.75e9)]
        ledger.bury("t", names[1], at=1.8e9 + 0.25)
        assert ledger.erasure_version("t") == 3_550_000_000_250_000
        assert ledger.erasure_version("other") == 0
        assert len(ledger.tail(0)) == 1
        assert ledger.append([0], [contract_event("b")]) == [ERASED]

    def test_events_until_an_erasure_are_refused_and_later_ones_taken(self, ledger: Ledger) -> None:
        """Those of others are as ever; what is refused takes no sequence."""
        ledger.put_value(ERASURE_KEY, KEY, 0)
        ledger.erase("t", "u", erasure_pseudonym(KEY, "t", "u"), at=100.0)
        late = [contract_event("a", ts=100.0), contract_event("b", ts=100.000001)]
        others = [contract_event("a", "v", ts=1.0), contract_event("a", ts=1.0, tenant="other")]
        assert ledger.append([0] * 4, [*late, *others]) == [ERASED, 1, 2, 3]
        assert ledger.append([0], late[:1]) == [ERASED]
        assert ledger.erase("t", "u", erasure_pseudonym(KEY, "t", "u"), at=100.0) == 0
        ids = archived_ids("u", {"a": 100.0, "c": 101.0})
        assert ledger.register_archived([0, 0], ids) == 1


def contract_event(
    event_id: str, user_id: str = "u", ts: float = 1e9, tenant: str = TENANT
) -> Event:
    """An event as a client sends it."""
    return Event(tenant, event_id, user_id, "i", "click", ts, 0, ts + 1.5, value=2.5, text="ö")


def archived_ids(user_id: str, ids: Mapping[str, float]) -> pa.Table:
    """What ``register_archived`` takes, from event id -> Unix seconds; tenant ``t``."""
    ts = pa.array([round(t * 1e6) for t in ids.values()], pa.int64()).cast(TIMESTAMP)
    n = len(ids)
    return pa.table(
        {"tenant": ["t"] * n, "user_id": [user_id] * n, "event_id": list(ids), "ts": ts}
    )


def raised(kind: type[E], call: Callable[[], object]) -> E:
    """The error that a call raises, which it must."""
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was not raised")
