"""The service over HTTP, beside a FastAPI application on Ray Serve that does nothing.

``throughput``   slates of warm profiles beside the application that does nothing
``optimised``    Serve's switches for throughput beside its defaults; events in posts of 100
``effect``       from an event's 202 to the slate that has it, at half of the load that is possible

A part is a module of ``tests.benchmarks.http_parts``; figures of parts that were not asked for are
null. Load comes from wrk (``apt-get install wrk``).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from tests.benchmarks.http_parts import effect, optimised, throughput
from tests.benchmarks.http_parts.load import wrk
from tests.benchmarks.parts import names_among, run_parts

FIGURES = (
    "throughput_ratio",
    "p99_ratio",
    "optimised_ratio",
    "ingest_events_per_s",
    "effect_p50_ms",
    "effect_p99_ms",
    "retrieval_p50_ms",
    "retrieval_recall",
    "replica_memory_ratio",
    "switch_failed",
)
Part = Callable[[argparse.Namespace, Callable[[str], None]], dict[str, Any]]
PARTS: dict[str, Part] = {
    "throughput": throughput.run,
    "optimised": optimised.run,
    "effect": effect.run,
}


def run(arguments: list[str]) -> dict[str, Any]:
    """Measure; return the figures."""
    options = _options(arguments)
    wrk()
    return run_parts(options.parts, lambda name: PARTS[name](options, _say), FIGURES)


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks http")
    parser.add_argument("--parts", type=names_among(PARTS), default=list(PARTS))
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--users", type=int, default=1_000)
    parser.add_argument("--seconds", type=int, default=8, help="of one load")
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args(arguments)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
