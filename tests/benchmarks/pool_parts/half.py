"""What float16 costs: a model trained on MovieLens-100K, asked after profiles of either form.

Trained on the first four fifths of the log (``--minutes``), asked what is new to a user afterwards;
every event of the whole log goes one by one, in order of time, through the profile tables that a
shard holds, and a query is read from them just before its own event.

``float16_ndcg_ratio``   NDCG@10 of float16 profiles / of float32 profiles
``min_query_cosine``     the least likeness of one query's vectors in the two forms
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np

from recsys.evaluation.split import Queries
from recsys.interest.model import FoldBatch, ItemTable, Query
from recsys.interest.profiles import ProfileTable
from recsys.interest.storage import ProfileDtype, Storage
from tests.benchmarks.quality_parts.bench import Bench
from tests.benchmarks.quality_parts.judged import values_of
from tests.benchmarks.quality_parts.material import Log
from tests.benchmarks.quality_parts.others import narrowed
from tests.benchmarks.quality_parts.systems import Ours, by_time, rank
from tests.benchmarks.quality_parts.trained import Served, seeded, train

DTYPES: tuple[ProfileDtype, ...] = ("float32", "float16")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure; return the figures."""

    def say(text: str) -> None:
        sys.stderr.write(f"{text}\n")

    bench = Bench(("movielens-100k",), 1, say)
    log = bench.log("movielens-100k")
    known = narrowed(log, log.split_time)
    served = train(known, seeded(log.settings, 0), say, options.minutes, pilot=False)
    queries = by_time(log.new_queries(log.split_time, bench.max_queries))
    scene = served.scene(log)
    asked = {dtype: _Held(log, served, queries, dtype) for dtype in DTYPES}
    ndcg = {n: float(v.mean()) for n, v in values_of(rank(log, scene, queries, asked)).items()}
    whole, half = (asked[dtype].query.vectors.astype(np.float64) for dtype in DTYPES)
    sizes = np.linalg.norm(whole, axis=2) * np.linalg.norm(half, axis=2)
    cosine = (whole * half).sum(axis=2)[sizes > 0] / sizes[sizes > 0]
    return {
        "float16_ndcg_ratio": round(ndcg["float16"] / ndcg["float32"], 5),
        "min_query_cosine": round(float(cosine.min()), 6),
        "mean_query_cosine": round(float(cosine.mean()), 7),
        "ndcg10": {name: round(value, 5) for name, value in ndcg.items()},
        "n_queries": len(queries),
        "train_s": round(served.seconds, 1),
    }


class _Held(Ours):
    """Our model, asked after profiles that a table holds."""

    def __init__(self, log: Log, served: Served, queries: Queries, dtype: ProfileDtype) -> None:
        scene = served.scene(log)
        super().__init__(log, scene, queries, served.interest)
        kinds = log.settings.data.kinds
        storage = Storage(dtype, seed=log.settings.evaluation.seed)
        table = ProfileTable(scene.items.n_dims, served.interest, kinds, storage=storage)
        self.query = self._query = _walk(log, table, scene.model, scene.items, queries)


def _walk(log: Log, table: ProfileTable, model: Any, items: ItemTable, queries: Queries) -> Query:
    """The queries (by time) of users whose events are folded one by one."""
    events = log.events
    ready = table.codes.prepare(FoldBatch.of(events, slice(None)), model, items)
    rows = table.rows(events.user_ids, create=True)
    done = events.bounds[:-1].copy()
    found = []
    for user, end, as_of in zip(queries.user, queries.history_end, queries.as_of, strict=True):
        for place in range(int(done[user]), int(end)):
            table.apply(rows[user : user + 1], ready.pick(slice(place, place + 1)))
        done[user] = max(done[user], end)
        found.append(model.query(table.banks(rows[user : user + 1]), float(as_of)))
    return Query(*(np.concatenate(parts) for parts in zip(*found, strict=True)))
