"""Edges, and how a graph is kept."""

from __future__ import annotations

import numpy as np
import pytest

from recsys.errors import DataError
from recsys.graph.edges import adjacency, edge_sums, no_edges
from recsys.graph.interest_graph import unconnected
from recsys.graph.stored import ARRAYS, NAMES, graph_files, graph_of
from recsys.interest.model import ItemTable
from recsys.settings import DAY_S
from tests.unit.graph.planted import INTEREST, OPTIONS, graph, planted, said_by


def test_edges_equal_a_slow_count() -> None:
    _, _, events, _ = planted()
    found, node = graph(), graph().node
    passages, mass = np.zeros((len(found),) * 2), np.zeros(len(found))
    for user in range(len(events.user_ids)):
        last = None
        for e in range(events.bounds[user], events.bounds[user + 1]):
            at = node[events.item[e]]
            if events.kind[e] not in INTEREST.positive_kinds or at < 0:
                continue
            weight = 0.5 ** ((found.as_of - events.ts[e]) / OPTIONS.edge_half_life_s)
            mass[at] += weight
            if last is not None:
                passages[last, at] += weight
            last = at
    np.testing.assert_allclose(found.passages, passages, rtol=1e-5)
    np.testing.assert_allclose(found.mass, mass, rtol=1e-5)


def test_parts_of_a_log_merge_into_the_whole() -> None:
    catalog, items, events, _ = planted()
    begun = unconnected(catalog, items, OPTIONS, float(events.ts.max()))
    rows = np.arange(len(events))
    parts = [begun.count(events.kept(rows[events.user % 3 == p]), INTEREST) for p in range(3)]
    np.testing.assert_allclose(begun.connected(parts).passages, graph().passages, rtol=1e-6)


def test_nothing_later_than_its_moment_is_counted() -> None:
    catalog, items, events, _ = planted()
    moment = float(np.median(events.ts))
    begun = unconnected(catalog, items, OPTIONS, moment)
    early = events.kept(np.flatnonzero(events.ts <= moment))
    with_future = begun.connected([begun.count(events, INTEREST)])
    without = begun.connected([begun.count(early, INTEREST)])
    assert graph_files(with_future) == graph_files(without)


def test_adjacency_is_what_chance_does_not_explain() -> None:
    passages = np.array([[9.0, 4.0, 0.0], [1.0, 0.0, 3.0], [3.0, 1.0, 5.0]])
    found = adjacency(passages)
    assert np.all(np.diag(found) == 0.0) and found[0].tolist() == [0.0, 1.0, 0.0]
    assert not adjacency(np.diag([3.0, 4.0])).any()
    assert adjacency(no_edges(0).passages).shape == (0, 0)


def test_the_strongest_edges_come_first_and_lead_elsewhere() -> None:
    edges = graph().strongest(5)
    assert 0 < len(edges) <= 5 and all(one.source != one.target for one in edges)
    assert [one.passages for one in edges] == sorted((e.passages for e in edges), reverse=True)


def test_a_log_without_events_has_nodes_and_no_edges() -> None:
    catalog, items, events, _ = planted()
    nobody = events.kept(np.zeros(0, np.int64))
    begun = unconnected(catalog, items, OPTIONS, 0.0)
    found = begun.connected([begun.count(nobody, INTEREST)])
    assert len(found) > 1 and found.strongest(9) == [] and not found.mass.any()


def test_events_of_unknown_items_are_passed_over() -> None:
    events = said_by([("u", -1, 1.0), ("u", 0, 2.0), ("u", -1, 3.0), ("u", 1, 4.0)])
    found = edge_sums(events, np.array([0, 1]), 2, 4.0, DAY_S, INTEREST)
    assert found.passages.tolist() == [[0.0, 1.0], [0.0, 0.0]]


def test_a_graph_comes_back_from_its_files_as_it_was() -> None:
    files = graph_files(graph())
    assert set(files) == {ARRAYS, NAMES}
    back = graph_of(files)
    assert back is not None and graph_files(back) == files
    assert back.labels == graph().labels and back.options == OPTIONS


def test_items_keep_their_nodes_in_another_catalog() -> None:
    found = graph()
    moved = found.aligned(np.array([2, -1, 0]))
    assert moved.node.tolist() == [found.node[2], -1, found.node[0]]
    assert moved.labels == found.labels and len(moved) == len(found)


def test_no_files_are_no_graph_and_broken_ones_an_error() -> None:
    assert graph_files(None) == {} and graph_of({}) is None
    with pytest.raises(DataError):
        graph_of({**graph_files(graph()), ARRAYS: b"nothing"})
    with pytest.raises(DataError):
        graph_of({**graph_files(graph()), NAMES: b"{}"})


def test_a_catalog_of_which_nothing_is_known_has_an_empty_graph() -> None:
    catalog, items, events, _ = planted()
    blank = ItemTable.all_warm(np.zeros_like(items.vectors))
    begun = unconnected(catalog, blank, OPTIONS, 0.0)
    found = begun.connected([begun.count(events, INTEREST)])
    assert len(found) == 0 and graph_of(graph_files(found)) is not None
