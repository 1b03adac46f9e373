"""Nodes: what is clustered, how many there are, and what they are called."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from recsys.catalog import Catalog, catalog_from_items
from recsys.encoder.projection import unit_rows
from recsys.graph.clusters import clusterings, grid, nearest, silhouette, spherical_kmeans
from recsys.graph.labels import Reader, hit_shares
from recsys.graph.nodes import nodes
from recsys.graph.words import item_words
from tests.unit.graph.planted import graph, planted, topic_words


def said(titles: list[str], categories: list[list[str]] | None = None) -> Catalog:
    ids = [f"i{n:03}" for n in range(len(titles))]
    categories = categories or [[] for _ in titles]
    return catalog_from_items(pa.table({"item_id": ids, "title": titles, "categories": categories}))


def test_planted_topics_are_found_and_named_after_their_words() -> None:
    _, _, _, topic = planted()
    found = graph()
    for a, name in enumerate(found.labels):
        mine = topic[found.node == a]
        assert len(set(mine.tolist())) == 1, "a node mixes topics"
        assert {word.lower() for word in name.words} <= topic_words(int(mine[0]))
    assert {int(topic[found.node == a][0]) for a in range(len(found))} == set(range(5))


def test_labels_are_distinct_and_their_words_stand_in_most_items() -> None:
    catalog, _, _, _ = planted()
    found = graph()
    assert len({one.label for one in found.labels}) == len(found)
    shares = hit_shares(catalog, found.node, found.labels)
    assert np.median(shares) >= 0.6
    np.testing.assert_allclose(shares, [np.mean(one.shares) for one in found.labels])


def test_the_same_seed_gives_the_same_nodes_and_another_order_of_words_does_not_matter() -> None:
    catalog, items, _, _ = planted()
    once, again = (nodes(catalog, items.directions, 256, 17) for _ in range(2))
    np.testing.assert_array_equal(once.clustering.centres, again.clustering.centres)
    assert once.labels == again.labels


def test_an_item_without_vector_is_in_no_node() -> None:
    _, items, _, _ = planted()
    assert not items.vectors[7].any() and graph().node[7] == -1
    assert np.all(np.delete(graph().node, 7) >= 0)
    assert graph().sizes.sum() == len(items) - 1


@pytest.mark.parametrize("n", [0, 1, 2, 3, 5])
def test_tiny_catalogs_have_few_nodes_or_none(n: int, rng: np.random.Generator) -> None:
    vectors = unit_rows(rng.normal(size=(n, 4))).astype(np.float32)
    found = nodes(said([f"word{i}" for i in range(n)]), vectors, 256, 17)
    assert len(found.clustering.centres) == len(found.labels) <= max(1, n // 3)
    assert (len(found.labels) > 0) == (n > 0)


def test_equal_vectors_are_one_node() -> None:
    vectors = np.tile(np.array([[0.6, 0.8]], np.float32), (50, 1))
    for one in clusterings(vectors, 256, 17):
        assert len(one.centres) == 1 and one.silhouette == 0.0


def test_there_are_no_more_nodes_than_allowed() -> None:
    assert max(grid(10_000, 30)) == 30 and grid(1, 30) == [1]


def test_k_means_ends_where_every_centre_is_the_mean_of_its_own(rng: np.random.Generator) -> None:
    x = unit_rows(rng.normal(size=(200, 5))).astype(np.float32)
    centres = spherical_kmeans(x, 6, rng)
    node = nearest(x, centres)
    for a in range(len(centres)):
        mean = x[node == a].astype(np.float64).sum(axis=0)
        np.testing.assert_allclose(centres[a], mean / np.linalg.norm(mean), atol=1e-5)


def test_the_silhouette_equals_a_slow_one(rng: np.random.Generator) -> None:
    x = unit_rows(rng.normal(size=(40, 3))).astype(np.float32)
    centres = unit_rows(rng.normal(size=(4, 3))).astype(np.float32)
    node, total = nearest(x, centres), 0.0
    for row in range(len(x)):
        a, b = sorted(1.0 - float(x[row] @ c) for c in centres)[:2]
        if (node == node[row]).sum() > 1:
            total += (b - a) / b
    assert silhouette(x, centres) == pytest.approx(total / len(x), abs=1e-5)


def test_what_everything_says_is_no_name_and_neither_are_stop_words() -> None:
    catalog = said([f"the genres {w}" for w in ["cat"] * 5 + ["dog"] * 5])
    names = Reader(catalog).labels(np.repeat([0, 1], 5), 2)
    assert [one.words for one in names] == [("cat",), ("dog",)]


def test_categories_count_as_words_and_keep_their_capitals() -> None:
    catalog = said(["x one"] * 4 + ["y two"] * 4, [["Film-Noir"]] * 4 + [["Science Fiction"]] * 4)
    names = Reader(catalog).labels(np.repeat([0, 1], 4), 2)
    assert "Film-Noir" in names[0].words and "Science Fiction" in names[1].words


def test_a_word_inside_a_chosen_phrase_is_not_said_again() -> None:
    catalog = said(["pens"] * 4 + ["tools"] * 4, [["Pens Supplies"]] * 4 + [["DIY"]] * 4)
    names = Reader(catalog).labels(np.repeat([0, 1], 4), 2)
    assert len(names[0].words) == 1


def test_years_count_with_their_decades() -> None:
    words = item_words(said(["Film (1974) 12"]), 0)
    assert words["1974"] == 1 and words["1970s"] == 1 and "12" not in words


@pytest.mark.parametrize("text", ["кино про войну", "戦争 映画", "فيلم حرب", ""])
def test_any_language_or_none_can_be_named(text: str) -> None:
    catalog = said([text] * 4 + ["dog"] * 4)
    first, second = Reader(catalog).labels(np.repeat([0, 1], 4), 2)
    assert second.words == ("dog",)
    assert (first.label == "unnamed") == (text == "")


def test_nodes_that_say_the_same_are_told_apart() -> None:
    catalog = said(["cat"] * 9)
    names = Reader(catalog).labels(np.repeat([0, 1, 2], 3), 3)
    assert len({one.label for one in names}) == 3


def test_items_that_cancel_out_keep_a_node() -> None:
    x = np.array([[1.0, 0.0], [-1.0, 0.0]], np.float32)
    centres = spherical_kmeans(x, 1, np.random.default_rng(3))
    assert centres.shape == (1, 2) and np.linalg.norm(centres[0]) == pytest.approx(1.0)
