"""Staleness: the weeks after the split without retraining, and who and what is well served.

Uses the models and the ranks of the time split. *Rolling* profiles go on, *frozen* ones stop at the
split; the others are popularity, which rolls by nature, and likeness of text to the decayed mean.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.evaluation.split import Queries
from recsys.evaluation.summary import target_counts
from recsys.settings import DAY_S
from tests.benchmarks.quality_parts.bench import Bench, Found
from tests.benchmarks.quality_parts.judged import strata
from tests.benchmarks.quality_parts.material import Log
from tests.benchmarks.quality_parts.time_split import Measured, measured

WEEK_S = 7 * DAY_S
LONG_SPAN_S = 30 * DAY_S
N_FEW = 10

Bools = npt.NDArray[np.bool_]


def run(bench: Bench) -> Found:
    """Tables of NDCG@10 for every data set asked for."""
    return {
        "figures": {},
        "details": {name: _tables(measured(bench, name)) for name in bench.datasets},
    }


def _tables(found: Measured) -> dict[str, Any]:
    queries, start, values = found.ranked.queries, found.log.split_time, found.values()
    return {
        "weeks since training": strata(values, weeks(queries, start)),
        "items": strata(values, items(found.log, queries, start)),
        "users": strata(values, users(found.log, queries, start)),
    }


def weeks(queries: Queries, start: float) -> dict[str, Bools]:
    """Label -> (Q,) queries of the first week after ``start``, the second, and so on."""
    week = ((queries.as_of - start) // WEEK_S).astype(np.int64)
    return {f"week {w + 1}": week == w for w in range(int(week.max(initial=-1)) + 1)}


def items(log: Log, queries: Queries, start: float) -> dict[str, Bools]:
    """Label -> (Q,) queries by what the split knew of their right answers."""
    order = np.argsort(log.events.ts, kind="stable")
    kept = order[log.positive[order] & (log.events.item[order] >= 0)]
    at_split = Queries(
        queries.user,
        np.full(len(queries), start),
        queries.history_end,
        queries.target_bounds,
        queries.target,
    )
    counts = target_counts(at_split, log.events.item[kept], log.events.ts[kept])
    most = np.zeros(len(queries), np.int64)
    np.maximum.at(most, queries.target_query, counts)
    return {
        "all right answers cold at training": most == 0,
        f"chosen 1-{N_FEW - 1} times before": (most > 0) & (most < N_FEW),
        f"chosen {N_FEW} times or more": most >= N_FEW,
    }


def users(log: Log, queries: Queries, start: float) -> dict[str, Bools]:
    """Label -> (Q,) queries by what was known of their users."""
    first = log.events.bounds[queries.user]
    n_history = queries.history_end - first
    known = n_history > 0
    since = np.where(
        known, queries.as_of - log.events.ts[np.minimum(first, len(log.events) - 1)], 0
    )
    was_there = known & (log.events.ts[np.minimum(first, len(log.events) - 1)] < start)
    return {
        "no event yet": ~known,
        f"1-{N_FEW - 1} events": known & (n_history < N_FEW),
        f"{N_FEW}-99 events": (n_history >= N_FEW) & (n_history < 100),
        "100 events or more": n_history >= 100,
        "came after training": known & ~was_there,
        "there before training": was_there,
        f"here for over {LONG_SPAN_S / DAY_S:.0f} days": since > LONG_SPAN_S,
    }
