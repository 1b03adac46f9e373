from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from recsys.archive import Archive, create_store
from recsys.catalog import Catalog, catalog_from_items
from recsys.errors import ConflictError
from recsys.events import event_arrays
from recsys.folding import (
    Basis,
    empty_state,
    fold_batch,
    fold_partition,
    fold_record,
    read_to_position,
)
from recsys.interest.model import FoldBatch, ItemTable
from recsys.interest.profiles import ProfileTable
from recsys.interest.zero_shot import ZeroShot, bank_importance
from recsys.ledger import SqliteLedger
from recsys.ranking import default_weights
from recsys.schema import Event
from recsys.settings import DAY_S, Settings
from recsys.snapshot import Position, SnapshotKey, load, save
from recsys.store import Store
from recsys.testing.plain import START, PlainLog, plain_tables
from recsys.trend import TrendState

SETTINGS = Settings()
N_ITEMS = 40
KINDS = ("impression", "view", "purchase", "dislike", "skip", "rating")
KEY = SnapshotKey("default", "b", 0)

Vectors = npt.NDArray[np.float32]
State = tuple[ProfileTable, TrendState]


@pytest.fixture
def record(rng: np.random.Generator) -> pa.Table:
    log = PlainLog(3_000, n_users=25, n_items=N_ITEMS + 2, span_s=60 * DAY_S, kinds=KINDS)
    return pa.concat_tables(plain_tables(log, rng))


@pytest.fixture
def catalog() -> Catalog:
    return catalog_from_items(pa.table({"item_id": [f"i{n}" for n in range(N_ITEMS)]}))


