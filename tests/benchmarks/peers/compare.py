"""All systems on one split of a public log: ``python -m tests.benchmarks.peers.compare``.

    --dataset D --split time:0.8 | loo | loo-strict [--systems ease,sasrec,...] [--folder F]
    [--set section.field=value] [--vectors N.npy] [-- options of the peers]

The table goes to stderr; the last line of stdout is JSON: figures and notes of every system.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from pipelines.datasets import fetch
from recsys.settings import load
from tests.benchmarks.peers import exchange
from tests.benchmarks.peers.environment import run_peers
from tests.benchmarks.peers.figures import Answers
from tests.benchmarks.peers.grids import SYSTEMS
from tests.benchmarks.peers.ours import OURS, answered
from tests.benchmarks.peers.writing import Record, as_asked, asking, write_folder


def main(arguments: list[str]) -> int:
    """Run the systems that are named, and show what each is worth."""
    options = _options(arguments)
    if options.folder is not None:
        return _run(options, options.folder)
    with tempfile.TemporaryDirectory(prefix="hl-peers-") as folder:
        return _run(options, Path(folder))


def _run(options: argparse.Namespace, folder: Path) -> int:
    files = fetch(options.dataset)
    settings = load(assignments=options.set)
    tables = (pq.read_table(files.events), pq.read_table(files.items))
    record = Record.of_tables(*tables, settings)
    asked = asking(record, options.split)
    vectors = None if options.vectors is None else np.load(options.vectors)
    log = write_folder(folder, record, asked, vectors)
    systems = options.systems.split(",")
    for system in (name for name in systems if name in OURS):
        answer, notes = answered(system, record, asked, log, as_asked(asked.queries))
        exchange.write_answer(folder, system, answer, log, notes)
    theirs = [name for name in systems if name in SYSTEMS]
    if theirs:
        run_peers(folder, theirs, options.peer_options)
    sys.stdout.write(json.dumps(table(folder, systems)) + "\n")
    return 0


def table(folder: Path, systems: list[str]) -> dict[str, Any]:
    """Figures and notes of the systems that have answered; the table goes to stderr."""
    found, read = Answers(folder), {}
    for system in systems:
        if not (folder / f"recs_{system}.json").exists():
            continue
        figures, notes = found.figures(system), exchange.read_notes(folder, system)
        low, high = figures["interval"]
        sys.stderr.write(
            f"{system:18} NDCG@10 {figures['ndcg10']:.4f} [{low:.4f}, {high:.4f}]  "
            f"HR@10 {figures['hr10']:.4f}  HR@100 {figures['hr100']:.4f}\n"
        )
        read[system] = {**figures, "notes": notes}
    return {"n_queries": len(found.asked), "n_targets": len(found.asked.target), "systems": read}


def _options(arguments: list[str]) -> argparse.Namespace:
    if "--" in arguments:
        place = arguments.index("--")
        arguments, rest = arguments[:place], arguments[place + 1 :]
    else:
        rest = []
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.peers.compare")
    parser.add_argument("--dataset", default="movielens-100k")
    parser.add_argument("--split", default="time:0.8")
    parser.add_argument("--systems", default=",".join((*OURS, *SYSTEMS)))
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--vectors", type=Path, default=None)
    parser.add_argument("--set", action="append", default=[])
    options = parser.parse_args(arguments)
    options.peer_options = rest
    return options


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
