"""A store and a ledger in which a user stands in every place where one can stand."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.job import Job, ledger_url
from pipelines.train_files import stage
from recsys.archive import Archive, FileRef, create_store
from recsys.basis import Basis
from recsys.bundle import Bundle
from recsys.encoder.cache import VectorCache, text_hash
from recsys.folding import fold_partition, read_to_position
from recsys.ingestion.quarantine import quarantined
from recsys.ingestion.shuffle import put_quarantine
from recsys.interest.spill import SpillFile
from recsys.ledger import Ledger, open_ledger
from recsys.rights.staged import remember_output
from recsys.schema import DEFAULT_TENANT, EVENTS, USERS, Event, partition_of
from recsys.settings import load
from recsys.snapshot import SnapshotKey, save
from recsys.store import Store
from recsys.testing.fakes import tiny_bundle, tiny_items, tiny_log
from recsys.training.sequences import USER_ROWS

NOW = 1_700_000_000.0
N_PARTITIONS = 2
WHO, OTHER = "Grünewald-7731", "other-1"
ONLY_WORDS, SHARED_WORDS = "my very own secret words", "words that two people wrote"
PARTITION = partition_of(DEFAULT_TENANT, WHO, N_PARTITIONS)
NEIGHBOUR = next(
    n for n in map("neighbour-{}".format, range(99))
    if partition_of(DEFAULT_TENANT, n, N_PARTITIONS) == PARTITION
)  # fmt: skip
RUN = f"training/{DEFAULT_TENANT}/nightly"


@dataclass
class World:
    """All of it."""

    job: Job
    bundle: Bundle
    ledger: Ledger
    folder: Path
    output: Path
    spill: Path

    @property
    def store(self) -> Store:
        return self.job.store

    @property
    def archive(self) -> Archive:
        return Archive(self.store)

    @property
    def key(self) -> SnapshotKey:
        return SnapshotKey(DEFAULT_TENANT, self.bundle.bundle_id, PARTITION)


def make_world(folder: Path, url: str | None = None) -> World:
    """The world; its ledger is SQLite in the store unless a URL is given."""
    store = Store(str(folder / "store"))
    create_store(store, N_PARTITIONS)
    set_ = [
        "encoder.n_dims=8",
        f"data.n_partitions={N_PARTITIONS}",
        f"serving.spill_folder={folder}",
    ]
    settings = load(assignments=set_)
    job = Job(store, ledger_url(store, url), settings)
    bundle = tiny_bundle(store, tiny_items({"i1": "rockets", "i2": "bread"}), NOW, settings)
    world = World(
        job, bundle, open_ledger(job.ledger_url), folder, folder / "R.parquet", _spill(folder)
    )
    _archived(world)
    _live(world)
    for _ in range(2):
        _snapshot(world)
        world.ledger.append([PARTITION], [_event("again", NEIGHBOUR, NOW - 1.0)])
    _beside(world)
    _training(world)
    return world


def _archived(world: World) -> None:
    rows = [(WHO, "i1", "click", NOW - 500.0), (NEIGHBOUR, "i2", "click", NOW - 400.0)]
    said = [(WHO, None, "search", NOW - 300.0)] * 2 + [(NEIGHBOUR, None, "search", NOW - 200.0)]
    words = {2: ONLY_WORDS, 3: SHARED_WORDS, 4: SHARED_WORDS}
    table = tiny_log([*rows, *said], texts=words)
    archive = world.archive
    old = archive.write_events(PARTITION, table.slice(0, 3))
    new = archive.write_events(PARTITION, table.slice(3))
    archive.publish(lambda m: m.with_events({PARTITION: [old, new]}))
    users = pa.Table.from_pylist(
        [
            {"tenant": DEFAULT_TENANT, "user_id": WHO, "attributes": {"city": "x"}, "follows": []},
            {"tenant": DEFAULT_TENANT, "user_id": NEIGHBOUR, "follows": [WHO, OTHER]},
        ],
        USERS,
    )
    for part in (users.slice(0, 1), users):  # one that a later ingest replaced
        path, sha256, _ = world.store.write_table("users", part)
    ref = FileRef(path, sha256)
    archive.publish(lambda m: type(m)(**{**vars(m), "users": {DEFAULT_TENANT: ref}}))


def _live(world: World) -> None:
    events = [
        _event("live", WHO, NOW - 100.0, ONLY_WORDS + " live"),
        _event("near", NEIGHBOUR, NOW - 90.0),
    ]
    world.ledger.append([PARTITION, PARTITION], events)
    ids = pa.table({"tenant": [DEFAULT_TENANT], "user_id": [WHO], "event_id": ["e0"]})
    ts = pa.array([round((NOW - 500.0) * 1e6)]).cast(EVENTS.field("ts").type)
    world.ledger.register_archived([PARTITION], ids.append_column("ts", ts))


def _event(event_id: str, user_id: str, ts: float, text: str | None = None) -> Event:
    kind, item = ("click", "i1") if text is None else ("search", None)
    return Event(DEFAULT_TENANT, event_id, user_id, item, kind, ts, 0, ts, text=text)


def _snapshot(world: World) -> None:
    record, position = read_to_position(world.archive, world.ledger, PARTITION, DEFAULT_TENANT)
    basis = Basis.of(world.bundle, world.job.settings)
    save(world.store, world.key, *fold_partition(record, basis), position, rebase=True)


def _beside(world: World) -> None:
    """Quarantine, vectors, outputs, leftovers."""
    store = world.store
    texts = [
        f'{{"who": "{WHO}", "text": "{ONLY_WORDS}"}}',
        f"{WHO},broken",
        f'{{"who": "{WHO}x"}}',
    ]
    bad = quarantined("events", "log.csv", ["bad_time"] * 3, [1, 2, 3], texts)
    found = put_quarantine(store, bad)
    world.archive.publish(lambda m: type(m)(**{**vars(m), "quarantine": found}))
    hashes = [text_hash(text) for text in (ONLY_WORDS, SHARED_WORDS, "an item")]
    VectorCache(store, "encoder").put(hashes, np.eye(3, 4, dtype=np.float32))
    rows = pa.table({"user_id": [WHO, OTHER], "item_id": ["i1", "i2"]})
    pq.write_table(rows, world.output)
    remember_output(store, str(world.output))
    store.write("results/mine.parquet", world.output.read_bytes())


def _training(world: World) -> None:
    names = [name for name in USER_ROWS.names if name not in {"user_id", "n_context", "fold"}]
    rows = [
        {"user_id": user, "n_context": 0, "fold": 0, **{name: [] for name in names}}
        for user in (WHO, OTHER)
    ]
    table = pa.Table.from_pylist(rows, USER_ROWS)
    list(stage(world.store, f"{RUN}/rows/whole", table))
    said = pa.table({"text": [SHARED_WORDS, ONLY_WORDS]})
    path, sha256, _ = world.store.write_table(f"{RUN}/catalog", said)
    plan = {"texts": path, "texts_sha256": sha256}
    world.store.swap_pointer(f"{RUN}/CURRENT", {"plan": plan, "finished": None}, None)


def _spill(folder: Path) -> Path:
    """The file of a process that was killed."""
    path = folder / "halflife" / f"{DEFAULT_TENANT}-{PARTITION}-dead.spill"
    living = SpillFile(path.with_suffix(".living"))
    living.put([(WHO.encode(), b"a profile"), (NEIGHBOUR.encode(), b"another")])
    shutil.copy(living.path, path)
    living.close()
    return path
