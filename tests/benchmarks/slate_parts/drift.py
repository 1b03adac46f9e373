"""A switch of taste: events until the slate follows, beside SASRec's where peers are to be run.

``drift_first_at``     median events until one item of the new interest is in the top 10
``drift_majority_at``  the same until half of it is
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks.quality_parts import drift
from tests.benchmarks.quality_parts.bench import Bench
from tests.benchmarks.quality_parts.judged import OURS

PEER = "sasrec"


def run(minutes: float, peers: Path | None, say: Callable[[str], None]) -> dict[str, Any]:
    """Train on a world of topics, and splice futures onto other users' pasts.

    Args:
        minutes: of training, at most.
        peers: folder of other programs' answers; None = none is asked.
        say: told what happens.
    """
    asked = () if peers is None else (PEER,)
    bench = Bench((), 1, say, minutes=minutes, peers=peers, peer_systems=asked)
    table = drift.run(bench)["details"]["table"]
    ours, theirs = table[OURS], table.get(PEER)
    return {
        "drift_first_at": ours["first_events"],
        "drift_majority_at": ours["median_events"],
        "sasrec_drift_first_at": None if theirs is None else theirs["first_events"],
        "sasrec_drift_majority_at": None if theirs is None else theirs["median_events"],
        "table": table,
    }
