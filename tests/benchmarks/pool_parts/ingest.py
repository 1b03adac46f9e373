"""Durable ingest through one shard actor on Ray: what it acknowledged is committed and folded.

``ingest_durable_events_per_s``  batches of 256 of 100,000 users in 64 partitions, 8 calls in
                                 flight, SQLite with synchronous FULL; also into PostgreSQL
``ingest_single_p99_ms``         single events at 50 a second for 10 s a round, SQLite
"""

from __future__ import annotations

import argparse
import statistics
import time
from contextlib import ExitStack
from typing import Any

import numpy as np
import ray

from serving.pool.client import WRITE
from tests.benchmarks.pool_parts.actors import (
    REPLAYED,
    Events,
    handle,
    in_flight,
    pool_of,
    ray_here,
)
from tests.postgres import postgres_server

N_USERS, BATCH, N_BATCHES = 100_000, 256, 200
N_IN_FLIGHT = 8
PER_S, SINGLES_S = 50, 10.0


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure; return the figures."""
    with ExitStack() as stack:
        server = stack.enter_context(postgres_server())
        stack.enter_context(ray_here())
        shards = {}
        for name, url in (("sqlite", None), ("postgres", server.new_database())):
            spec, _ = stack.enter_context(pool_of(1, url, REPLAYED))
            shard = handle(spec, "shard-0")
            shards[name] = shard.append.options(concurrency_group=WRITE)
        events = Events(N_USERS, 1)
        speeds: dict[str, list[float]] = {name: [] for name in shards}
        p50, p99 = [], []
        for _ in range(options.rounds + 1):
            for name, append in shards.items():
                batches = [events.draw(BATCH) for _ in range(N_BATCHES)]
                seconds = in_flight(append.remote, batches, N_IN_FLIGHT)
                speeds[name].append(BATCH * N_BATCHES / seconds)
            times = _singles(shards["sqlite"], events)
            p50.append(float(np.percentile(times, 50)))
            p99.append(float(np.percentile(times, 99)))
    return {  # the first round compiles, and makes the users known
        "ingest_durable_events_per_s": round(statistics.median(speeds["sqlite"][1:]), 1),
        "ingest_single_p99_ms": round(statistics.median(p99[1:]), 2),
        "ingest_single_p50_ms": round(statistics.median(p50[1:]), 2),
        "ingest_postgres_events_per_s": round(statistics.median(speeds["postgres"][1:]), 1),
        "rounds_sqlite": [round(speed) for speed in speeds["sqlite"][1:]],
        "rounds_postgres": [round(speed) for speed in speeds["postgres"][1:]],
    }


def _singles(append: Any, events: Events) -> list[float]:
    """Milliseconds of each, on a fixed beat."""
    times = []
    begin = time.perf_counter()
    for n, event in enumerate(events.draw(int(PER_S * SINGLES_S))):
        time.sleep(max(0.0, begin + n / PER_S - time.perf_counter()))
        started = time.perf_counter()
        ray.get(append.remote([event]))
        times.append(1e3 * (time.perf_counter() - started))
    return times
