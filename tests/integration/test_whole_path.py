"""A world's log through every stage and back: each event counts once, and profiles are exact."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines import bootstrap, catalog_vectors, compact, embed, ingest
from pipelines.encode import EncoderSource, TextVectors
from pipelines.job import Job, ledger_url
from recsys.archive import Archive
from recsys.bundle import Bundle, load_bundle
from recsys.decay.state import AdditiveState, Evidence
from recsys.folding import Basis, fold_record
from recsys.interest.profiles import ProfileTable
from recsys.interest.zero_shot import weigh
from recsys.ledger import open_ledger
from recsys.record import read_all
from recsys.schema import EVENTS, Event, partition_of
from recsys.settings import DAY_S, load
from recsys.snapshot import Snapshot, SnapshotKey
from recsys.snapshot import load as load_snapshot
from recsys.store import Store
from recsys.testing.fakes import HashEncoder
from recsys.testing.worlds import World, WorldSize, drift, write
from tests.unit.encoder.models import save_encoder

N_EVENTS, N_LOGGED, N_PARTITIONS = 1_500, 1_000, 4
KINDS = ["view", "click", "purchase", "rating", "dislike", "skip", "impression"]


@pytest.fixture
def job(tmp_path: Path) -> Job:
    settings = load(
        assignments=[
            f"data.n_partitions={N_PARTITIONS}",
            "encoder.n_dims=8",
            f"encoder.model={save_encoder(tmp_path / 'model')}",
        ]
    )
    store = Store(str(tmp_path / "store"))
    return Job(store, ledger_url(store, None), settings)


@pytest.fixture
def world(rng: np.random.Generator) -> World:
    """Thirty days of all kinds of events."""
    size = WorldSize(n_users=30, n_items=50, n_events=N_EVENTS, span_s=30 * DAY_S)
    world = drift(size, rng)
    kinds = rng.choice(KINDS, N_EVENTS)
    values = pa.array(rng.integers(1, 6, N_EVENTS).astype(float), mask=kinds != "rating")
    columns = {name: world.events[name] for name in EVENTS.names}
    columns.update(kind=pa.array(kinds), value=values)
    events = pa.table(columns).cast(EVENTS)
    return World(events, world.items, world.users, world.item_vectors, world.truth)


@pytest.fixture(autouse=True)
def fake_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    def text_vectors(texts: Sequence[str], source: EncoderSource) -> TextVectors:
        return TextVectors(np.arange(len(texts)), HashEncoder(16).encode(texts), len(texts))

    for module in (embed, catalog_vectors):
        monkeypatch.setattr(module, "text_vectors", text_vectors)


def log_of(events: pa.Table, path: Path) -> str:
    pq.write_table(events, path)
    return str(path)


def post(job: Job, events: pa.Table) -> int:
    """What a shard does with live events; returns how many were new."""
    rows = []
    for row in events.to_pylist():
        row["ts"], row["ingested_at"] = row["ts"].timestamp(), row["ingested_at"].timestamp()
        rows.append(Event(**row))
    owners = [partition_of(e.tenant, e.user_id, N_PARTITIONS) for e in rows]
    with closing(open_ledger(job.ledger_url)) as ledger:
        return sum(seq > 0 for seq in ledger.append(owners, rows))


def recovered(job: Job, bundle: Bundle) -> list[ProfileTable]:
    """What a shard serves after a start: newest snapshots and the tails after them."""
    tables = []
    with closing(open_ledger(job.ledger_url)) as ledger:
        for partition in range(N_PARTITIONS):
            key = SnapshotKey(job.tenant, bundle.bundle_id, partition)
            found = load_snapshot(job.store, key, bundle.settings)
            assert isinstance(found, Snapshot)
            tail = ledger.tail(partition, found.position.ledger_seq, job.tenant)
            fold_record(found.table, found.trend, tail, Basis.of(bundle))
            tables.append(found.table)
    return tables


def oracle(events: pa.Table, bundle: Bundle) -> dict[str, tuple[AdditiveState, float, int]]:
    """user -> state of both banks by the slow reference, sum of |a v|, number of events."""
    interest = bundle.settings.interest
    half_lives = [*interest.half_lives_s, *interest.negative_half_lives_s]
    value = np.array([np.nan if v is None else v for v in events["value"].to_pylist()])
    kind = np.array(events["kind"].to_pylist(), object)
    weight, is_negative = weigh(kind, value, interest)
    histories: dict[str, list[Evidence]] = defaultdict(list)
    for n, row in enumerate(events.to_pylist()):
        importance = np.zeros(len(half_lives))
        bank = slice(8, None) if is_negative[n] else slice(0, 8)
        importance[bank] = weight[n]
        vector = bundle.vectors[bundle.catalog.index[row["item_id"]]].astype(np.float64)
        histories[row["user_id"]].append(Evidence(row["ts"].timestamp(), importance, vector))
    return {
        user: (
            AdditiveState.fold(history, half_lives, bundle.n_dims),
            sum(float(e.importance.max()) for e in history),
            len(history),
        )
        for user, history in histories.items()
    }


def assert_equals_oracle(tables: Sequence[ProfileTable], events: pa.Table, bundle: Bundle) -> None:
    expected = oracle(events, bundle)
    users = [(table, row, user) for table in tables for row, user in enumerate(table.user_ids)]
    assert sorted(user for _, _, user in users) == sorted(expected)
    for table, row, user in users:
        state, scale, n_events = expected[user]
        banks = table.banks(np.array([row]))
        assert table.n_events[row] == n_events
        assert banks.t_ref[0] == pytest.approx(state.t_ref)
        sums = np.concatenate([banks.sums[0], banks.negative_sums[0]])
        mass = np.concatenate([banks.mass[0], banks.negative_mass[0]])
        np.testing.assert_allclose(sums, state.sums, rtol=0, atol=1e-5 * scale)
        np.testing.assert_allclose(mass, state.mass, rtol=0, atol=1e-5 * scale)


def record_ids(job: Job) -> list[str]:
    archive = Archive(job.store)
    with closing(open_ledger(job.ledger_url)) as ledger:
        table = read_all(archive, ledger, job.tenant)
    return sorted(table["event_id"].to_pylist())


@pytest.mark.ray
def test_every_event_counts_once_whichever_way_it_came_and_profiles_are_exact(
    job: Job, world: World, tmp_path: Path, cluster: None
) -> None:
    logged, live = world.events[:N_LOGGED], world.events[N_LOGGED:]
    files = write(world, tmp_path / "world")
    first = log_of(logged, tmp_path / "first.parquet")
    items = [str(files["items"])]

    # logs in, profiles out
    assert ingest.run(job, events=[first], items=items)["n_events_new"] == N_LOGGED
    embed.run(job, fit=False)
    bundle = load_bundle(job.store, job.tenant)
    assert bootstrap.run(job)["n_events"] == N_LOGGED
    assert_equals_oracle(recovered(job, bundle), logged, bundle)

    # live events, a hundred of which were in the log; then a log that holds some of the live ones
    assert post(job, world.events[N_LOGGED - 100 :]) == len(live)
    assert post(job, live) == 0
    second = log_of(world.events[N_LOGGED - 100 : N_LOGGED + 200], tmp_path / "second.parquet")
    assert ingest.run(job, events=[second], items=items)["n_events_new"] == 0
    assert_equals_oracle(recovered(job, bundle), world.events, bundle)
    assert len(record_ids(job)) == len(set(record_ids(job))) == N_EVENTS

    # the tail becomes archive; rows stay in the ledger until the snapshots hold them
    report = compact.run(job)
    assert (report["n_archived"], report["n_trimmed"]) == (len(live), 0)
    assert_equals_oracle(recovered(job, bundle), world.events, bundle)
    again = bootstrap.run(job)
    assert (again["n_events"], again["bundle_id"]) == (N_EVENTS, bundle.bundle_id)
    assert compact.run(job)["n_trimmed"] == len(live)
    assert post(job, live[-200:]) == 0  # older ones a gateway refuses as too old
    assert_equals_oracle(recovered(job, bundle), world.events, bundle)
    assert len(record_ids(job)) == N_EVENTS