@pytest.fixture
def vectors(rng: np.random.Generator) -> Vectors:
    vectors = rng.normal(size=(N_ITEMS, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[3] = 0.0  # an item without text
    return vectors


@pytest.fixture
def basis(catalog: Catalog, vectors: Vectors) -> Basis:
    return basis_of(catalog, vectors)


def basis_of(catalog: Catalog, vectors: Vectors) -> Basis:
    weights = default_weights(SETTINGS.interest, SETTINGS.trend)
    model = ZeroShot(SETTINGS.interest, weights)
    return Basis(catalog, ItemTable.all_warm(vectors), model, SETTINGS)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    store = Store(str(tmp_path / "store"))
    create_store(store, 1)
    return Archive(store)


@pytest.fixture
def ledger(tmp_path: Path) -> SqliteLedger:
    return SqliteLedger(tmp_path / "ledger.db")


def event(number: int, user: str = "u1", ts: float = START) -> Event:
    return Event("default", f"live{number}", user, f"i{number}", "click", ts + number, 0, ts)


def assert_same_state(left: State, right: State) -> None:
    (table, trend), (other, other_trend) = left, right
    users = sorted(table.user_ids)
    assert users == sorted(other.user_ids)
    mine, theirs = table.rows(users), other.rows(users)
    scale = 0.5 * table.n_events[mine]  # at most the sum of |a v| of these kinds
    for a, b in zip(table.banks(mine), other.banks(theirs), strict=True):
        error = np.abs(a - b).reshape(len(users), -1).max(axis=1)
        assert (error <= 1e-5 * scale).all()
    np.testing.assert_array_equal(table.n_events[mine], other.n_events[theirs])
    for row, other_row in zip(mine, theirs, strict=True):
        assert set(table.seen(row)) == set(other.seen(other_row))
        for a, b in zip(table.recent(row), other.recent(other_row), strict=True):
            np.testing.assert_array_equal(a, b)
    now = START + 61 * DAY_S
    np.testing.assert_allclose(
        trend.at(now, N_ITEMS), other_trend.at(now, N_ITEMS), rtol=1e-5, atol=1e-6
    )


def test_the_fold_equals_the_sum_written_down(
    record: pa.Table, catalog: Catalog, vectors: Vectors, basis: Basis
) -> None:
    table, trend = fold_partition(record, basis)
    events = event_arrays(record, catalog.index)
    importance, _ = bank_importance(events.kind, events.value, SETTINGS.interest)
    interest = SETTINGS.interest
    half_lives = np.array([*interest.half_lives_s, *interest.negative_half_lives_s])
    for row, user_id in enumerate(table.user_ids):
        mine = np.flatnonzero((events.user == events.user_ids.index(user_id)) & (events.item >= 0))
        ages = events.ts[mine].max() - events.ts[mine]
        weights = importance[mine] * 2.0 ** (-ages[:, None] / half_lives)
        weights[events.item[mine] == 3] = 0.0
        sums = np.einsum("th,td->hd", weights, vectors[events.item[mine]].astype(np.float64))
        bound = 1e-5 * importance[mine].sum()
        banks = table.banks(np.array([row]))
        np.testing.assert_allclose(banks.sums[0], sums[:8], rtol=0, atol=bound)
        np.testing.assert_allclose(banks.negative_sums[0], sums[8:], rtol=0, atol=bound)
        np.testing.assert_allclose(banks.mass[0], weights.sum(0)[:8], rtol=0, atol=bound)
        assert table.n_events[row] == len(mine)
    assert len(trend) > 0


def test_online_batches_in_any_order_give_the_state_of_one_batch_fold(
    record: pa.Table, catalog: Catalog, basis: Basis, rng: np.random.Generator
) -> None:
    whole = fold_partition(record, basis)
    table, trend = empty_state(basis)
    events = event_arrays(record, catalog.index)
    for part in np.array_split(rng.permutation(len(events)), len(events) // 256 + 1):
        rows = table.rows([events.user_ids[user] for user in events.user[part]], create=True)
        batch = FoldBatch(events.item[part], events.ts[part], events.kind[part], events.value[part])
        fold_batch(table, trend, rows, batch, basis)
    assert_same_state((table, trend), whole)


def test_a_chunked_fold_is_the_same_fold(
    record: pa.Table, basis: Basis, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fold_partition(record, basis)
    monkeypatch.setattr("recsys.folding.CHUNK_EVENTS", 100)
    assert_same_state(fold_partition(record, basis), whole)


def test_a_saved_state_goes_on_where_it_stopped(
    record: pa.Table, basis: Basis, tmp_path: Path
) -> None:
    whole = fold_partition(record, basis)
    store = Store(str(tmp_path))
    table, trend = fold_partition(record[:1_700], basis)
    meta = save(store, KEY, table, trend, Position(17, "m"))
    assert meta["n_users"] == len(table)
    loaded = load(store, KEY, SETTINGS)
    assert loaded is not None
    assert loaded.position == Position(17, "m")
    assert_same_state((loaded.table, loaded.trend), (table, trend))
    fold_record(loaded.table, loaded.trend, record[1_700:], basis)
    assert_same_state((loaded.table, loaded.trend), whole)


def test_an_empty_partition_has_a_snapshot_too(
    record: pa.Table, basis: Basis, tmp_path: Path
) -> None:
    store = Store(str(tmp_path))
    save(store, KEY, *fold_partition(record[:0], basis), Position(0))
    loaded = load(store, KEY, SETTINGS)
    assert loaded is not None
    fold_record(loaded.table, loaded.trend, record, basis)
    whole = fold_partition(record, basis)
    assert_same_state((loaded.table, loaded.trend), whole)


def test_events_of_unknown_items_are_pending_and_change_nothing(
    record: pa.Table, vectors: Vectors
) -> None:
    nothing = catalog_from_items(pa.table({"item_id": pa.array([], pa.string())}))
    table, trend = empty_state(basis_of(nothing, vectors))
    n_pending = fold_record(table, trend, record, basis_of(nothing, vectors))
    assert 0 < n_pending < len(record)  # impressions are no evidence
    assert not table.mass.any()
    assert len(trend) == 0


def test_a_low_rating_is_no_trend(basis: Basis) -> None:
    table, trend = empty_state(basis)
    rows = table.rows(["u"], create=True)[[0, 0]]
    batch = FoldBatch(
        np.array([0, 1], np.int32),
        np.array([START, START]),
        np.array(["rating", "rating"], object),
        np.array([1.0, 5.0]),
    )
    fold_batch(table, trend, rows, batch, basis)
    assert trend.items.tolist() == [1]


def test_the_record_ends_exactly_where_its_position_says(
    archive: Archive, ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.append([0] * 3, [event(n) for n in range(3)])
    original = ledger.tail

    def tail_after_more_arrived(partition: int, after: int, tenant: str | None) -> pa.Table:
        ledger.append([0], [event(9)])
        return original(partition, after, tenant)

    monkeypatch.setattr(ledger, "tail", tail_after_more_arrived)
    record, position = read_to_position(archive, ledger, 0, "default")
    assert position == Position(3)
    assert record["event_id"].to_pylist() == ["live0", "live1", "live2"]
    assert original(0, position.ledger_seq)["event_id"].to_pylist() == ["live9"]


def test_a_compaction_between_two_reads_loses_and_doubles_nothing(
    archive: Archive, ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.append([0] * 3, [event(n) for n in range(3)])
    stale = archive.manifest()
    file = archive.write_events(0, ledger.tail(0))
    published = archive.publish(lambda m: m.with_events({0: [file]}, {0: 3}))
    ledger.trim(0, 3, START)
    manifests = iter([stale, published])
    monkeypatch.setattr(archive, "manifest", lambda: next(manifests))
    record, position = read_to_position(archive, ledger, 0, "default")
    assert len(record) == 3
    assert position == Position(3, published.manifest_id)


def test_an_archive_that_never_stands_still_is_an_error(
    archive: Archive, ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.append([0], [event(1)])
    ledger.trim(0, 1, START)
    monkeypatch.setattr(archive, "manifest", lambda: None)
    with pytest.raises(ConflictError):
        read_to_position(archive, ledger, 0, "default")


def test_without_a_ledger_the_record_is_the_archive(archive: Archive, record: pa.Table) -> None:
    file = archive.write_events(0, record)
    published = archive.publish(lambda m: m.with_events({0: [file]}))
    found, position = read_to_position(archive, None, 0, "default")
    assert len(found) == len(record)
    assert position == Position(0, published.manifest_id)
