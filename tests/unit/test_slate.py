from __future__ import annotations

import numpy as np
import pytest

from recsys.catalog import Catalog
from recsys.interest.model import FoldBatch, ItemTable, Query
from recsys.interest.profiles import ProfileTable
from recsys.interest.zero_shot import ZeroShot
from recsys.ranking import RankingWeights
from recsys.settings import InterestSettings, TrendSettings
from recsys.shelf import Evidence, Shelf, interests
from recsys.slate import SlateOptions, make_slate

DAY = 86_400.0
NOW = 1_000 * DAY


@pytest.fixture
def shelf() -> Shelf:
    """Three jazz items, two rock items, one without text."""
    vectors = np.array([[1, 0], [0.9, 0.1], [0.8, 0.2], [0, 1], [0.1, 0.9], [0, 0]], np.float32)
    catalog = Catalog(
        item_ids=["a", "b", "c", "d", "e", "f"],
        titles=["A", "B", "C", "D", "E", ""],
        texts=[""] * 6,
        categories=[("jazz",), ("jazz",), ("jazz",), ("rock",), ("rock",), ()],
        available_from=np.full(6, -np.inf),
        available_until=np.full(6, np.inf),
    )
    weights = RankingWeights(np.ones(2), np.ones(1), np.array([0.0, 1.0]))
    interest = InterestSettings(half_lives_s=(DAY, 30 * DAY), negative_half_lives_s=(DAY,))
    trend = TrendSettings(half_lives_s=(DAY, 9 * DAY))
    items = ItemTable.all_warm(vectors)
    return Shelf(catalog, items, ZeroShot(interest, weights), interest, trend)


def _asking(shelf: Shelf, u: np.ndarray) -> Query:
    """A query of one vector, with the trend of everybody."""
    return shelf.nobody._replace(vectors=np.asarray(u, np.float32)[None, None])


def _evidence(shelf: Shelf) -> Evidence:
    """Listened to `a` two days ago."""
    kinds = np.array(["play", "play"], object)
    events = FoldBatch(
        np.array([0, -1], np.int32), np.array([NOW - 2 * DAY, NOW]), kinds, np.full(2, np.nan)
    )
    table = ProfileTable(2, shelf.interest, ("play",))
    user = table.rows(["u"], create=True)
    table.fold(np.repeat(user, 2), events, shelf.model, shelf.items)
    return Evidence(
        query=shelf.model.query(table.banks(user), NOW),
        banks=table.banks(user),
        recent_item=events.item,
        recent_ts=events.ts,
        recent_importance=np.array([1.0, 1.0]),
        recent_kind=kinds,
        recent_value=events.value,
        seen=np.array([0]),
    )


def test_a_slate_is_ordered_ranked_and_without_what_was_seen(shelf: Shelf) -> None:
    trend = np.zeros((6, 2), np.float32)
    slate = make_slate(shelf, _evidence(shelf), trend, NOW, SlateOptions(k=3))
    assert [item.item_id for item in slate.items] == ["b", "c", "e"]
    assert [item.rank for item in slate.items] == [1, 2, 3]
    assert all(x.score == pytest.approx(sum(x.parts.values())) for x in slate.items)


def test_seen_items_come_back_when_they_may(shelf: Shelf) -> None:
    trend = np.zeros((6, 2), np.float32)
    options = SlateOptions(k=1, exclude_seen=False)
    assert make_slate(shelf, _evidence(shelf), trend, NOW, options).items[0].item_id == "a"


def test_the_reason_is_the_event_that_lifts_the_item(shelf: Shelf) -> None:
    trend = np.zeros((6, 2), np.float32)
    first = make_slate(shelf, _evidence(shelf), trend, NOW, SlateOptions(k=1)).items[0]
    assert first.reason is not None
    assert first.reason["type"] == "because" and first.reason["event_age_s"] == 2 * DAY
    (event,) = first.reason["events"]
    assert event["item_id"] == "a" and event["effect"] == pytest.approx(first.parts["interest"])


def test_no_reason_is_worked_out_where_none_is_asked_for(shelf: Shelf) -> None:
    options = SlateOptions(k=3, explain="none")
    slate = make_slate(shelf, _evidence(shelf), np.zeros((6, 2), np.float32), NOW, options)
    assert [item.reason for item in slate.items] == [None, None, None]


def test_a_disliked_item_is_never_the_reason(shelf: Shelf) -> None:
    evidence = Evidence(
        query=_asking(shelf, -shelf.items.vectors[0]),
        recent_item=np.array([0]),
        recent_ts=np.array([NOW]),
        recent_importance=np.array([-1.0]),
    )
    slate = make_slate(shelf, evidence, np.zeros((6, 2), np.float32), NOW, SlateOptions(k=6))
    assert {item.reason["type"] for item in slate.items} == {"cold"}


def test_somebody_unknown_gets_what_trends(shelf: Shelf) -> None:
    trend = np.zeros((6, 2), np.float32)
    trend[[3, 5]] = [[0.1, 2.0], [0.1, 3.0]]
    slate = make_slate(shelf, Evidence(shelf.nobody), trend, NOW, SlateOptions(k=2))
    assert [item.item_id for item in slate.items] == ["f", "d"]
    assert slate.items[0].reason is not None
    assert slate.items[0].reason["type"] == "trending"
    assert slate.items[0].reason["half_life_s"] == 9 * DAY


def test_an_item_without_text_and_events_is_left_out(shelf: Shelf) -> None:
    empty = Evidence(shelf.nobody)
    slate = make_slate(shelf, empty, np.zeros((6, 2), np.float32), NOW, SlateOptions(k=10))
    assert "f" not in [item.item_id for item in slate.items]


def test_an_item_is_a_candidate_only_while_it_is_available(shelf: Shelf) -> None:
    shelf.catalog.available_from[1] = NOW + 1
    shelf.catalog.available_until[2] = NOW
    trend = np.zeros((6, 2), np.float32)
    slate = make_slate(shelf, _evidence(shelf), trend, NOW, SlateOptions(k=10))
    assert [item.item_id for item in slate.items] == ["e", "d"]


def test_given_candidates_score_as_in_the_whole_catalog(shelf: Shelf) -> None:
    trend = np.random.default_rng(3).random((6, 2)).astype(np.float32)
    whole = make_slate(shelf, _evidence(shelf), trend, NOW, SlateOptions(k=10))
    options = SlateOptions(k=10, candidates=np.array([4, 2, 4, -1]))
    some = make_slate(shelf, _evidence(shelf), trend, NOW, options)
    scores = {item.item_id: item.score for item in whole.items}
    assert {item.item_id: item.score for item in some.items} == {k: scores[k] for k in ("c", "e")}


def test_interests_name_the_categories_that_stand_out(shelf: Shelf) -> None:
    found = interests(shelf, shelf.items.vectors[0], n_nearest=3)
    assert [name for name, _ in found] == ["jazz"]
    assert sum(weight for _, weight in found) == pytest.approx(1.0)


def test_an_empty_query_has_no_interests(shelf: Shelf) -> None:
    assert interests(shelf, np.zeros(2, np.float32)) == []
