"""A bundle with the items of now is the bundle that these items would have made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.archive import Archive, create_store
from recsys.bundle import Bundle
from recsys.catalog import Catalog, catalog_from_items
from recsys.errors import DataError
from recsys.item_writing import Item, gone, item_at, rows_of, write_items
from recsys.live_catalog import amended, amendment
from recsys.live_retriever import AmendedRetriever
from recsys.retrieval import MISSING
from recsys.settings import load
from recsys.store import Store
from recsys.testing.fakes import BruteRetriever, HashEncoder, tiny_bundle, tiny_items
from recsys.testing.models import N_TEXT, random_bundle

IDS = [f"i{n:02d}" for n in range(12)]
NEW = ["a-first", "i05x", "z-last"]
WORDS = ["rockets stars", "garlic pasta", "green tea leaves", "slow trains north"]

ITEM = st.builds(
    Item,
    title=st.sampled_from([None, "One", "Two"]),
    text=st.sampled_from([None, *WORDS]),
    categories=st.sampled_from([(), ("tea",), ("a", "b")]),
    available_from=st.sampled_from([None, 5.0]),
    available_until=st.sampled_from([None, 10.0]),
    attributes=st.sampled_from([{}, {"brand": "x"}]),
)
CHANGES = st.dictionaries(st.sampled_from(IDS + NEW), st.one_of(ITEM, st.just(gone(7.0))))


def items() -> pa.Table:
    return tiny_items({item_id: WORDS[n % 4] for n, item_id in enumerate(IDS)})


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    store = Store(str(tmp_path_factory.mktemp("plain")))
    return tiny_bundle(store, items(), 0.0)


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    store = Store(str(tmp_path_factory.mktemp("learned")))
    options = load(assignments=["encoder.n_dims=8", "model.n_queries=2"])
    return random_bundle(store, items(), 0.0, options)


def table(changes: dict[str, Item]) -> pa.Table:
    kept = items().filter(pa.array([one not in changes for one in IDS]))
    return pa.concat_tables([kept, rows_of("default", changes)]).sort_by("item_id")


def told(catalog: Catalog, item_id: str) -> tuple[object, ...]:
    row = catalog.index[item_id]
    attributes = catalog.attributes[row] if len(catalog.attributes) > 0 else {}
    times = catalog.available_from[row], catalog.available_until[row]
    return catalog.item_text(row), catalog.categories[row], times, attributes


def vectors(texts: list[str], n_dims: int = 32) -> dict[str, np.ndarray]:
    return dict(zip(texts, HashEncoder(n_dims).encode(texts), strict=True))


@settings(max_examples=60, deadline=None)
@given(changes=CHANGES)
def test_an_amended_bundle_says_of_each_item_what_is_known_now(
    bundle: Bundle, changes: dict[str, Item]
) -> None:
    change = amendment(bundle.catalog, table(changes))
    whole = amended(bundle, change, vectors(change.texts(bundle.catalog)))
    now = catalog_from_items(table(changes))
    assert whole.catalog.item_ids[: len(IDS)] == IDS  # the rows that profiles are kept in
    assert sorted(whole.catalog.item_ids) == now.item_ids
    for item_id in now.item_ids:
        assert told(whole.catalog, item_id) == told(now, item_id)
    read = bundle.projection.project(HashEncoder().encode(whole.catalog.item_texts()))
    expected = np.where(whole.catalog.has_text[:, None], read, 0.0)
    np.testing.assert_allclose(whole.vectors, expected, atol=1e-6)
    near, score = whole.index.search(whole.vectors[:1] + 0.1, len(whole.catalog))
    exact = BruteRetriever(whole.vectors).search(whole.vectors[:1] + 0.1, len(whole.catalog))
    np.testing.assert_allclose(score, exact[1], atol=1e-5)
    assert set(near[near != MISSING].tolist()) == set(exact[0][exact[0] != MISSING].tolist())


@settings(max_examples=30, deadline=None)
@given(changes=CHANGES)
def test_what_a_bundle_learned_of_an_item_moves_with_its_text(
    learned: Bundle, changes: dict[str, Item]
) -> None:
    change = amendment(learned.catalog, table(changes))
    whole = amended(learned, change, vectors(change.texts(learned.catalog), N_TEXT))
    for row, item_id in enumerate(whole.catalog.item_ids):
        text = whole.catalog.item_text(row)
        known = learned.catalog.item_texts()[row] if row < len(IDS) else ""
        if row >= len(IDS):
            assert not whole.items.warm[row]
        if text == "":
            assert not whole.vectors[row].any(), item_id
        elif text == known:
            np.testing.assert_array_equal(whole.vectors[row], learned.vectors[row])
        else:
            both = HashEncoder(N_TEXT).encode([text, known])
            read = learned.projection.project(both)
            residual = learned.vectors[row] - read[1] if row < len(IDS) else 0.0
            np.testing.assert_allclose(whole.vectors[row], read[0] + residual, atol=1e-5)


def test_a_text_that_is_not_encoded_yet_changes_nothing_but_itself(bundle: Bundle) -> None:
    changes = {"i01": Item(title="Other", available_until=3.0), "new": Item(title="New")}
    change = amendment(bundle.catalog, table(changes))
    assert change.texts(bundle.catalog) == sorted(["New", "Other", bundle.catalog.item_text(1)])
    whole = amended(bundle, change, {})
    np.testing.assert_array_equal(whole.vectors[1], bundle.vectors[1])
    assert not whole.vectors[-1].any() and whole.catalog.available_until[1] == 3.0


def test_items_that_the_table_lacks_stay_as_they_are(bundle: Bundle) -> None:
    change = amendment(bundle.catalog, items().slice(0, 3))
    assert not change.is_other and change.catalog.item_ids == IDS


def test_an_index_never_shows_what_was_told_anew_as_it_was() -> None:
    generator = np.random.default_rng(1)
    old = generator.standard_normal((50, 4)).astype(np.float32)
    rows = np.array([3, 7, 50, 51])
    new = generator.standard_normal((4, 4)).astype(np.float32)
    new[1] = 0.0
    whole = np.concatenate([old, np.zeros((2, 4), np.float32)])
    whole[rows] = new
    queries = generator.standard_normal((6, 4)).astype(np.float32)
    found = AmendedRetriever(BruteRetriever(old), rows, new).search(queries, 10)
    exact = BruteRetriever(whole).search(queries, 10)
    np.testing.assert_array_equal(found[0], exact[0])
    np.testing.assert_allclose(found[1], exact[1], rtol=1e-6)
    assert not np.isin(found[0], 7).any()


def always(item: Item) -> object:
    return lambda _: item


@settings(max_examples=40, deadline=None)
@given(first=CHANGES, second=CHANGES)
def test_what_is_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, first: dict[str, Item], second: dict[str, Item]
) -> None:
    store = Store(str(tmp_path_factory.mktemp("written")))
    create_store(store, 4)
    archive, seen = Archive(store), {}

    def spy(item_id: str, item: Item) -> object:
        def change(known: Item | None) -> Item:
            seen[item_id] = known
            return item

        return change

    for stamp, changes in enumerate((first, second)):
        write_items(
            archive,
            "default",
            {key: spy(key, item) for key, item in changes.items()},  # type: ignore[misc]
            str(stamp),
            1_000,
        )
    expected = {**first, **second}
    manifest = archive.manifest()
    found = items().slice(0, 0) if manifest is None else archive.items(manifest, "default")
    read = {key: item_at(found, row) for row, key in enumerate(found["item_id"].to_pylist())}
    assert read == expected
    for item_id in second:
        known = first.get(item_id)
        assert seen[item_id] == (None if known is None or known.is_gone else known)


def test_a_table_that_is_too_large_is_left_to_the_job(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    create_store(store, 4)
    changes = {str(n): always(Item(title="x")) for n in range(3)}
    with pytest.raises(DataError, match=r"pipelines\.ingest"):
        write_items(Archive(store), "default", changes, "s", 2)  # type: ignore[arg-type]
