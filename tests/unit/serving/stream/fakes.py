"""A topic, a consumer group, a pool and a quarantine in memory, with traps between the steps."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from recsys.errors import EventError, UnavailableError
from recsys.schema import Event
from recsys.settings import DataSettings
from serving.pool.messages import AckBatch
from serving.stream.loop import Outside, Pace, Polled, StreamLoop
from serving.stream.messages import End, Message, MessageReader, Place, Poison

NOW = 1_700_000_000.0
MAX_BYTES = 2_000

POINTS = (
    "poll", "polled", "read", "append", "append half", "appended", "quarantine", "quarantined",
    "commit", "committed",
)  # fmt: skip


class Crash(BaseException):
    """The process is gone."""


class Trap:
    """Ends the process when a point is passed for the nth time."""

    def __init__(self) -> None:
        self.point, self.left = "", 0

    def set(self, point: str, nth: int) -> None:
        self.point, self.left = point, nth

    def __call__(self, point: str) -> None:
        if point == self.point and self.left > 0:
            self.left -= 1
            if self.left == 0:
                raise Crash(point)


def value_of(n: int, partition: int) -> tuple[bytes | None, str]:
    """The nth message of a partition, and the reason why it is poison ("" = it is sound)."""
    event = {"user_id": f"u{n % 5}", "kind": "click", "item_id": f"i{n % 7}", "ts": NOW - n}
    named = {**event, "event_id": f"e{partition}-{n}"}
    kinds: list[tuple[bytes | None, str]] = [
        (json.dumps(named).encode(), ""),
        (json.dumps(event).encode(), ""),
        (json.dumps({**named, "ts": None}).encode(), ""),
        (b'{"user_id": "u1", ', "malformed_row"),
        (json.dumps({**named, "user_id": "u1", "event_id": "everywhere"}).encode(), ""),
        (json.dumps({**named, "ts": NOW - 8 * 86_400}).encode(), "too_old"),
        (json.dumps({**named, "ts": NOW + 3_600}).encode(), "in_future"),
        (json.dumps({**named, "text": "x" * 3_000}).encode(), "too_large"),
        (json.dumps(event).encode(), ""),
        (None, "bad_event"),
    ]
    return kinds[n % len(kinds)]


@dataclass
class World:
    """All that outlives a consumer."""

    n_partitions: int = 2
    n_messages: int = 25
    is_eager: bool = False
    now: float = NOW
    trap: Trap = field(default_factory=Trap)
    ledger: Counter[tuple[str, str]] = field(default_factory=Counter)
    quarantine: Counter[tuple[str, int, str]] = field(default_factory=Counter)
    committed: dict[Place, int] = field(default_factory=dict)
    n_away: int = 0
    """Appends that will fail, every second one after it made half of them durable."""
    refused_user: str = ""
    on_hold: list[Callable[[], None]] = field(default_factory=list)
    on_append: list[Callable[[], None]] = field(default_factory=list)
    generation: int = 1
    assignment: dict[Place, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.places = [Place("t", n) for n in range(self.n_partitions)]
        self.log = {
            place: [
                Message(place, n, value_of(n, place.partition)[0], NOW - 50.0)
                for n in range(self.n_messages)
            ]
            for place in self.places
        }
        self.assignment = dict.fromkeys(self.places, 0)

    def rebalance(self, assignment: Mapping[Place, int]) -> None:
        self.generation += 1
        self.assignment = dict(assignment)

    def append(self, events: Sequence[Event]) -> AckBatch:
        self.trap("append")
        assert len(events) > 0
        is_away, self.n_away = self.n_away > 0, max(0, self.n_away - 1)
        if is_away and self.n_away % 2 == 0:
            raise UnavailableError("pool", "is away")
        if any(event.user_id == self.refused_user for event in events):
            raise EventError("user_id", "is not taken")
        n_new = 0
        for n, event in enumerate(events):
            if n == len(events) // 2:
                self.trap("append half")
                if is_away:
                    raise UnavailableError("pool", "is away")
            key = (event.user_id, event.event_id)
            n_new += key not in self.ledger
            self.ledger[key] = 1  # an id that the ledger has is a duplicate
        self.trap("appended")
        if self.on_append:
            self.on_append.pop(0)()
        return AckBatch(n_new, len(events) - n_new, 0, {})

    def keep(self, poison: Sequence[Poison]) -> None:
        self.trap("quarantine")
        for one in poison:
            place = one.message.place
            self.quarantine[place.source, one.message.offset, one.reason] += 1
        self.trap("quarantined")

    def is_durable(self, message: Message) -> bool:
        n, place = message.offset, message.place
        is_sound = value_of(n, place.partition)[1] == ""
        if is_sound and self.key(message)[0] != self.refused_user:
            return self.key(message) in self.ledger
        return any((place.source, n) == row[:2] for row in self.quarantine)

    def key(self, message: Message) -> tuple[str, str]:
        raw = json.loads(message.value or b"")
        fallback = f"kafka:t:{message.place.partition}:{message.offset}"
        return raw["user_id"], raw.get("event_id") or fallback

    def sound(self) -> set[tuple[str, str]]:
        """Every event that must be counted, once."""
        return {
            self.key(message)
            for place, messages in self.log.items()
            for message in messages
            if value_of(message.offset, place.partition)[1] == ""
        }

    def poison(self) -> set[tuple[str, int, str]]:
        return {
            (place.source, n, value_of(n, place.partition)[1])
            for place in self.places
            for n in range(self.n_messages)
            if value_of(n, place.partition)[1] != ""
        }

    def is_done(self) -> bool:
        return self.committed == dict.fromkeys(self.places, self.n_messages)


class FakeSource:
    """A member of the group; it learns of a rebalance when it asks."""

    def __init__(self, world: World, member: int) -> None:
        self.world, self.member = world, member
        self.generation = 0
        self.positions: dict[Place, int] = {}
        self.taken: set[Place] = set()
        self.said_end: set[Place] = set()
        self.is_held = self.is_closed = False
        self.n_holds = 0

    def poll(self, n_messages: int, timeout_s: float) -> Polled:
        self.world.trap("poll")
        assert not self.is_held, "reading goes on only after resume"
        self._join()
        items: list[Message | End] = []
        for place in self.positions:
            n_free = max(0, n_messages - len(items))
            more = self.world.log[place][self.positions[place] :][:n_free]
            items += more
            self.positions[place] += len(more)
            is_end = self.positions[place] == len(self.world.log[place])
            if is_end and place not in self.said_end:
                self.said_end.add(place)
                items.append(End(place, len(self.world.log[place])))
        self.world.trap("polled")
        return self._polled(items)

    def hold(self, timeout_s: float) -> Polled:
        self.is_held = True
        self.n_holds += 1
        self.world.now += max(timeout_s, 1e-3)
        if self.world.on_hold:
            self.world.on_hold.pop(0)()
        before = set(self.positions)
        self._join()
        early: list[Message | End] = []
        for place in sorted(
            set(self.positions) - before
        ):  # came unpaused: one message slips through
            early += self.world.log[place][self.positions[place] :][:1]
            self.positions[place] += sum(item.place == place for item in early)
        return self._polled(early)

    def resume(self) -> None:
        self.is_held = False

    def commit(self, offsets: Mapping[Place, int]) -> Mapping[Place, int]:
        self.world.trap("commit")
        if self.generation != self.world.generation:
            return {}  # a zombie, or a rebalance is on its way
        for place, offset in offsets.items():
            assert self.world.assignment[place] == self.member
            lost = [
                m.offset for m in self.world.log[place][:offset] if not self.world.is_durable(m)
            ]
            assert lost == [], f"committed past what is not durable: {lost}"
        self.world.committed.update(offsets)
        self.world.trap("committed")
        return offsets

    def ends(self) -> Mapping[Place, int]:
        return {place: len(self.world.log[place]) for place in self.positions}

    def close(self) -> None:
        self.is_closed = True

    def _join(self) -> None:
        if self.generation == self.world.generation:
            return
        self.generation = self.world.generation
        mine = {place for place, owner in self.world.assignment.items() if owner == self.member}
        gone = set(self.positions) if self.world.is_eager else set(self.positions) - mine
        self.taken |= gone
        kept = {place: at for place, at in self.positions.items() if place not in gone}
        started = {place: self.world.committed.get(place, 0) for place in sorted(mine - set(kept))}
        self.said_end &= set(kept)
        self.positions = {**kept, **started}

    def _polled(self, items: Sequence[Message | End]) -> Polled:
        taken, self.taken = frozenset(self.taken), set()
        return Polled(tuple(items), taken)


class _TrappedReader(MessageReader):
    def __init__(self, trap: Trap) -> None:
        super().__init__("default", DataSettings(), MAX_BYTES)
        self._trap = trap

    def read(self, message: Message, now: float) -> Event | Poison:
        self._trap("read")
        return super().read(message, now)


def new_loop(world: World, member: int = 0, n_batch: int = 7, **outside: object) -> StreamLoop:
    """A consumer as it starts: it knows nothing but what outlived the one before."""
    tools: dict = {
        "append": world.append,
        "quarantine": world.keep,
        "now": lambda: world.now,
        "rng": np.random.default_rng(member),
        **outside,
    }
    source, reader = FakeSource(world, member), _TrappedReader(world.trap)
    return StreamLoop(source, reader, Outside(**tools), Pace(n_batch=n_batch))
