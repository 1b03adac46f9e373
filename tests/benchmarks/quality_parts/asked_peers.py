"""Other programs on the same queries: ``PEERS/<log>-time``, written where it is missing.

The folder is that of ``tests.benchmarks.peers``; whoever answers leaves ``recs_SYSTEM.parquet``.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from recsys.evaluation.scene import scene_of
from recsys.evaluation.split import Queries
from recsys.interest.model import ItemTable
from recsys.interest.zero_shot import ZeroShot
from recsys.ranking import default_weights
from tests.benchmarks.peers.environment import run_peers
from tests.benchmarks.peers.exchange import SPLIT, read_answer, read_asked, read_log
from tests.benchmarks.peers.writing import Record, asking, write_folder
from tests.benchmarks.quality_parts.bench import Bench, Say
from tests.benchmarks.quality_parts.material import TIME_SHARE, Log
from tests.benchmarks.quality_parts.systems import Answered, System


def folder_of(bench: Bench, log: Log) -> Path | None:
    """The folder of a log's time split, with the answers of those that were asked for.

    Returns:
        None where the run has no folder for peers.
    """
    if bench.peers is None:
        return None
    folder = bench.peers / f"{log.name}-time"
    if not (folder / "queries.parquet").exists():
        bench.say(f"writing {folder}")
        record = record_of(log)
        write_folder(folder, record, asking(record, f"time:{TIME_SHARE}"), log.text)
    missing = [s for s in bench.peer_systems if not (folder / f"recs_{s}.parquet").exists()]
    if missing:
        bench.say(f"asking {', '.join(missing)} in {folder}")
        run_peers(folder, missing)
    return folder


def record_of(log: Log) -> Record:
    """A log as the peers' side takes it."""
    nothing = ItemTable.all_warm(np.zeros((len(log.catalog), 1), np.float32))
    settings = log.settings
    even = ZeroShot(settings.interest, default_weights(settings.interest, settings.trend))
    lives = settings.trend.half_lives_s
    scene = scene_of(log.events, log.positive, log.catalog, nothing, even, lives)
    return Record(log.events, log.positive, log.catalog, scene, log.touches, settings)


def answers(
    folder: Path | None, log: Log, queries: Queries, say: Say
) -> tuple[Queries, dict[str, System]]:
    """What other programs answered to our queries.

    Args:
        folder: with ``queries.parquet`` and answers; None = nobody was asked.
        log: ours.
        queries: ours, by time.
        say: told how many of them were put to the peers.

    Returns:
        Those of the queries that were put to them (all, if nobody has answered), and the systems.
    """
    names = [] if folder is None else [p.stem for p in sorted(folder.glob("recs_*.parquet"))]
    if folder is None or not names:
        return queries, {}
    start = json.loads((folder / SPLIT).read_text(encoding="utf-8"))["start"]
    if start != log.split_time:
        say(f"{folder} is of another split ({start}, not {log.split_time}): not used")
        return queries, {}
    theirs = read_log(folder)
    asked = read_asked(folder, "", theirs)
    place = {
        (theirs.user_ids[user], round(ts, 3)): q
        for q, (user, ts) in enumerate(zip(asked.user, asked.ts.tolist(), strict=True))
    }
    mine = zip(queries.user, queries.as_of.tolist(), strict=True)
    found = np.array([place.get((log.events.user_ids[u], round(ts, 3)), -1) for u, ts in mine])
    say(f"{folder}: {int((found >= 0).sum())} of {len(queries)} queries were put to the peers")
    if not (found >= 0).any():
        return queries, {}
    index = log.catalog.index
    row = np.array([*(index.get(item_id, -1) for item_id in theirs.item_ids), -1], np.int64)
    systems: dict[str, System] = {}
    for name in (name.removeprefix("recs_") for name in names):
        rows = row[read_answer(folder, name, theirs, len(asked))][found[found >= 0]]
        systems[name] = Answered(rows, len(log.catalog))
    return queries.pick(np.flatnonzero(found >= 0)), systems
