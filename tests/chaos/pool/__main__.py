"""Chaos of the profile pool: ``python -m tests.chaos.pool --runs 200 --seed 1``.

Progress goes to stderr. The last line of stdout is
``{"runs": ..., "lost": ..., "duplicated": ..., "stale_writes": ..., "stale_reads": ...}``; the exit
code is 1 where one of them is not zero. A run is had again by its seed, ``--runs 1 --seed N``.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import logging
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from tests.chaos.pool.checker import Verdict
from tests.chaos.pool.plan import THEMES
from tests.postgres import postgres_server

KINDS = tuple(Verdict().counts())


def main(arguments: list[str]) -> int:
    """Run; print the counts."""
    options = _options(arguments)
    logging.basicConfig(level=logging.ERROR)
    if options.ray is not None:
        from tests.chaos.pool.soak import soak  # noqa: PLC0415 - Ray

        totals = soak(options.ray, options.seconds, options.every, options.seed, _say)
        n_runs = 1
    else:
        totals, n_runs = _runs(options), options.runs
    report = {"runs": n_runs, **{kind: totals[kind] for kind in KINDS}}
    sys.stdout.write(json.dumps(report) + "\n")
    return int(any(totals[kind] for kind in KINDS))


def _runs(options: argparse.Namespace) -> Counter[str]:
    from tests.chaos.pool.run import run  # noqa: PLC0415 - slow
    from tests.chaos.pool.scene import Scenes  # noqa: PLC0415

    totals: Counter[str] = Counter()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hlc", dir="/tmp")))
        postgres = None if options.no_postgres else stack.enter_context(postgres_server())
        scenes = Scenes(folder, postgres)
        for seed in range(options.seed, options.seed + options.runs):
            started = time.monotonic()
            plan, history, verdict = run(scenes, seed, options.theme)
            totals.update(verdict.counts())
            _say(
                f"seed {seed}: {plan.theme}, {plan.ledger}, {len(history.appends)} batches,"
                f" {len(history.reads)} reads, {time.monotonic() - started:.1f} s"
            )
            for kind, found in vars(verdict).items():
                for text in found[:5]:
                    _say(f"  {kind}: {text}")
    return totals


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.pool")
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--theme", choices=THEMES, help="one kind of trouble; else each in turn")
    parser.add_argument("--no-postgres", action="store_true", help="SQLite alone")
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="--ray for so long")
    parser.add_argument(
        "--ray", choices=["processes", "nodes", "calls"], help="instead: one run on a Ray cluster"
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="of a run on Ray")
    parser.add_argument("--every", type=float, default=20.0, help="seconds between two deeds there")
    options = parser.parse_args(arguments)
    if options.soak is not None:
        options.ray, options.seconds = options.ray or "processes", 60.0 * options.soak
    return options


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
