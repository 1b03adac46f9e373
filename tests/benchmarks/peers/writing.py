"""Our side writes the folder: the queries of ``pipelines.evaluate``, and those of a tail before.

A model may learn from what was before the split; of leave-one-out that is every event but the
users' last positive one and what came after it. It is chosen in the same way one step earlier.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.past import Past
from recsys.catalog import Catalog, catalog_from_items
from recsys.evaluation.nearness import with_only
from recsys.evaluation.scene import Scene, scene_of
from recsys.evaluation.split import (
    Queries,
    draw_queries,
    draw_users,
    last_event_queries,
    time_at_share,
    time_queries,
)
from recsys.evaluation.touched import Touches
from recsys.events import EventArrays, event_arrays
from recsys.interest.model import ItemTable
from recsys.interest.zero_shot import ZeroShot, is_positive
from recsys.ranking import default_weights
from recsys.settings import Settings
from tests.benchmarks.peers import exchange
from tests.benchmarks.peers.exchange import Asked, Bools, Log

TAIL_SHARE = 0.15
MAX_TAIL_QUERIES = 2_000
LOO, LOO_STRICT = "loo", "loo-strict"


@dataclass(frozen=True)
class Record:
    """A log with all that decides which queries are asked of it."""

    events: EventArrays
    positive: Bools
    catalog: Catalog
    scene: Scene
    """Only when items are candidates, and the positive events, are read."""
    touches: Touches
    settings: Settings

    @classmethod
    def of_past(cls, past: Past) -> Record:
        """The record as ``pipelines.evaluate`` reads it."""
        return cls(
            past.events, past.positive, past.catalog, past.scene, past.touches, past.settings
        )

    @classmethod
    def of_tables(cls, events: pa.Table, items: pa.Table, settings: Settings) -> Record:
        """The same without a bundle: canonical tables of one tenant."""
        named = pc.drop_null(pc.unique(events["item_id"])).to_pylist()
        catalog = catalog_from_items(items, named)
        found = event_arrays(events, catalog.index)
        positive = is_positive(found.kind, found.value, settings.interest)
        nothing = ItemTable.all_warm(np.zeros((len(catalog), 1), np.float32))
        weights = default_weights(settings.interest, settings.trend)
        model, lives = ZeroShot(settings.interest, weights), settings.trend.half_lives_s
        scene = scene_of(found, positive, catalog, nothing, model, lives)
        touches = Touches(found, settings.data.passive_kinds)
        return cls(found, positive, catalog, scene, touches, settings)


@dataclass(frozen=True)
class Asking:
    """The queries of a split and of the tail before it."""

    name: str
    start: float | None
    queries: Queries
    """Sorted by time, new items alone: as ``recsys.evaluation.protocol.ask`` returns them."""
    train: Bools
    """(T,) what may be learned from."""
    tail: Queries
    tail_start: float | None
    pilot: Bools
    """(T,) what may be learned from while something is chosen on the tail."""


def asking(record: Record, split: str) -> Asking:
    """The queries of a split: ``time:SHARE``, ``loo`` or ``loo-strict``."""
    events, positive, settings = record.events, record.positive, record.settings.evaluation
    rng = np.random.default_rng(settings.seed)
    start = None
    if split in (LOO, LOO_STRICT):
        whole = last_event_queries(events, positive, split == LOO_STRICT)
        train = _before(events, whole)
        past = with_only(events, train)
        tail = last_event_queries(past, positive[train], split == LOO_STRICT)
        shift = events.bounds[tail.user] - past.bounds[tail.user]  # histories begin alike
        tail = replace(tail, history_end=tail.history_end + shift)
        pilot, tail_start = train & _before(events, tail), None
    else:
        start = time_at_share(events.ts, float(split.removeprefix("time:")))
        whole, train = time_queries(events, positive, start), events.ts < start
        tail_start = time_at_share(events.ts[train], 1.0 - TAIL_SHARE)
        tail, pilot = time_queries(events, positive, tail_start, start), events.ts < tail_start
    drawn = _new(record, draw_users(whole, settings.max_queries, rng))
    drawn = drawn.pick(np.argsort(drawn.as_of, kind="stable"))
    tail = draw_queries(_new(record, tail), MAX_TAIL_QUERIES, rng)
    return Asking(split, start, drawn, train, tail, tail_start, pilot)


def write_folder(
    folder: Path,
    record: Record,
    asked: Asking,
    vectors: npt.NDArray[np.floating[Any]] | None = None,
) -> Log:
    """Write everything that peers need.

    Args:
        folder: made where it is missing.
        record: the log.
        asked: its queries.
        vectors: (N, E) text vectors of the catalog.

    Returns:
        The log as peers see it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    events, scene = record.events, record.scene
    log = Log(
        user_ids=events.user_ids,
        item_ids=record.catalog.item_ids,
        bounds=events.bounds,
        user=events.user.astype(np.int64),
        item=events.item.astype(np.int64),
        ts=events.ts,
        value=events.value,
        positive=record.positive,
        touches=~np.isin(events.kind.astype(str), record.settings.data.passive_kinds),
        train=asked.train,
        pilot=asked.pilot,
        candidate_from=np.maximum(scene.available_from, np.nextafter(scene.known_after, np.inf)),
        candidate_until=scene.available_until,
    )
    exchange.write_log(folder, log, events.kind)
    exchange.write_asked(folder, exchange.TEST, as_asked(asked.queries), log)
    exchange.write_asked(folder, exchange.VALIDATION, as_asked(asked.tail), log)
    if vectors is not None:
        np.save(folder / exchange.VECTORS, np.asarray(vectors, np.float32))
    split = {"name": asked.name, "start": asked.start, "validation_start": asked.tail_start}
    text = json.dumps(split, indent=1, sort_keys=True)
    (folder / exchange.SPLIT).write_text(text + "\n", encoding="utf-8")
    return log


def as_asked(queries: Queries) -> Asked:
    """Queries in the words of the folder."""
    return Asked(
        queries.user, queries.as_of, queries.history_end, queries.target_bounds, queries.target
    )


def _before(events: EventArrays, queries: Queries) -> Bools:
    """(T,) events before the query of their user; all of users without one."""
    stop = events.bounds[1:].copy()
    stop[queries.user] = queries.history_end
    kept: Bools = np.arange(len(events)) < stop[events.user]
    return kept


def _new(record: Record, queries: Queries) -> Queries:
    """Only right answers that are new to their user, and queries that keep one."""
    return queries.asking(~record.touches.is_repeat(queries))
