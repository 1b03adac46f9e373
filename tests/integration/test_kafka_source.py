"""A member of a consumer group, against the broker inside librdkafka."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import numpy as np
import pytest

from recsys.errors import ConfigError, UnavailableError
from recsys.settings import DataSettings
from serving.pool.messages import AckBatch
from serving.stream import subscription as subscription_module
from serving.stream.group import Group
from serving.stream.kafka import KafkaSource
from serving.stream.loop import Outside, Pace, StreamLoop
from serving.stream.messages import End, Message, MessageReader, Place
from serving.stream.properties import KafkaProperties
from serving.stream.subscription import Subscription
from tests.integration.brokers import N_PARTITIONS, QUICK, Broker

PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def broker() -> Broker:
    return Broker()


@pytest.fixture
def opened() -> Iterator[Callable[..., KafkaSource]]:
    sources = []

    def open_(subscription: Subscription) -> KafkaSource:
        sources.append(KafkaSource(subscription))
        return sources[-1]

    yield open_
    for source in sources:
        source.close()


def subscribed(
    broker: Broker, topic: str, start: Literal["earliest", "latest"] = "earliest", **more: str
) -> Subscription:
    return Subscription(broker.address, topic, "g", start, KafkaProperties({**QUICK, **more}))


def places(topic: str) -> list[Place]:
    return [Place(topic, n) for n in range(N_PARTITIONS)]


def read(source: KafkaSource, n_messages: int, n_ends: int = 0) -> tuple[list[Message], list[End]]:
    messages: list[Message] = []
    ends: list[End] = []
    deadline = time.monotonic() + PATIENCE_S
    while len(messages) < n_messages or len(ends) < n_ends:
        assert time.monotonic() < deadline
        for item in source.poll(100, 0.2).items:
            if isinstance(item, Message):
                messages.append(item)
            else:
                ends.append(item)
    return messages, ends


@contextmanager
def reading(source: KafkaSource) -> Iterator[list[Message]]:
    """What a source reads meanwhile, in a thread of its own."""
    found: list[Message] = []
    is_over = threading.Event()

    def read_on() -> None:
        while not is_over.is_set():
            found.extend(i for i in source.poll(100, 0.1).items if isinstance(i, Message))

    reader = threading.Thread(target=read_on)
    reader.start()
    try:
        yield found
    finally:
        is_over.set()
        reader.join()


def test_a_new_member_goes_on_where_the_group_has_committed(
    broker: Broker, opened: Callable[..., KafkaSource]
) -> None:
    broker.send("resume", *[b"%d" % n for n in range(40)])
    subscription = subscribed(broker, "resume")
    first = opened(subscription)
    messages, ends = read(first, 40, N_PARTITIONS)
    assert sorted(int(m.value or b"-1") for m in messages) == list(range(40))
    assert all(m.sent_at is not None and abs(m.sent_at - time.time()) < 100.0 for m in messages)
    assert {(e.place, e.offset) for e in ends} == {(place, 10) for place in places("resume")}
    assert first.ends() == dict.fromkeys(places("resume"), 10)
    committed = {Place("resume", 0): 7, Place("resume", 1): 10}
    assert first.commit(committed) == committed
    first.close()
    group = Group(subscription)
    assert group.ends() == dict.fromkeys(places("resume"), 10)
    assert group.committed() == committed
    group.close()
    again, _ = read(opened(subscription), 23)
    by_place = {p: [m.offset for m in again if m.place == p] for p in places("resume")}
    assert by_place[Place("resume", 0)] == [7, 8, 9] and by_place[Place("resume", 1)] == []
    assert by_place[Place("resume", 2)] == list(range(10))


def test_a_group_that_starts_at_the_latest_skips_nothing_after_its_start(
    broker: Broker, opened: Callable[..., KafkaSource]
) -> None:
    broker.send("latest", *[b"old"] * 8)
    subscription = subscribed(broker, "latest", "latest")
    crashed = opened(subscription)
    _, ends = read(crashed, 0, N_PARTITIONS)
    assert {end.offset for end in ends} == {2}
    crashed.close()  # before it committed anything itself
    broker.send("latest", *[b"new"] * 8)
    messages, _ = read(opened(subscription), 8)
    assert {m.value for m in messages} == {b"new"}


@pytest.mark.parametrize("strategy", ["cooperative-sticky", "range"])
def test_a_held_member_hands_partitions_over_and_stays_in_the_group(
    broker: Broker, opened: Callable[..., KafkaSource], strategy: str
) -> None:
    topic = f"hold-{strategy}"
    broker.send(topic, *[b"%d" % n for n in range(40)])
    subscription = subscribed(broker, topic, **{"partition.assignment.strategy": strategy})
    first = opened(subscription)
    read(first, 40)
    second = opened(subscription)
    taken, theirs, deadline = set(), set(), time.monotonic() + PATIENCE_S
    with reading(second) as found:
        while len(taken) == 0 or len(theirs) < 2:
            assert time.monotonic() < deadline
            taken |= first.hold(0.1).taken
            theirs = {message.place for message in found}
    assert len(theirs) == 2 and theirs <= taken, "each has half"
    mine = set(places(topic)) - theirs
    broker.send(topic, *[b"more"] * 4)
    first.resume()
    more: list[Message] = []
    while {m.place for m in more if m.value == b"more"} != mine:
        assert time.monotonic() < deadline
        more += [i for i in first.poll(100, 0.2).items if isinstance(i, Message)]
    assert first.commit(dict.fromkeys(mine, 11)) == dict.fromkeys(mine, 11)


def test_a_member_that_is_no_longer_one_commits_nothing(
    broker: Broker, opened: Callable[..., KafkaSource]
) -> None:
    broker.send("zombie", *[b"%d" % n for n in range(8)])
    subscription = subscribed(broker, "zombie", **{"max.poll.interval.ms": "3000"})
    zombie = opened(subscription)
    read(zombie, 8)
    time.sleep(4.5)
    assert zombie.commit(dict.fromkeys(places("zombie"), 2)) == {}
    group = Group(subscription)
    assert group.committed() == {}
    group.close()
    assert zombie.poll(1, 0.5).taken | zombie.hold(0.1).taken == set(places("zombie"))


def test_the_loop_counts_each_message_once_over_a_crash_before_the_commit(
    broker: Broker, opened: Callable[..., KafkaSource]
) -> None:
    events = [{"user_id": f"u{n}", "kind": "click", "item_id": "i"} for n in range(60)]
    broker.send("crash", *events, b"{broken", {"user_id": "u", "kind": "no such kind"})
    subscription = subscribed(broker, "crash")
    ledger: dict[str, int] = {}
    poison: set[tuple[str, int, str]] = set()

    class CrashError(BaseException):
        pass

    def new_loop(crashes: bool) -> StreamLoop:
        def append(batch):
            for event in batch:
                ledger.setdefault(event.event_id, 0)
                ledger[event.event_id] = 1
            if crashes and len(ledger) > 30:
                raise CrashError
            return AckBatch(len(batch), 0, 0, {})

        def keep(rows):
            poison.update((p.message.place.source, p.message.offset, p.reason) for p in rows)

        outside = Outside(append, keep, time.time, np.random.default_rng(0))
        reader = MessageReader("default", DataSettings(), 1 << 20)
        return StreamLoop(opened(subscription), reader, outside, Pace(n_batch=10, poll_s=0.2))

    with pytest.raises(CrashError):
        new_loop(crashes=True).run()
    group = Group(subscription)
    assert sum(group.committed().values()) < 62
    loop, deadline = new_loop(crashes=False), time.monotonic() + PATIENCE_S
    while group.committed() != group.ends():
        assert time.monotonic() < deadline
        loop.step()
    group.close()
    assert ledger.keys() == {f"kafka:crash:{n % 4}:{n // 4}" for n in range(60)}
    assert poison == {
        ("kafka:crash:0", 15, "malformed_row"), ("kafka:crash:1", 15, "unknown_kind")
    }  # fmt: skip


def test_brokers_that_do_not_answer_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.stream.group.LOOKUP_S", 0.5)
    quiet = KafkaProperties({"log_level": "0"})
    with pytest.raises(UnavailableError, match="do not answer"):
        Group(Subscription("127.0.0.1:1", "t", "g", properties=quiet))


def test_a_refused_property_is_told_without_its_value() -> None:
    properties = KafkaProperties({"sasl.mechanisms": "hunter2", "security.protocol": "hunter2"})
    with pytest.raises(ConfigError, match="refuses its settings") as caught:
        subscription_module.open_consumer(Subscription("b:1", "t", "g", properties=properties))
    assert "hunter2" not in str(caught.value) and "***" in str(caught.value)
