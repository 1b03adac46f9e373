"""Speed of the fold that bootstrap runs, on one core, and its agreement with the online fold.

``events_per_s``       events of a record table / seconds of ``fold_partition`` (ids to positions,
                       both banks, ring of recent events, seen items and trend), one process, one
                       thread, median of the rounds
``parity_max_error``   largest difference of any element of the state between that fold and an
                       online one (batches of 256 events in random order), relative to the user's
                       sum of |a v|
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

import numpy as np
import pyarrow as pa

from recsys.archive import EVENT_ORDER
from recsys.catalog import catalog_from_items
from recsys.events import event_arrays
from recsys.folding import Basis, empty_state, fold_batch, fold_partition
from recsys.interest.model import FoldBatch, ItemTable
from recsys.interest.profiles import ProfileTable
from recsys.interest.zero_shot import ZeroShot, bank_importance
from recsys.ranking import default_weights
from recsys.settings import Settings
from recsys.testing.plain import PlainLog, plain_tables

KINDS = ("impression", "view", "click", "purchase", "dislike", "skip", "rating")
BATCH_EVENTS = 256


def run(arguments: list[str]) -> dict[str, float]:
    """Measure; return the figures."""
    options = _options(arguments)
    rng = np.random.default_rng(17)
    catalog = catalog_from_items(
        pa.table({"item_id": [f"i{item}" for item in range(options.items)]})
    )
    vectors = rng.normal(size=(options.items, options.dims)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    log = PlainLog(options.events, options.users, options.items, kinds=KINDS)
    record = pa.concat_tables(plain_tables(log, rng)).sort_by(EVENT_ORDER)
    settings = Settings()
    weights = default_weights(settings.interest, settings.trend)
    model = ZeroShot(settings.interest, weights)
    basis = Basis(catalog, ItemTable.all_warm(vectors), model, settings)
    fold_partition(record[:1_000], basis)  # compiles
    speeds = []
    for number in range(options.rounds):
        started = time.perf_counter()
        table, _ = fold_partition(record, basis)
        speeds.append(len(record) / (time.perf_counter() - started))
        sys.stderr.write(f"round {number + 1}: {speeds[-1]:,.0f} events/s\n")
    error = _parity_error(table, record, basis, rng)
    return {
        "events_per_s": round(statistics.median(speeds), 1),
        "parity_max_error": error,
        "n_events": len(record),
        "n_users": len(table),
        "n_dims": options.dims,
    }


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks bootstrap")
    parser.add_argument("--events", type=int, default=500_000)
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--dims", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args(arguments)


def _parity_error(
    table: ProfileTable, record: pa.Table, basis: Basis, rng: np.random.Generator
) -> float:
    events = event_arrays(record, basis.catalog.index)
    online, trend = empty_state(basis)
    order = rng.permutation(len(events))
    for start in range(0, len(order), BATCH_EVENTS):
        part = order[start : start + BATCH_EVENTS]
        rows = online.rows([events.user_ids[user] for user in events.user[part]], create=True)
        batch = FoldBatch(events.item[part], events.ts[part], events.kind[part], events.value[part])
        fold_batch(online, trend, rows, batch, basis)
    importance, _ = bank_importance(events.kind, events.value, basis.settings.interest)
    total = np.zeros(len(table))
    np.add.at(total, table.rows(events.user_ids)[events.user], importance.max(axis=1))
    banks = table.banks(np.arange(len(table)))
    others = online.banks(online.rows(table.user_ids))
    scale = np.maximum(total, 1e-9)
    pairs = zip(banks[:4], others[:4], strict=True)  # sums and mass of both banks
    return float(
        max((np.abs(a - b).reshape(len(table), -1).max(axis=1) / scale).max() for a, b in pairs)
    )
