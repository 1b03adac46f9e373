"""A shard of 100,000 users is killed with kill -9; when does it read right again?

Half of a user's events stand in snapshots, the others in the ledger's tail.

``recovery_s``  from the start of the process that Ray puts in its place, Python's own start and all
                imports included, to the first answer in which a user of every partition has all
                that was acknowledged
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import psutil

from recsys.schema import partition_of
from recsys.store import Store
from serving.pool import PoolClient, PoolSpec
from serving.pool.client import WRITE
from tests.benchmarks.pool_parts import tables as made
from tests.benchmarks.pool_parts.actors import Events, handle, in_flight, pool_of, ray_here

N_USERS, BATCH, N_TAIL = 100_000, 1_024, 20_000
TIMEOUT_S = 120.0


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure; return the figures."""
    with ray_here(), pool_of(1, more=["serving.snapshot_every_s=3"]) as (spec, pool):
        append = handle(spec, "shard-0").append.options(concurrency_group=WRITE)
        events = Events(N_USERS, 1)
        everybody = [
            event._replace(user_id=user)
            for user, event in zip(
                made.names(np.arange(N_USERS)), events.draw(N_USERS), strict=True
            )
        ]
        in_flight(append.remote, [everybody[n : n + BATCH] for n in range(0, N_USERS, BATCH)], 4)
        _wait(lambda: _n_snapshots(spec) == made.N_PARTITIONS)
        time.sleep(6.0)  # the last ones are written
        found = [_round(spec, pool, events) for _ in range(options.rounds)]
    return {
        name: round(statistics.median(values[name] for values in found), 3)
        for name in ("recovery_s", "since_kill_s", "opening_s", "constructor_s")
    } | {"rounds": [round(values["recovery_s"], 2) for values in found]}


def _round(spec: PoolSpec, pool: PoolClient, events: Events) -> dict[str, float]:
    append = handle(spec, "shard-0").append.options(concurrency_group=WRITE)
    in_flight(append.remote, [events.draw(BATCH) for _ in range(N_TAIL // BATCH)], 4)
    asked = _one_per_partition()
    as_of = time.time() + 3_600.0
    before = asyncio.run(pool.read(asked, as_of, {}))
    versions = {view.partition: view.version for view in before}
    (status,) = asyncio.run(pool.status())
    killed = time.time()
    os.kill(status.pid, signal.SIGKILL)
    after = asyncio.run(pool.read(asked, as_of, versions, timeout_s=TIMEOUT_S))
    answered = time.time()
    assert [v.n_events for v in after] == [v.n_events for v in before]
    (heir,) = asyncio.run(pool.status())
    assert heir.pid != status.pid
    born = psutil.Process(heir.pid).create_time()
    return {
        "recovery_s": answered - max(born, killed),
        "since_kill_s": answered - killed,
        "opening_s": heir.recovery_s,
        "constructor_s": answered - max(born, killed) - heir.recovery_s,
    }


def _one_per_partition() -> list[str]:
    found: dict[int, str] = {}
    for user in made.names(np.arange(N_USERS)):
        found.setdefault(partition_of("default", user, made.N_PARTITIONS), user)
        if len(found) == made.N_PARTITIONS:
            break
    return list(found.values())


def _n_snapshots(spec: PoolSpec) -> int:
    prefix = f"snapshots/{spec.tenant}/{spec.bundle_id}"
    return sum(path.endswith("/CURRENT") for path in Store(spec.store_uri).paths(prefix))


def _wait(fact: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not fact():
        assert time.monotonic() < deadline, "snapshots are late"
        time.sleep(0.5)
