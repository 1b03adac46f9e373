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
from typing import Any

from tests.benchmarks.parts import names_among, run_parts

PARTS = (
    "fold",
    "space",
    "half",
    "snapshot",
    "reads",
    "ingest",
    "actor",
    "recovery",
    "reshard",
)
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

    def part(name: str) -> dict[str, Any]:
        module = importlib.import_module(f"tests.benchmarks.pool_parts.{name}")
        found: dict[str, Any] = module.run(options)
        return found

    return run_parts(options.parts, part, FIGURES)


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks pool")
    parser.add_argument(
        "--parts", type=names_among(PARTS), default=list(PARTS), help=",".join(PARTS)
    )
    parser.add_argument("--users", type=int, default=1_000_000, help="of the large tables")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=2.0, help="of training, for ``half``")
    return parser.parse_args(arguments)
