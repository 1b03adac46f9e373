"""Recovery of one partition without an actor: its snapshot, then the ledger's tail.

``snapshot_profiles_per_s``  users of a partition / seconds of ``snapshot.load`` from a local store
                             (read, check, decode, fill the table), 30 events a user, float32
``replay_events_per_s``      events of a tail, as the ledger gives it, / seconds of ``fold_record``
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from typing import Any

import numpy as np
import pyarrow as pa

from recsys.basis import Basis
from recsys.datasets import canonical
from recsys.folding import empty_state, fold_record
from recsys.interest.storage import ProfileDtype, Storage
from recsys.schema import EVENTS
from recsys.settings import DAY_S
from recsys.snapshot import Position, SnapshotKey, load, save
from recsys.store import Store
from recsys.testing.plain import times
from tests.benchmarks.pool_parts import tables as made

EVENTS_PER_USER = 30
N_TAIL = 100_000
KEY = SnapshotKey("default", "bundle", 0)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure; return the figures."""
    basis, rng = made.basis_of(), np.random.default_rng(5)
    n_users = options.users // made.N_PARTITIONS
    record = _record(rng, n_users, EVENTS_PER_USER * n_users, made.START)
    tail = _record(rng, n_users, N_TAIL, made.START + 40 * DAY_S)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        table, trend = empty_state(basis)
        fold_record(table, trend, record, basis)
        save(store, KEY, table, trend, Position(1))
        load_s, replay_s = [], []
        for _ in range(options.rounds + 1):
            found, seconds = _loaded(store, basis, "float32")
            load_s.append(seconds)
            started = time.process_time()
            fold_record(found.table, found.trend, tail, basis)
            replay_s.append(time.process_time() - started)
        half = [_loaded(store, basis, "float16")[1] for _ in range(options.rounds + 1)]
        save(store, KEY, _loaded(store, basis, "float16")[0].table, trend, Position(2))
        small = [_loaded(store, basis, "float16")[1] for _ in range(options.rounds)]
    return {
        "snapshot_profiles_per_s": round(n_users / statistics.median(load_s[1:]), 1),
        "replay_events_per_s": round(N_TAIL / statistics.median(replay_s[1:]), 1),
        "snapshot_into_float16_profiles_per_s": round(n_users / statistics.median(half[1:]), 1),
        "snapshot_of_float16_profiles_per_s": round(n_users / statistics.median(small), 1),
        "n_profiles": n_users,
    }


def _loaded(store: Store, basis: Basis, dtype: ProfileDtype) -> tuple[Any, float]:
    started = time.process_time()
    found = load(store, KEY, basis.settings, Storage(dtype))
    return found, time.process_time() - started


def _record(rng: np.random.Generator, n_users: int, n: int, at: float) -> pa.Table:
    """Events of users drawn evenly, in 30 days."""
    kind = made.KINDS[rng.integers(0, len(made.KINDS), n)]
    users = np.array(made.names(np.arange(n_users)), object)
    ts = times(at + np.sort(rng.uniform(0.0, 30 * DAY_S, n)))
    rated = kind == "rating"
    return canonical(
        EVENTS,
        n,
        event_id=pa.array([f"e{j}" for j in range(n)]),
        user_id=pa.array(users[rng.integers(0, n_users, n)], pa.string()),
        item_id=pa.array([f"i{j}" for j in rng.integers(0, made.N_ITEMS, n)]),
        kind=pa.array(kind, pa.string()),
        ts=ts,
        seq=np.arange(n),
        ingested_at=ts,
        value=pa.array(rng.integers(1, 6, n).astype(np.float64), mask=~rated),
    )
