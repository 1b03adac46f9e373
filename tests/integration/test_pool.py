"""The pool as real actors: found again, killed, recovered, replaced."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import ray
from ray.util import list_named_actors

from recsys.archive import create_store
from recsys.errors import UnavailableError
from recsys.ledger import open_ledger
from recsys.schema import DEFAULT_TENANT, Event, partition_of
from recsys.settings import load
from recsys.store import Store
from recsys.testing.fakes import tiny_bundle, tiny_items
from recsys.wishes.wish import WISH, encoded, wish_text
from serving.pool import PoolClient, PoolSpec, end_pool, ensure_pool
from serving.pool.assignment import MapRegistry, want
from serving.pool.spec import TREND_BOARD, shard_roles
from serving.trend_mirror import TrendMirror

pytestmark = pytest.mark.ray

N_PARTITIONS = 8
TEXTS = {f"i{n}": f"word{n % 4} word{n % 7} word{n}" for n in range(20)}
USERS = [f"u{n}" for n in range(12)]


def new_spec(folder: Path, n_shards: int) -> PoolSpec:
    chosen = (
        "encoder.n_dims=8",
        f"serving.n_shards={n_shards}",
        "serving.snapshot_every_s=0.5",
        "serving.failover_s=5",
        "serving.standby=true",
    )
    settings = load(assignments=chosen)
    store = Store(str(folder / "store"))
    create_store(store, N_PARTITIONS)
    bundle = tiny_bundle(store, tiny_items(TEXTS), 0.0, settings)
    ledger = f"sqlite:///{folder}/ledger.db"
    return PoolSpec(store.uri, ledger, DEFAULT_TENANT, bundle.bundle_id, N_PARTITIONS, settings)


@pytest.fixture(scope="module")
def spec(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PoolSpec]:
    spec = new_spec(tmp_path_factory.mktemp("pool"), n_shards=2)
    yield spec
    end_pool(spec)


@pytest.fixture
def pool(spec: PoolSpec) -> PoolClient:
    return ensure_pool(spec)


def event(user: str, item: str = "i1", event_id: str | None = None) -> Event:
    now = time.time()
    name = f"{user}-{item}-{now}" if event_id is None else event_id
    return Event(DEFAULT_TENANT, name, user, item, "click", now, 0, now)


def later() -> float:
    return time.time() + 60.0


def pids(pool: PoolClient) -> dict[str, int]:
    return {shard.name: shard.pid for shard in asyncio.run(pool.status())}


def wait_until(fact: Callable[[], bool], timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not fact():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.05)


def test_every_shard_answers_for_its_users(pool: PoolClient) -> None:
    users = [f"every-{n}" for n in range(12)]
    ack = asyncio.run(pool.append([event(user) for user in users]))
    as_of = later()
    views = asyncio.run(pool.read(users, as_of, ack.versions))
    assert ack.n_accepted == 12
    asked = asyncio.run(pool.queries([*users, "every-nobody"], as_of))
    assert asked.keys() == set(users)
    for view in views:
        np.testing.assert_array_equal(asked[view.user_id].vectors, view.query.vectors)
    assert [view.user_id for view in views] == users
    assert all(view.n_events == 1 and view.is_known for view in views)
    statuses = asyncio.run(pool.status())
    owned = [p for status in statuses for p in status.partitions]
    assert sorted(owned) == list(range(N_PARTITIONS)) and len(statuses) == 2


def test_each_shard_stands_by_for_the_other(pool: PoolClient) -> None:
    def stand_by() -> bool:
        left, right = asyncio.run(pool.status())
        return left.copies == right.partitions and right.copies == left.partitions

    wait_until(stand_by)


def test_a_second_call_finds_the_same_actors(pool: PoolClient, spec: PoolSpec) -> None:
    before = pids(pool)
    assert pids(ensure_pool(spec)) == before


def test_an_acknowledged_wish_survives_a_kill(pool: PoolClient) -> None:
    """From the ledger: it is killed at once."""
    text = wish_text("dragons", encoded(np.ones(8)), {"mute": True})
    wish = event("wisher")._replace(item_id=None, kind=WISH, text=text)
    ack = asyncio.run(pool.append([wish]))
    (view,) = asyncio.run(pool.read(["wisher"], later(), ack.versions))
    assert view.wishes[0].is_muted and not view.is_known
    for pid in pids(pool).values():
        os.kill(pid, signal.SIGKILL)
    (again,) = asyncio.run(pool.read(["wisher"], later(), ack.versions, 30.0))
    assert again.wishes == view.wishes and again.n_events == 0


def test_no_acknowledged_event_is_lost_when_a_shard_is_killed(
    pool: PoolClient, spec: PoolSpec
) -> None:
    victim = next(iter(pids(pool).values()))
    acknowledged: dict[str, int] = dict.fromkeys(USERS, 0)

    async def write_on() -> None:
        for round_ in range(30):
            if round_ == 10:
                os.kill(victim, signal.SIGKILL)
            batch = [event(user, f"i{round_ % 20}", f"{user}-{round_}") for user in USERS]
            ack = await pool.append(batch)
            assert ack.n_accepted + ack.n_duplicates == len(USERS)
            for user in USERS:
                acknowledged[user] += 1

    asyncio.run(write_on())
    assert victim not in pids(pool).values()
    views = asyncio.run(pool.read(USERS, later(), {}))
    assert {view.user_id: view.n_events for view in views} == acknowledged
    ledger = open_ledger(spec.ledger_url)
    for user in USERS:
        tail = ledger.tail(partition_of(spec.tenant, user, N_PARTITIONS))
        assert tail["user_id"].to_pylist().count(user) == acknowledged[user]


def test_a_killed_shard_reads_as_before(pool: PoolClient, spec: PoolSpec) -> None:
    asyncio.run(pool.append([event(user, f"i{n}") for n, user in enumerate(USERS)]))
    as_of = later()
    before = asyncio.run(pool.read(USERS, as_of, {}))
    store = Store(spec.store_uri)
    wait_until(lambda: len(store.paths(f"snapshots/{DEFAULT_TENANT}/{spec.bundle_id}")) > 0)
    for pid in pids(pool).values():
        os.kill(pid, signal.SIGKILL)
    versions = {view.partition: view.version for view in before}
    after = asyncio.run(pool.read(USERS, as_of, versions, timeout_s=60.0))
    for old, new in zip(before, after, strict=True):
        np.testing.assert_allclose(new.query.vectors, old.query.vectors, atol=1e-5)
        assert (new.n_events, new.version) == (old.n_events, old.version)


def test_everybody_s_events_reach_the_trend_also_over_a_killed_board(
    pool: PoolClient, spec: PoolSpec
) -> None:
    mirror = TrendMirror(spec.settings.trend.half_lives_s, len(TEXTS))
    row = sorted(TEXTS).index("i19")
    ledger = open_ledger(spec.ledger_url)

    def recorded() -> int:
        tails = [ledger.tail(partition)["item_id"].to_pylist() for partition in range(N_PARTITIONS)]
        return sum(tail.count("i19") for tail in tails)

    def pulled() -> float:
        try:
            mirror.apply(asyncio.run(PoolClient(spec, timeout_s=1.0).pull_trend(mirror.version)))
        except UnavailableError:
            return -1.0
        return float(mirror.mass(time.time())[row, -1])

    def is_whole() -> bool:
        return pulled() == pytest.approx(recorded(), abs=1e-3)

    before = recorded()
    posted = time.time()
    asyncio.run(pool.append([event("trendy", "i19"), event("trendy2", "i19")]))
    wait_until(lambda: is_whole() and (mirror.as_of or 0.0) > posted)
    board = ray.get_actor(spec.actor_name(TREND_BOARD), namespace=spec.namespace)
    ray.kill(board, no_restart=False)
    asyncio.run(pool.append([event("trendy3", "i19")]))
    assert recorded() == before + 3
    wait_until(is_whole)


def test_a_read_that_asks_for_more_than_there_is_gives_up_in_time(pool: PoolClient) -> None:
    partition = partition_of(DEFAULT_TENANT, "u0", N_PARTITIONS)
    started = time.monotonic()
    with pytest.raises(UnavailableError, match="min_version"):
        asyncio.run(pool.read(["u0"], later(), {partition: 10**9}, timeout_s=0.5))
    assert time.monotonic() - started < 5.0


def test_pools_side_by_side_know_nothing_of_each_other(spec: PoolSpec, tmp_path: Path) -> None:
    other = new_spec(tmp_path, n_shards=1)
    try:
        asyncio.run(ensure_pool(spec).append([event("both")]))
        (view,) = asyncio.run(ensure_pool(other).read(["both"], later(), {}))
        assert not view.is_known
        assert end_pool(other) == 3
        (view,) = asyncio.run(ensure_pool(spec).read(["both"], later(), {}))
        assert view.is_known
    finally:
        end_pool(other)


def test_a_pool_of_another_bundle_takes_the_place_of_the_old(
    spec: PoolSpec, pool: PoolClient
) -> None:
    asyncio.run(pool.append([event("heir")]))
    store = Store(spec.store_uri)
    bundle = tiny_bundle(store, tiny_items({**TEXTS, "new": "word1"}), 0.0, spec.settings)
    successor = dataclasses.replace(spec, bundle_id=bundle.bundle_id)
    assert successor.namespace == spec.namespace
    (view,) = asyncio.run(ensure_pool(successor).read(["heir"], later(), {}))
    assert view.n_events == 1, "folded anew from the record"
    names = {a["name"] for a in list_named_actors(True) if a["namespace"] == spec.namespace}
    assert all(name.endswith(successor.generation) for name in names) and len(names) == 4
    with pytest.raises(UnavailableError):
        asyncio.run(PoolClient(spec, timeout_s=0.5).read(["heir"], later(), {}))


def test_shards_come_and_go_under_writes_and_reads_and_nothing_is_lost_or_counted_twice(
    cluster: None, tmp_path: Path
) -> None:
    spec = new_spec(tmp_path, n_shards=2)
    users = [f"moving-{n}" for n in range(40)]
    counts = dict.fromkeys(users, 0)
    try:
        pool = ensure_pool(spec)
        registry = MapRegistry(open_ledger(spec.ledger_url), spec.tenant)

        async def write_on(n_rounds: int) -> None:
            for _ in range(n_rounds):
                batch = [event(user, "i1", f"{user}-{counts[user]}") for user in users]
                ack = await pool.append(batch)
                assert ack.n_accepted + ack.n_duplicates == len(users)
                for user in users:
                    counts[user] += 1
                views = await pool.read(users, later(), ack.versions)
                assert [view.n_events for view in views] == [counts[user] for user in users]

        for n_shards in (3, 1):
            want(registry, n_shards)
            deadline = time.monotonic() + 120.0
            while len(asyncio.run(pool.status())) != n_shards or is_moving(spec, n_shards):
                asyncio.run(write_on(2))
                assert time.monotonic() < deadline
        asyncio.run(write_on(2))
        names = {a["name"].partition(".")[0] for a in list_named_actors(True) if of(spec, a)}
        assert names == {"directory", "trend-board", "shard-0"}
        ledger = open_ledger(spec.ledger_url)
        rows = [u for p in range(N_PARTITIONS) for u in ledger.tail(p)["user_id"].to_pylist()]
        assert {user: rows.count(user) for user in users} == counts
    finally:
        end_pool(spec)


def test_a_stopped_shard_that_wakes_up_again_neither_writes_nor_answers(
    cluster: None, tmp_path: Path
) -> None:
    spec = new_spec(tmp_path, n_shards=2)
    try:
        pool = ensure_pool(spec)
        user = "sleeper"
        asyncio.run(pool.append([event(user, "i1", "first")]))
        partition = partition_of(spec.tenant, user, N_PARTITIONS)
        ledger = open_ledger(spec.ledger_url)
        role = ledger.owners(spec.tenant)[partition][0].name
        victim = pids(pool)[role]
        os.kill(victim, signal.SIGSTOP)
        try:
            patient = PoolClient(spec, timeout_s=120.0)
            ack = asyncio.run(patient.append([event(user, "i2", "second")]))
            assert ack.n_accepted == 1, "another shard took over after the lease"
            assert ledger.owners(spec.tenant)[partition][0].name != role
        finally:
            os.kill(victim, signal.SIGCONT)
        for n in range(20):
            batch = [event(user, "i3", f"after-{n}")]
            ack = asyncio.run(patient.append(batch))
            (view,) = asyncio.run(patient.read([user], later(), ack.versions))
            assert view.n_events == 3 + n
            time.sleep(0.2)
    finally:
        end_pool(spec)


def of(spec: PoolSpec, actor: dict[str, str]) -> bool:
    return actor["namespace"] == spec.namespace


def is_moving(spec: PoolSpec, n_shards: int) -> bool:
    owners = open_ledger(spec.ledger_url).owners(spec.tenant)
    return {owner.name for owner, _ in owners.values()} != set(shard_roles(n_shards))
