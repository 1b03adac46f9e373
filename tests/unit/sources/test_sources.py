"""Where candidates come from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import recsys.sources
from recsys.coldstart.follows import Followed
from recsys.coldstart.reading import Heard, Statement
from recsys.coldstart.segments import Segments
from recsys.coldstart.told import Told
from recsys.errors import ConfigError
from recsys.graph.activation import activation
from recsys.graph.interest_graph import unconnected
from recsys.graph.options import GraphSettings
from recsys.graph.overlay import overlay
from recsys.ranking import interest_part, score, top_k
from recsys.settings import RetrievalSettings, load
from recsys.shelf import Evidence, Shelf
from recsys.slate import SlateOptions, make_slate
from recsys.sources.base import Asked
from recsys.sources.gather import gather, names_in, quotas_of, source, sources_of
from recsys.sources.names import source_names
from recsys.testing.fakes import BruteRetriever, DecayedPairs
from tests.unit.graph.planted import said_by
from tests.unit.reranking.worlds import DAY, NOW, asked_of, evidence_of, shelf_of


@pytest.fixture
def shelf(rng: np.random.Generator) -> Shelf:
    pairs = rng.normal(size=(60, 60)).astype(np.float32)
    plain = shelf_of(rng)
    graph = unconnected(plain.catalog, plain.items, GraphSettings(), NOW)
    rows = [("u", row, NOW - 60.0 * row) for row in range(59, -1, -1)]
    connected = graph.connected([graph.count(said_by(rows), plain.interest)])
    counts = rng.random(60).astype(np.float32)
    of_all = (np.array([0, 60]), np.arange(60, dtype=np.int32), counts, 9.0 - counts)
    segments = Segments(("plan=free",), *of_all)
    return replace(plain, neighbours=DecayedPairs(pairs, DAY), graph=connected, segments=segments)


def told_of(shelf: Shelf) -> Told:
    """Somebody who likes the first items, follows a user of the next ones, and has a plan."""
    heard = (Heard("such items", True, ("first",), np.arange(9)),)
    statement = Statement(heard, shelf.items.directions[:1])
    followed = Followed(np.arange(9, 20), np.full(11, NOW - DAY), np.ones(11))
    return Told(statement, {"plan": "free"}, followed)


def asked(shelf: Shelf, rng: np.random.Generator, n_queries: int = 1) -> Asked:
    evidence = evidence_of(shelf, rng)
    vectors = rng.normal(size=(1, n_queries, shelf.items.n_dims)).astype(np.float32)
    query = evidence.query._replace(vectors=vectors, fresh=np.array([[2.0, 1.0]], np.float32))
    trend = rng.random((60, 2)).astype(np.float32)
    evidence = replace(evidence, query=query, told=told_of(shelf))
    found = asked_of(shelf, evidence, retriever=None)
    return replace(found, trend_features=trend, allowed=rng.random(60) < 0.8)


def test_each_file_is_a_source_of_its_name() -> None:
    folder = Path(recsys.sources.__path__[0])
    files = {p.stem for p in folder.glob("*.py") if "\nSOURCE = " in p.read_text(encoding="utf-8")}
    assert files == set(source_names())
    assert [source(name).name for name in source_names()] == list(source_names())


@pytest.mark.parametrize("name", source_names())
def test_a_source_finds_distinct_items_that_are_there(
    name: str, shelf: Shelf, rng: np.random.Generator
) -> None:
    for wanted in (1, 7, 100):
        rows = source(name).find(asked(shelf, rng, n_queries=2), wanted)
        assert len(rows) > 0 and len(set(rows.tolist())) == len(rows)
        assert rows.min() >= 0 and rows.max() < 60


def test_sources_put_their_best_first(shelf: Shelf, rng: np.random.Generator) -> None:
    one = asked(shelf, rng)
    near = interest_part(one.evidence.query.vectors[0], shelf.items.vectors)
    assert one.fresh is not None and one.neighbours is not None
    worth = {
        "interest": near,
        "trend": one.trend,
        "fresh": one.trend + one.fresh,
        "neighbours": one.neighbours,
        "statement": one.told["statement"],
        "follows": one.told["follows"],
        "segments": one.trend + one.told["segments"],
    }
    for name, values in worth.items():
        expected = top_k(values, one.allowed, 5)
        np.testing.assert_array_equal(source(name).find(one, 5)[:5], expected)


def test_a_minor_interest_is_heard(shelf: Shelf, rng: np.random.Generator) -> None:
    for retriever in (None, BruteRetriever(shelf.items.vectors)):
        one = replace(asked(shelf, rng, n_queries=2), retriever=retriever)
        one = replace(one, allowed=np.ones(60, np.bool_))
        vectors = one.evidence.query.vectors[0]
        vectors[1] *= 1e-3  # so weak that its own items score less than those of the other
        first = source("interest").find(one, 5)[:2]
        assert first.tolist() == [int(np.argmax(shelf.items.vectors @ u)) for u in vectors]


def test_an_interest_brings_items_as_it_is_awake(shelf: Shelf, rng: np.random.Generator) -> None:
    one = replace(asked(shelf, rng), allowed=np.ones(60, np.bool_))
    graph = shelf.graph
    assert graph is not None
    awake = activation(overlay(one.evidence, graph, NOW).weight, graph)
    found = source("graph").find(one, 20)
    nodes = np.bincount(graph.node[found], minlength=len(graph))
    assert len(found) <= 20 and nodes[awake < 0.01].sum() == 0
    assert np.all(nodes <= np.ceil(awake * 20)) and int(nodes.argmax()) == int(awake.argmax())
    assert graph.node[found[0]] == awake.argmax()


def test_who_asks_for_nothing_and_bundles_without_parts_find_nothing(
    rng: np.random.Generator,
) -> None:
    plain = asked_of(shelf_of(rng))
    for name in ("interest", "fresh", "neighbours", "graph"):
        assert len(source(name).find(plain, 5)) == 0
    assert len(gather(plain, sources_of({"interest": 5})).rows) == 0
    assert len(gather(plain, []).rows) == 0


def test_candidates_carry_their_sources(shelf: Shelf, rng: np.random.Generator) -> None:
    one = asked(shelf, rng)
    found = gather(one, sources_of({"trend": 10, "neighbours": 8, "fresh": 0}))
    assert found.names == ("trend", "neighbours")
    by = {name: set(source(name).find(one, n).tolist()) for name, n in (("trend", 10),)}
    by["neighbours"] = set(source("neighbours").find(one, 8).tolist())
    assert found.rows.tolist() == sorted(by["trend"] | by["neighbours"])
    for row, bits in zip(found.rows.tolist(), found.found_by.tolist(), strict=True):
        assert names_in(bits, found.names) == [name for name in found.names if row in by[name]]


@pytest.mark.parametrize(
    ("quotas", "said"),
    [
        ("{intrest: 5}", "intrest is no source; there are follows, fresh"),
        ("{trend: -1}", "sources.trend"),
    ],
)
def test_quotas_that_cannot_be_are_refused(quotas: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(assignments=[f"retrieval.sources={quotas}"])
    assert said in str(caught.value)


def test_all_sources_are_asked_unless_settings_say_otherwise() -> None:
    assert set(RetrievalSettings().sources) == set(source_names())
    assert load(assignments=["retrieval.sources={trend: 5}"]).retrieval.sources == {"trend": 5}


def test_a_process_that_sets_no_quotas_takes_those_of_its_bundle() -> None:
    bundle = RetrievalSettings(sources={"trend": 5})
    assert quotas_of(RetrievalSettings(), bundle) == {"trend": 5}
    written_out = RetrievalSettings.model_validate(RetrievalSettings().model_dump())
    assert quotas_of(written_out, bundle) == {"trend": 5}
    assert quotas_of(RetrievalSettings(sources={"fresh": 9}), bundle) == {"fresh": 9}


def test_without_settings_a_slate_is_the_ranking_to_the_last_bit(
    shelf: Shelf, rng: np.random.Generator
) -> None:
    for _ in range(20):
        one = asked(replace(shelf, neighbours=None), rng)
        query = one.evidence.query._replace(fresh=np.zeros((1, 0), np.float32))
        evidence = replace(one.evidence, query=query, told=Told())
        trend = rng.random((60, 2)).astype(np.float32)
        slate = make_slate(one.shelf, evidence, trend, NOW, SlateOptions(k=10))
        scores = score(query, shelf.items, trend)
        allowed = shelf.catalog.available(NOW) & ~np.isin(np.arange(60), evidence.seen)
        best = top_k(scores, allowed, 10)
        assert [item.row for item in slate.items] == best.tolist()
        assert [item.score for item in slate.items] == scores[best].tolist()
        assert all(item.sources == ["all"] for item in slate.items)
        assert all(list(item.parts) == ["interest", "trend"] for item in slate.items)
        assert slate.reason is None


def test_every_source_together_makes_the_slate_of_the_whole_catalog(
    shelf: Shelf, rng: np.random.Generator
) -> None:
    one = asked(shelf, rng)
    given = (shelf, one.evidence, one.trend_features, NOW)
    whole = make_slate(*given, SlateOptions(k=10))
    sources = sources_of(dict.fromkeys(source_names(), 60))
    retriever = BruteRetriever(shelf.items.vectors)
    found = make_slate(*given, SlateOptions(k=10, sources=sources, retriever=retriever))
    assert [(i.row, i.score, i.parts) for i in found.items] == [
        (i.row, i.score, i.parts) for i in whole.items
    ]
    assert all("trend" in item.sources for item in found.items)


def test_a_short_slate_says_why(shelf: Shelf, rng: np.random.Generator) -> None:
    seen = Evidence(shelf.nobody, seen=np.arange(57))
    trend = np.ones((60, 2), np.float32)
    slate = make_slate(shelf, seen, trend, NOW, SlateOptions(k=5))
    assert len(slate.items) == 3
    assert (
        slate.reason == "3 of 5: of 60 items 60 can be had now and are known; 57 of these were seen"
    )
    options = SlateOptions(k=5, sources=sources_of({"interest": 9}))
    empty = make_slate(shelf, Evidence(shelf.nobody), trend, NOW, options)
    assert empty.items == []
    assert empty.reason is not None
    assert empty.reason.endswith("0 of the rest are candidates (interest)")
