"""Erasing a user under a running pool, and in PostgreSQL."""

from __future__ import annotations

import asyncio
import time
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from pipelines import compact, erase, export
from pipelines.job import Job
from recsys.archive import create_store
from recsys.schema import DEFAULT_TENANT, Event, partition_of
from recsys.settings import load
from recsys.store import Store
from recsys.testing.fakes import tiny_bundle, tiny_items
from serving.pool import PoolClient, PoolSpec, end_pool, ensure_pool
from serving.trend_mirror import TrendMirror
from tests.unit.rights.scanning import found_in
from tests.unit.rights.worlds import ONLY_WORDS, PARTITION, WHO, make_world

N_PARTITIONS = 4
GONE, ITEM = "Grünewald-7731", "i7"
PEOPLE = [GONE, *(f"u{n}" for n in range(11))]


def happened(user: str, number: int) -> Event:
    now = time.time()
    item = ITEM if user == GONE else f"i{number % 5}"
    return Event(DEFAULT_TENANT, f"{user}-{number}", user, item, "click", now, 0, now)


async def wait_until(fact, timeout_s: float = 60.0) -> float:  # type: ignore[no-untyped-def]
    """Seconds until something came true."""
    started = time.monotonic()
    while not await fact():
        assert time.monotonic() - started < timeout_s, "it did not come true"
        await asyncio.sleep(0.05)
    return time.monotonic() - started


@pytest.mark.ray
def test_a_running_pool_forgets_who_is_erased(cluster: None, tmp_path: Path) -> None:
    """Profile, trend, snapshots and evicted profiles; compaction goes on beside it."""
    spill = tmp_path / "spill"
    settings = load(
        assignments=[
            "encoder.n_dims=8",
            f"data.n_partitions={N_PARTITIONS}",
            "serving.n_shards=2",
            "serving.snapshot_every_s=0.5",
            "serving.max_users_per_partition=1",
            f"serving.spill_folder={spill}",
        ]
    )
    store = Store(str(tmp_path / "store"))
    create_store(store, N_PARTITIONS)
    items = tiny_items({f"i{n}": f"word{n % 4} word{n}" for n in range(10)})
    bundle = tiny_bundle(store, items, 0.0, settings)
    job = Job(store, f"sqlite:///{tmp_path}/ledger.db", settings)
    spec = PoolSpec(
        store.uri, job.ledger_url, DEFAULT_TENANT, bundle.bundle_id, N_PARTITIONS, settings
    )
    try:
        pool = ensure_pool(spec)
        figures = asyncio.run(_erase_beside(job, pool))
        assert figures["is_erased"]
        time.sleep(1.5)  # the next snapshots
    finally:
        end_pool(spec)
    hits = found_in([tmp_path], [GONE])[GONE]
    assert hits == []
    assert len(found_in([tmp_path / "store"], ["u1"])["u1"]) > 0


async def _erase_beside(job: Job, pool: PoolClient) -> dict[str, bool]:
    for number in range(6):
        await pool.append([happened(user, number) for user in PEOPLE])
        if number == 3:
            await asyncio.to_thread(compact.run, job)
    mirror = TrendMirror(job.settings.trend.half_lives_s, 10)  # items in the order of their ids
    (before,) = await pool.read([GONE], time.time() + 60.0, {})
    assert before.n_events == 6 and found_in([Path(job.store.uri)], [GONE])[GONE] != []
    assert len(export.run(job, GONE)["events"]) == 6

    async def has_trend() -> bool:
        mirror.apply(await pool.pull_trend(mirror.version))
        return bool(mirror.mass(time.time())[7].any())

    await wait_until(has_trend)
    report = await asyncio.to_thread(erase.run, job, GONE)
    assert all(left["place"] == "spill" for left in report["left"])

    async def is_forgotten() -> bool:
        (view,) = await pool.read([GONE], time.time() + 60.0, {})
        return not view.is_known

    seconds = await wait_until(is_forgotten)
    assert seconds < report["shards_forget_within_s"] + 5.0

    async def has_no_trend() -> bool:
        return not await has_trend() and bool(mirror.mass(time.time()).any())

    await wait_until(has_no_trend)
    late = happened(GONE, 99)._replace(ts=report["receipt"]["erased_until"] - 1.0)
    ack = await pool.append([late, happened("u0", 99)])
    assert ack.refused == (late.event_id,) and ack.n_accepted == 1
    (stays,) = await pool.read(["u0"], time.time() + 60.0, ack.versions)
    return {"is_erased": stays.n_events == 7}


def test_nothing_of_an_erased_user_is_found_in_postgresql(
    tmp_path: Path, postgres_url: str
) -> None:
    """By query of every table, the same one as before."""
    world = make_world(tmp_path, postgres_url)
    tables = ("events", "archived_ids", "registry", "tombstones", "owners")

    def hits(needle: str) -> set[str]:
        with closing(psycopg.connect(postgres_url)) as db:
            return {
                table
                for table in tables
                if any(needle in str(row) for row in db.execute(f"SELECT * FROM {table}"))
            }

    assert hits(WHO) == {"events", "archived_ids"} and hits(ONLY_WORDS) == {"events"}
    report = erase.run(world.job, WHO)
    assert hits(WHO) == hits(ONLY_WORDS) == set()
    assert report["left"] == [] and report["receipt"]["removed"]["ledger"]["n_rows"] == 1
    assert hits(report["receipt"]["pseudonym"]) == {"tombstones"}
    assert len(world.ledger.tail(PARTITION)) == 2


def test_partitions_are_those_of_the_users() -> None:
    assert partition_of(DEFAULT_TENANT, WHO, 2) == PARTITION
