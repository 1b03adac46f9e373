"""A store with a small log of switching tastes, for the jobs that look back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.job import Job
from recsys.archive import Archive, FileRef, create_store
from recsys.events import timestamps_s
from recsys.schema import ITEMS, TIMESTAMP, microseconds, partition_of
from recsys.settings import DAY_S, load
from recsys.store import Store
from recsys.testing.worlds import World, WorldSize, drift
from tests.unit.encoder.models import WORDS, save_encoder

N_PARTITIONS = 2
SIZE = WorldSize(n_users=40, n_items=50, n_events=3_000, n_topics=5, span_s=60 * DAY_S)


def small_world() -> World:
    """Tastes that switch; titles are words that the tiny encoder knows."""
    world = drift(SIZE, np.random.default_rng(4))
    titles = [f"{WORDS[2 * (i % 5)]} {WORDS[2 * (i % 5) + 1]} {WORDS[i % 7]}" for i in range(50)]
    items = world.items
    items = items.set_column(items.schema.get_field_index("title"), "title", pa.array(titles))
    empty = pa.nulls(len(items), pa.string())
    items = items.set_column(items.schema.get_field_index("text"), "text", empty)
    return replace(world, items=items.cast(ITEMS))


def new_job(folder: Path, *assignments: str) -> Job:
    """An empty store with a tiny encoder."""
    store = Store(str(folder / "store"))
    create_store(store, N_PARTITIONS)
    model = folder.parent / "model"
    if not model.exists():
        save_encoder(model)
    options = [f"encoder.model={model}", "encoder.n_dims=8", "evaluation.n_bootstrap=50"]
    return Job(store, f"sqlite:///{folder}/ledger.db", load(assignments=[*options, *assignments]))


def put_items(job: Job, items: pa.Table) -> None:
    path, sha256, _ = job.store.write_table("archive/items", items)
    Archive(job.store).publish(lambda m: replace(m, items={"default": FileRef(path, sha256)}))


def put_events(job: Job, events: pa.Table) -> None:
    archive = Archive(job.store)
    users = events["user_id"].to_pylist()
    owner = np.array([partition_of("default", user, N_PARTITIONS) for user in users])
    files = {
        p: [archive.write_events(p, events.filter(pa.array(owner == p)))]
        for p in range(N_PARTITIONS)
        if (owner == p).any()
    }
    archive.publish(lambda manifest: manifest.with_events(files))


def at_share(events: pa.Table, share: float) -> float:
    """The moment before which a share of the events lies."""
    return float(np.quantile(timestamps_s(events["ts"]), share))


def shifted(events: pa.Table, seconds: float, prefix: str) -> pa.Table:
    """The same events later and under other ids."""
    moved = pc.add(pc.cast(events["ts"], pa.int64()), microseconds(seconds)).cast(TIMESTAMP)
    ids = pa.array([f"{prefix}{i}" for i in range(len(events))])
    names = events.schema
    events = events.set_column(names.get_field_index("ts"), names.field("ts"), moved)
    return events.set_column(names.get_field_index("event_id"), names.field("event_id"), ids)
