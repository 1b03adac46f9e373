"""Those who write to a pool and read from it, and note what they saw."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from recsys.errors import LedgerError, UnavailableError
from recsys.schema import DEFAULT_TENANT, Event, partition_of
from serving.pool.client import PoolClient
from serving.pool.messages import ProfileView
from tests.chaos.pool.history import Append, History, Seen, Sent

START = 1_700_000_000.0
AS_OF = START + 172_800.0
KINDS = ("click", "view", "purchase")
USERS = tuple(f"u{n}" for n in range(24))
ITEMS = tuple(f"i{n}" for n in range(20))
PAUSE_S = 0.004


@dataclass
class Load:
    """Writers and readers of one pool, a thread each.

    Args:
        new_client: makes a client for one of them.
        n_partitions: of the store.
        seed: of what they do.
        jumps: whether the clock by which events are dated jumps.
    """

    new_client: Callable[[random.Random], PoolClient]
    n_partitions: int
    seed: int
    jumps: bool = False
    patience_s: float = 20.0
    """After the end, until a batch that was begun is given up."""
    history: History = field(default_factory=History)
    versions: dict[int, int] = field(default_factory=dict)
    errors: list[BaseException] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []

    def begin(self, n_writers: int = 2, n_readers: int = 2) -> None:
        for number in range(n_writers + n_readers):
            work = self._write if number < n_writers else self._read
            thread = threading.Thread(target=self._noted, args=(work, number), daemon=True)
            self._threads.append(thread)
            thread.start()

    def end(self) -> None:
        """Let each finish what it began."""
        self._over.set()
        for thread in self._threads:
            thread.join()
        if self.errors:
            raise self.errors[0]

    def _noted(self, work: Callable[..., Any], number: int) -> None:
        try:
            draw = random.Random(f"{self.seed}/{number}")
            asyncio.run(work(self.new_client(draw), draw, number))
        except BaseException as error:  # noqa: BLE001 - raised by ``end``
            self.errors.append(error)

    async def _write(self, client: PoolClient, draw: random.Random, number: int) -> None:
        n, old = 0, None
        while not self._over.is_set():
            batch = [self._event(draw, f"w{number}-{n + j}") for j in range(draw.randint(1, 8))]
            n += len(batch)
            await self.append(client, batch)
            if old is not None and draw.random() < 0.1:
                await self.append(client, old)
            old = batch
            await asyncio.sleep(PAUSE_S)

    def _event(self, draw: random.Random, event_id: str) -> Event:
        ts = START + draw.uniform(-3_600.0, 3_600.0)
        if self.jumps and draw.random() < 0.5:
            ts += draw.choice((-86_400.0, 86_400.0))
        user, item = draw.choice(USERS), draw.choice(ITEMS)
        return Event(DEFAULT_TENANT, event_id, user, item, draw.choice(KINDS), ts, 0, ts)

    async def append(self, client: PoolClient, batch: Sequence[Event]) -> None:
        """Send until it is acknowledged, or the patience ends."""
        sent = tuple(Sent(self.partition(e.user_id), e.user_id, e.event_id) for e in batch)
        begin = time.monotonic()
        late = None
        while late is None or time.monotonic() < late:
            try:
                ack = await client.append(batch)
            except (LedgerError, UnavailableError):
                if self._over.is_set() and late is None:
                    late = time.monotonic() + self.patience_s
                await asyncio.sleep(PAUSE_S)
                continue
            end = time.monotonic()
            self.history.appends.append(Append(begin, end, sent, True, dict(ack.versions)))
            for partition, version in ack.versions.items():
                self.versions[partition] = max(version, self.versions.get(partition, 0))
            return
        self.history.appends.append(Append(begin, time.monotonic(), sent, False, {}))

    async def _read(self, client: PoolClient, draw: random.Random, _: int) -> None:
        while not self._over.is_set():
            users = draw.sample(USERS, draw.randint(1, 4))
            asked = dict(self.versions) if draw.random() < 0.5 else {}
            try:
                await self.read(client, users, asked)
            except (LedgerError, UnavailableError):
                await asyncio.sleep(PAUSE_S)
            await asyncio.sleep(PAUSE_S)

    async def read(self, client: PoolClient, users: Sequence[str], asked: dict[int, int]) -> None:
        """Read, and note what was seen."""
        begin = time.monotonic()
        views = await client.read(users, AS_OF, asked)
        end = time.monotonic()
        self.history.reads += [
            seen(v, begin, end, asked.get(self.partition(v.user_id), 0)) for v in views
        ]

    def partition(self, user: str) -> int:
        return partition_of(DEFAULT_TENANT, user, self.n_partitions)


def seen(view: ProfileView, begin: float, end: float, min_version: int = 0) -> Seen:
    """A profile as the history has it."""
    mass = tuple(float(m) for m in view.mass)
    return Seen(
        begin, end, view.partition, view.user_id, view.version, min_version, view.n_events,
        view.as_of, mass,
    )  # fmt: skip
