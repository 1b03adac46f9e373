"""Reads of profiles without an actor: 256 users of 64 partitions in one call, beside one user."""

from __future__ import annotations

import argparse
import pickle
import statistics
import time
from typing import Any

import numpy as np

from recsys.snapshot import Position
from recsys.trend import TrendState
from serving.pool.partition import Partition
from serving.pool.view import hold, profile_views
from tests.benchmarks.pool_parts import tables as made

N_USERS = 64_000
EVENTS = 30 * N_USERS
_CALLS = 100


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure; return milliseconds of a call, its copying into a message included."""
    basis, rng = made.basis_of(), np.random.default_rng(7)
    tables = made.new_tables(basis)
    made.add_users(tables, 0, N_USERS)
    for _ in range(30):
        drawn = made.batch(rng, EVENTS // 30, N_USERS, made.START)
        ready = basis.codes.prepare(drawn.events, basis.model, basis.items)
        for table, (rows, some) in zip(tables, drawn.parts(ready), strict=True):
            table.apply(rows, some)
    trend = TrendState(basis.settings.trend.half_lives_s)
    partitions = [
        Partition(n, table, trend, Position(1), is_rebuilt=False, is_dirty=False)
        for n, table in enumerate(tables)
    ]
    found: dict[str, list[float]] = {"one": [], "many": [], "message": []}
    for _ in range(options.rounds + 1):
        for name, size in (("one", 1), ("many", 256)):
            users = [rng.integers(0, N_USERS, size) for _ in range(_CALLS)]
            calls = [([partitions[n % 64] for n in some], made.names(some)) for some in users]
            started = time.process_time()
            for owners, ids in calls:
                held = hold(owners, ids)
                views = profile_views(held, made.START + 1e6, basis.model, basis.settings.interest)
            found[name].append(1e3 * (time.process_time() - started) / _CALLS)
        started = time.process_time()
        for _ in range(_CALLS):
            pickle.loads(pickle.dumps(views, protocol=5))
        found["message"].append(1e3 * (time.process_time() - started) / _CALLS)
    return {f"read_{k}_ms": round(statistics.median(v[1:]), 4) for k, v in found.items()}
