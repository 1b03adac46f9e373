"""A tiny store, and what stands on it without Ray."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient

from recsys.archive import create_store
from recsys.bundle import Bundle
from recsys.ledger import Owner, open_ledger
from recsys.schema import DEFAULT_TENANT, Event
from recsys.settings import Settings, load
from recsys.store import Store
from recsys.testing.fakes import HashEncoder, tiny_bundle, tiny_items
from serving.api.routes import create_app
from serving.gateway import Gateway
from serving.pool.leases import Leases
from serving.pool.messages import AckBatch, ProfileView, ShardStatus, TrendPush, TrendUpdate
from serving.pool.partition import Ground
from serving.pool.shard import Shard
from serving.pool.trend_board import TrendBoard
from serving.rules import RuleDesk
from serving.stage import Stage

NOW = 1_700_000_000.0
N_PARTITIONS = 4

TEXTS = {
    **{f"space-{n}": f"rockets stars orbit planets moon{n}" for n in range(12)},
    **{f"food-{n}": f"garlic pasta bread sauce dish{n}" for n in range(12)},
    "mute": None,
}


@pytest.fixture
def settings() -> Settings:
    return load(assignments=["encoder.n_dims=8", f"data.n_partitions={N_PARTITIONS}"])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(str(tmp_path / "store"))
    create_store(store, N_PARTITIONS)
    return store


@pytest.fixture
def bundle(store: Store, settings: Settings) -> Bundle:
    return tiny_bundle(store, tiny_items(TEXTS), NOW - 1e6, settings)


@pytest.fixture
def ground(bundle: Bundle, settings: Settings, tmp_path: Path) -> Ground:
    return Ground.of(bundle, open_ledger(f"sqlite:///{tmp_path}/ledger.db"), settings)


@pytest.fixture
def new_leases(ground: Ground) -> Callable[[], Leases]:
    """Makes the leases of a process that outlives all before it."""

    def make() -> Leases:
        owner = Owner("only", "machine", f"process-{uuid.uuid4().hex}", lease_s=3.0)
        return Leases(ground.ledger, ground.tenant, owner, gone=lambda _: True)

    return make


@pytest.fixture
def new_shard(ground: Ground, new_leases: Callable[[], Leases]) -> Callable[[], Shard]:
    """Makes shards of all partitions, as a restart does."""

    def make() -> Shard:
        shard = Shard(ground, N_PARTITIONS, new_leases())
        shard.open(range(N_PARTITIONS))
        return shard

    return make


@pytest.fixture
def event() -> Callable[..., Event]:
    count = 0

    def make(user: str, item: str | None, ts: float = NOW, kind: str = "click") -> Event:
        nonlocal count
        count += 1
        return Event(DEFAULT_TENANT, f"e{count}", user, item, kind, ts, 0, ts)

    return make


class LocalPool:
    """A pool of one shard in this process: a ``Pool`` without actors."""

    def __init__(self, shard: Shard) -> None:
        self.shard = shard
        self.error: Exception | None = None
        self._board = TrendBoard(["only"])
        self._sequence = 0

    async def append(self, events: Sequence[Event]) -> AckBatch:
        return self.shard.append(events)

    async def read(
        self,
        user_ids: Sequence[str],
        as_of: float,
        min_versions: Mapping[int, int],
        timeout_s: float | None = None,
    ) -> list[ProfileView]:
        if self.error is not None:
            raise self.error
        return self.shard.read(user_ids, as_of)

    async def record(self, user_id: str, timeout_s: float) -> pa.Table | None:
        if self.error is not None:
            raise self.error
        return self.shard.record([user_id])[0]

    async def pull_trend(self, version: int) -> TrendUpdate:
        self._sequence += 1
        is_full, trend = self.shard.take_trend(is_full=self._sequence == 1)
        self._board.push(TrendPush("only", self._sequence, is_full, NOW, trend.columns()))
        return self._board.pull(version)

    async def waiting_texts(self) -> dict[str, list[str]]:
        found = self.shard.waiting_texts()
        return {"only": found} if found else {}

    async def take_texts(self, shard: str, texts: Sequence[str], vectors: np.ndarray) -> int:
        return self.shard.take_texts(texts, vectors)

    async def status(self) -> list[ShardStatus]:
        partitions, n_users, n_events = self.shard.counts()
        return [ShardStatus("only", 1, partitions, n_users, n_events, 0.0)]


@pytest.fixture
def pool(new_shard: Callable[[], Shard]) -> LocalPool:
    return LocalPool(new_shard())


@pytest.fixture
def clock() -> list[float]:
    return [NOW]


@pytest.fixture
def desk(store: Store, bundle: Bundle) -> RuleDesk:
    return RuleDesk(store, bundle, time.perf_counter)


@pytest.fixture
def gateway(
    bundle: Bundle, pool: LocalPool, settings: Settings, clock: list[float], desk: RuleDesk
) -> Gateway:
    async def encode(texts: Sequence[str]) -> np.ndarray:
        return HashEncoder().encode(texts)

    return Gateway(bundle, pool, settings, lambda: clock[0], encode, desk)


@pytest.fixture
def client(gateway: Gateway) -> Iterator[TestClient]:
    with TestClient(create_app(Stage.of(gateway)), raise_server_exceptions=False) as client:
        yield client
