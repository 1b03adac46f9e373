"""The users' own words in the fold: evidence at once, or as soon as their vectors are there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recsys.catalog import catalog_from_items
from recsys.encoder.projection import fit_projection
from recsys.folding import Basis, empty_state, fold_live, fold_partition, fold_record, fold_words
from recsys.interest.model import InterestModel, ItemTable
from recsys.interest.profiles import ProfileTable
from recsys.interest.waiting import WaitingEvents
from recsys.interest.zero_shot import ZeroShot
from recsys.ranking import default_weights
from recsys.schema import Event
from recsys.settings import Settings, load
from recsys.snapshot import Position, SnapshotKey, save
from recsys.snapshot import load as load_snapshot
from recsys.store import Store
from recsys.testing.fakes import HashEncoder, tiny_items, tiny_log
from recsys.testing.models import random_interest
from recsys.words import TextCensus, Words, text_counts, texts_of

ITEMS = {
    **{f"space-{n}": f"rockets stars orbit moon{n}" for n in range(6)},
    **{f"food-{n}": f"garlic pasta bread dish{n}" for n in range(6)},
}
ROWS = [
    ("u", "food-1", "click", 10.0),
    ("u", None, "search", 20.0),
    ("u", "food-2", "comment", 30.0),
    ("v", None, "search", 40.0),
    ("v", "unheard-of", "comment", 50.0),
    ("v", "space-1", "impression", 60.0),
    ("w", None, "search", 70.0),
]
TEXTS = {1: "rockets orbit", 2: "garlic", 3: "rockets orbit", 4: "garlic", 5: "stars"}
SAID = ["garlic", "rockets orbit"]
LOG = tiny_log(ROWS, texts=TEXTS)


@pytest.fixture
def settings() -> Settings:
    return load(assignments=["encoder.n_dims=8"])


@pytest.fixture(params=["zero-shot", "learned"])
def basis(request: pytest.FixtureRequest, settings: Settings, rng: np.random.Generator) -> Basis:
    catalog = catalog_from_items(tiny_items(ITEMS))
    read = HashEncoder().encode(catalog.item_texts())
    projection = fit_projection(read, 8)
    model: InterestModel = random_interest(settings, rng)
    if request.param == "zero-shot":
        weights = default_weights(settings.interest, settings.trend)
        model = ZeroShot(settings.interest, weights, projection)
    return Basis(catalog, ItemTable.all_warm(projection.project(read)), model, settings)


def with_words(basis: Basis) -> Basis:
    words = Words.of(basis.model, SAID, HashEncoder().encode(SAID))
    return Basis(basis.catalog, basis.items, basis.model, basis.settings, words)


def assert_same(table: ProfileTable, other: ProfileTable) -> None:
    users = sorted(table.user_ids)
    assert users == sorted(other.user_ids)
    mine, theirs = table.rows(users), other.rows(users)
    for a, b in zip(table.banks(mine), other.banks(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(table.n_events[mine], other.n_events[theirs])
    for row, other_row in zip(mine, theirs, strict=True):
        assert set(table.seen(row)) == set(other.seen(other_row))
        for a, b in zip(table.recent(row), other.recent(other_row), strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_search_is_evidence_of_what_it_says(basis: Basis) -> None:
    table, _ = fold_partition(tiny_log(ROWS[3:4], texts={0: "rockets orbit"}), with_words(basis))
    assert table.mass.all() and table.t_ref.tolist() == [40.0]
    assert table.n_events.tolist() == [0] and len(table.seen(0)) == 0
    if isinstance(basis.model, ZeroShot):
        query = basis.model.query(table.banks(np.array([0])), 40.0).vectors[0, 0]
        scores = basis.items.vectors @ query
        best = np.argsort(-scores)[:6]
        assert all(basis.catalog.item_ids[i].startswith("space") for i in best)


def test_a_search_without_words_is_nothing_and_lacks_nothing(basis: Basis) -> None:
    table, trend = empty_state(basis)
    assert fold_record(table, trend, tiny_log(ROWS[-1:]), basis) == 0
    assert not table.mass.any() and not np.isfinite(table.t_ref).any()


def test_words_that_are_not_known_yet_wait_and_everything_else_counts(basis: Basis) -> None:
    table, trend = empty_state(basis)
    assert fold_record(table, trend, LOG, basis) == 4  # one of them for its item
    assert len(table.waiting) == 3 and sorted(table.waiting.texts(9)) == SAID
    u = int(table.rows(["u"])[0])
    assert len(table.seen(u)) == 2 and table.n_events[u] == 2
    assert table.t_ref[u] == 10.0, "only the click is evidence"


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_words_that_come_late_give_the_same_profiles(basis: Basis, order: list[int]) -> None:
    whole, trend = fold_partition(LOG, with_words(basis))
    late, late_trend = fold_partition(LOG, basis)
    for place in order:
        some = [SAID[place]]
        assert fold_words(late, some, HashEncoder().encode(some), basis) == [1, 2][place]
    assert len(late.waiting) == 0
    assert fold_words(late, SAID, HashEncoder().encode(SAID), basis) == 0, "each counts once"
    assert_same(late, whole)
    np.testing.assert_array_equal(late_trend.at(99.0, 12), trend.at(99.0, 12))


def test_live_events_fold_as_those_of_a_record(basis: Basis) -> None:
    events = [
        Event("default", f"e{n}", user, item, kind, ts, n, ts, text=TEXTS.get(n))
        for n, (user, item, kind, ts) in enumerate(ROWS)
    ]
    table, trend = empty_state(basis)
    for event in events:
        fold_live(table, trend, [event], basis)
    recorded, _ = fold_partition(LOG, basis)
    assert_same(table, recorded)
    assert sorted(table.waiting) == sorted(recorded.waiting) or len(table.waiting) == 3
    assert [basis.is_pending(event) for event in events] == [
        False, True, True, True, True, False, False,
    ]  # fmt: skip
    known = with_words(basis)
    assert [known.is_pending(event) for event in events].count(True) == 1


def test_a_model_that_does_not_read_lets_nothing_wait(settings: Settings, basis: Basis) -> None:
    weights = default_weights(settings.interest, settings.trend)
    deaf = Basis(basis.catalog, basis.items, ZeroShot(settings.interest, weights), settings)
    table, trend = empty_state(deaf)
    assert fold_record(table, trend, LOG, deaf) == 1  # its item is missing
    mute, _ = fold_partition(tiny_log(ROWS), deaf)
    assert len(table.waiting) == 0
    assert_same(table, mute)


def test_what_waits_survives_a_snapshot(basis: Basis, settings: Settings, tmp_path: Path) -> None:
    store, key = Store(str(tmp_path / "store")), SnapshotKey("default", "b", 0)
    table, trend = fold_partition(LOG, basis)
    save(store, key, table, trend, Position(7))
    found = load_snapshot(store, key, settings)
    assert found is not None and len(found.table.waiting) == 3
    fold_words(found.table, SAID, HashEncoder().encode(SAID), basis)
    assert_same(found.table, fold_partition(LOG, with_words(basis))[0])
    save(store, key, found.table, trend, Position(8))
    again = load_snapshot(store, key, settings)
    assert again is not None and len(again.table.waiting) == 0


def test_columns_of_nothing_are_nothing() -> None:
    assert len(WaitingEvents.from_columns(WaitingEvents().columns())) == 0


def test_only_what_can_be_evidence_is_read(settings: Settings) -> None:
    assert text_counts(LOG, settings.interest) == {"rockets orbit": 2, "garlic": 2}
    assert texts_of(LOG, settings.interest) == SAID
    assert texts_of(tiny_log(ROWS), settings.interest) == []


def test_a_census_keeps_the_most_frequent_texts_whatever_their_order() -> None:
    counts = {f"t{n:03d}": 1 + n // 10 for n in range(100)}
    for names in (sorted(counts), sorted(counts, reverse=True)):
        census = TextCensus(5)
        for name in names:
            census.add({name: counts[name]})
        assert census.texts() == ("t090", "t091", "t092", "t093", "t094")
        assert len(census.counts) <= 20
    assert TextCensus(0).texts() == ()
