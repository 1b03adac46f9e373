"""From two to three shards while every partition is written to, an event at a time.

``reshard_lost``          acknowledged events that the ledger or a profile lacks, or counts twice
``reshard_moved_share``   partitions that changed their owner / all
``reshard_pause_p99_ms``  of the longest acknowledgement of each moved partition, from the first
                          attempt on, retries included
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections import Counter
from typing import Any

import numpy as np

from recsys.ledger import open_ledger
from recsys.schema import DEFAULT_TENANT, Event, partition_of
from serving.pool import PoolClient, PoolSpec
from serving.pool.assignment import MapRegistry, want
from tests.benchmarks.pool_parts import tables as made
from tests.benchmarks.pool_parts.actors import pool_of, ray_here

N_WRITERS, KNOWN_USERS = 8, 20_000
CALM_S, TIMEOUT_S = 3.0, 180.0


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure; return the figures."""
    rounds = []
    with ray_here():
        for _ in range(max(1, options.rounds // 2)):
            with pool_of(2) as (spec, pool):
                rounds.append(asyncio.run(_Round(spec, pool).figures()))
    return {
        "reshard_lost": sum(found["lost"] for found in rounds),
        "reshard_moved_share": max(found["share"] for found in rounds),
        "reshard_pause_p99_ms": round(statistics.median(f["pause_p99_ms"] for f in rounds), 1),
        "rounds": rounds,
    }


class _Round:
    def __init__(self, spec: PoolSpec, pool: PoolClient) -> None:
        self._spec, self._pool = spec, pool
        self._registry = MapRegistry(open_ledger(spec.ledger_url), spec.tenant)
        self._users: dict[int, str] = {}
        for user in made.names(np.arange(KNOWN_USERS)):
            self._users.setdefault(partition_of(DEFAULT_TENANT, user, made.N_PARTITIONS), user)
        self._waits: dict[int, list[float]] = {p: [] for p in self._users}
        self._sent: Counter[str] = Counter()
        self._is_over = False

    async def figures(self) -> dict[str, Any]:
        first = [self._event(user, f"known-{n}") for n, user in
                 enumerate(made.names(np.arange(KNOWN_USERS)))]  # fmt: skip
        for start in range(0, KNOWN_USERS, 1_000):
            await self._pool.append(first[start : start + 1_000])
        writers = [asyncio.create_task(self._write(n)) for n in range(N_WRITERS)]
        await asyncio.sleep(CALM_S)
        calm = np.percentile([wait for waits in self._waits.values() for wait in waits], 99)
        old = self._registry.read()
        assert old is not None
        self._waits = {p: [] for p in self._users}
        started = time.monotonic()
        want(self._registry, 3)
        await self._moved()
        took = time.monotonic() - started
        await asyncio.sleep(1.0)
        self._is_over = True
        await asyncio.gather(*writers)
        new = self._registry.read()
        assert new is not None
        moved = [p for p in range(made.N_PARTITIONS) if old.owners[p] != new.owners[p]]
        longest = [1e3 * max(self._waits[p]) for p in moved]
        return {
            "lost": await self._lost(),
            "share": round(len(moved) / made.N_PARTITIONS, 4),
            "pause_p99_ms": round(float(np.percentile(longest, 99)), 1),
            "pause_p50_ms": round(float(np.percentile(longest, 50)), 1),
            "calm_p99_ms": round(1e3 * float(calm), 1),
            "took_s": round(took, 1),
        }

    async def _write(self, number: int) -> None:
        n = 0
        while not self._is_over:
            for partition in range(number, made.N_PARTITIONS, N_WRITERS):
                user = self._users[partition]
                started = time.monotonic()
                await self._pool.append([self._event(user, f"{partition}-{n}")])
                self._waits[partition].append(time.monotonic() - started)
                self._sent[user] += 1
            n += 1

    async def _moved(self) -> None:
        """Wait until three shards own the partitions that the map gives them."""
        deadline = time.monotonic() + TIMEOUT_S
        ledger = open_ledger(self._spec.ledger_url)
        while True:
            owners = ledger.owners(self._spec.tenant)
            held = tuple(owners[p][0].name if p in owners else "" for p in sorted(self._users))
            found = self._registry.read()
            if found is not None and len(set(held)) == 3 and held == found.owners:
                return
            assert time.monotonic() < deadline, "the pool is not shared out in time"
            await asyncio.sleep(0.1)

    async def _lost(self) -> int:
        users = list(self._sent)
        views = await self._pool.read(users, time.time() + 3_600.0, {})
        ledger = open_ledger(self._spec.ledger_url)
        rows: Counter[str] = Counter()
        for partition in range(made.N_PARTITIONS):
            rows.update(ledger.tail(partition)["user_id"].to_pylist())
        expected = {user: n + 1 for user, n in self._sent.items()}
        return sum(
            abs(expected[view.user_id] - view.n_events)
            + abs(expected[view.user_id] - rows[view.user_id])
            for view in views
        )

    def _event(self, user: str, event_id: str) -> Event:
        now = time.time()
        return Event(DEFAULT_TENANT, event_id, user, "i1", "click", now, 0, now)
