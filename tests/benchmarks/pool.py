"""The profile pool: how fast, how small and how sound (``--parts memory,ingest,...``).

``fold``      the fold alone and whole, beside the bound given by copying the touched rows
``space``     bytes of memory per user in float16, by the slope of the process's size
``half``      what float16 costs in quality, on a real log through the serving fold
``snapshot``  loading of snapshots, replay of a ledger's tail
``reads``     profiles of many users at once, without an actor
``ingest``    durable ingest through a shard actor, in batches and one by one
``actor``     reads through a shard actor, beside a call of an actor that does nothing
``recovery``  kill -9 of a shard, until what it knew is read again
``reshard``   from two to three shards under load

Seconds of ``fold``, ``snapshot`` and ``reads`` are those of the process on its core, so that others
on the machine do not count.

A part is a module of ``tests.benchmarks.pool_parts`` with ``run(options) -> dict`` of figures;
``PARTS`` names it here. Figures of parts that were not asked for are null.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from typing import Any

PARTS = {
    "fold": "fold",
    "space": "space",
    "half": "half",
    "snapshot": "snapshot",
    "reads": "reads",
    "ingest": "ingest",
    "actor": "actor",
    "recovery": "recovery",
    "reshard": "reshard",
}
FIGURES = (
    "fold_events_per_s",
    "fold_256_events_per_s",
    "fold_bound_ratio",
    "fold_scale_ratio",
    "ingest_durable_events_per_s",
    "ingest_single_p99_ms",
    "read_ratio",
    "read_batch_ratio",
    "bytes_per_user",
    "float16_ndcg_ratio",
    "recovery_s",
    "replay_events_per_s",
    "snapshot_profiles_per_s",
    "reshard_lost",
    "reshard_moved_share",
    "reshard_pause_p99_ms",
)


def run(arguments: list[str]) -> dict[str, Any]:
    """Measure; return the figures."""
    options = _options(arguments)
    figures: dict[str, Any] = dict.fromkeys(FIGURES)
    details: dict[str, Any] = {}
    for name in options.parts:
        started = time.perf_counter()
        module = importlib.import_module(f"tests.benchmarks.pool_parts.{PARTS[name]}")
        found = module.run(options)
        figures.update({key: found.pop(key) for key in FIGURES if key in found})
        details[name] = {**found, "seconds": round(time.perf_counter() - started, 1)}
        sys.stderr.write(f"{name}: {details[name]}\n")
    return {**figures, "details": details}


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks pool")
    parser.add_argument("--parts", type=_parts, default=list(PARTS), help=",".join(PARTS))
    parser.add_argument("--users", type=int, default=1_000_000, help="of the large tables")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=2.0, help="of training, for ``half``")
    return parser.parse_args(arguments)


def _parts(text: str) -> list[str]:
    """Parts in the order of ``PARTS``."""
    asked = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in asked if name not in PARTS]
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; known: {','.join(PARTS)}")
    return [name for name in PARTS if name in asked]
