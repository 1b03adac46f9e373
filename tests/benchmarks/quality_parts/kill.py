"""Killed workers: what the chaos suite found, if it has left a report."""

from __future__ import annotations

import json

from tests.benchmarks.quality_parts.bench import Bench, Found


def run(bench: Bench) -> Found:
    """Read ``kill_ndcg_gap`` from the report that was named."""
    if bench.chaos is None or not bench.chaos.exists():
        return {"figures": {}, "details": "no report of the chaos suite (--chaos FILE)"}
    found = json.loads(bench.chaos.read_text(encoding="utf-8"))
    return {"figures": {"kill_ndcg_gap": found.get("kill_ndcg_gap")}, "details": found}
