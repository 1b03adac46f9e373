"""What statements mean among the items of a catalog."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from recsys.catalog import Catalog
from recsys.coldstart.options import StatementSettings
from recsys.coldstart.reading import Reader, Statement, left_out, parse, statement_part
from recsys.coldstart.topics import Topics
from recsys.encoder.projection import Projection
from recsys.graph.interest_graph import unconnected
from recsys.graph.options import GraphSettings
from recsys.interest.model import ItemTable

KINDS = (("Sci-Fi",), ("Horror",), ("Sci-Fi", "Horror"), ("Children's",), ())
AXES = {"Sci-Fi": 0, "Horror": 1, "Children's": 2}
MEANING = {"space": 0, "sci-fi": 0, "scary": 1, "horror": 1, "kids": 2, "children's": 2}
"""What each word is to the encoder of these tests: an axis."""
OPTIONS = StatementSettings(label=2.0, likeness=1.0, against=1.0)


def encode(texts: Sequence[str]) -> np.ndarray:
    found = np.zeros((len(texts), 4), np.float32)
    for row, text in enumerate(texts):
        axes = [MEANING[word] for word in text.lower().split() if word in MEANING]
        found[row, axes[0] if axes else 3] = 1.0
    return found


@pytest.fixture
def catalog() -> Catalog:
    n = len(KINDS)
    always = (np.full(n, -np.inf), np.full(n, np.inf))
    return Catalog([f"i{n}" for n in range(n)], ["x"] * n, [""] * n, list(KINDS), *always)


@pytest.fixture
def directions() -> np.ndarray:
    found = np.zeros((len(KINDS), 4), np.float32)
    for row, kinds in enumerate(KINDS):
        for kind in kinds:
            found[row, AXES[kind]] = 1.0
        found[row] /= max(float(np.linalg.norm(found[row])), 1.0)
    return found


def understood(catalog: Catalog, said: str | list[str], with_encoder: bool = True) -> Statement:
    topics = Topics(catalog, None, 10)
    spoken = parse(said, topics, 16)
    projection = Projection(np.zeros(4, np.float32), np.eye(4, dtype=np.float32))
    names = encode(topics.read_names) if with_encoder else None
    vectors = encode(spoken.texts) if with_encoder else None
    return Reader(topics, names, projection, OPTIONS).understand(spoken, vectors, 4)


def test_a_clause_means_the_category_that_it_spells(catalog: Catalog) -> None:
    statement = understood(catalog, "films for children, no horror", with_encoder=False)
    assert [one.topics for one in statement.heard] == [("Children's",), ("Horror",)]
    assert [one.is_wished for one in statement.heard] == [True, False]
    assert not statement.is_read


def test_else_it_means_what_the_encoder_says_is_nearest(catalog: Catalog) -> None:
    statement = understood(catalog, "space, nothing scary, quiet")
    assert [one.topics for one in statement.heard] == [("Sci-Fi",), ("Horror",), ()]
    assert statement.is_read


def test_what_is_wished_rises_and_what_is_not_is_left_out(
    catalog: Catalog, directions: np.ndarray
) -> None:
    statement = understood(catalog, "space, no horror")
    part = statement_part(statement, directions, OPTIONS)
    assert left_out(statement, directions, OPTIONS).tolist() == [False, True, True, False, False]
    half = np.sqrt(0.5)
    np.testing.assert_allclose(part, [3.0, -1.0, 2.0 + half - half, 0.0, 0.0], atol=1e-6)


def test_a_wish_of_many_categories_is_shared(catalog: Catalog, directions: np.ndarray) -> None:
    statement = understood(catalog, "sci-fi, horror", with_encoder=False)
    part = statement_part(statement, directions, OPTIONS)
    assert part.tolist() == [1.0, 1.0, 2.0, 0.0, 0.0]


def test_labels_that_are_no_name_are_told_and_read_as_text(catalog: Catalog) -> None:
    statement = understood(catalog, ["sci-FI", "no  horror", "kids stuff", ""])
    assert statement.unknown == ("kids stuff", "")
    assert [(one.text, one.is_wished, one.topics) for one in statement.heard] == [
        ("Sci-Fi", True, ("Sci-Fi",)),
        ("horror", False, ("Horror",)),
        ("kids", True, ("Children's",)),
    ]


def test_free_text_has_no_unknown_labels(catalog: Catalog) -> None:
    assert understood(catalog, "quiet films").unknown == ()


def test_an_interest_of_the_graph_is_known_by_its_label(
    catalog: Catalog, directions: np.ndarray
) -> None:
    items = ItemTable.all_warm(directions)
    graph = unconnected(catalog, items, GraphSettings(), 0.0).connected([])
    topics = Topics(catalog, graph, 10)
    node = next(a for a, one in enumerate(graph.labels) if len(one.words) > 0)
    place = topics.named(graph.labels[node].label.upper())
    assert place is not None
    assert graph.labels[node].label in (topics.names[place], *AXES)


@pytest.mark.parametrize("said", ["", [], "恐怖片", ["no"], "!!!"])
def test_nothing_that_is_said_fails(
    catalog: Catalog, directions: np.ndarray, said: str | list[str]
) -> None:
    for with_encoder in (True, False):
        statement = understood(catalog, said, with_encoder)
        assert np.isfinite(statement_part(statement, directions, OPTIONS)).all()
        assert not left_out(statement, directions, OPTIONS).any()


def test_only_some_categories_are_compared(catalog: Catalog) -> None:
    topics = Topics(catalog, None, 2)
    assert topics.read_names == ("Horror", "Sci-Fi")  # of two items each
    assert topics.spelled("for children") == [] and topics.named("children's") is not None
