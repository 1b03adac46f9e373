"""Parts of a score beside events: follows, optimism, and how slates show them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from recsys.coldstart.follows import Followed, follows_part
from recsys.coldstart.optimism import optimism_part
from recsys.coldstart.options import (
    ColdstartSettings,
    FollowSettings,
    OptimismSettings,
    SegmentSettings,
)
from recsys.coldstart.reading import Heard, Statement
from recsys.coldstart.told import Told
from recsys.evaluation.scene import Crowd, Scene
from recsys.shelf import Evidence, Shelf
from recsys.slate import SlateOptions, make_slate
from recsys.trend import TrendReplay
from tests.unit.reranking.worlds import DAY, NOW, asked_of, shelf_of


def statement(shelf: Shelf, wished: list[int], unwished: list[int]) -> Statement:
    heard = (
        Heard("these", True, ("a",), np.array(wished)),
        Heard("those", False, ("b",), np.array(unwished)),
    )
    return Statement(heard, np.zeros((2, shelf.items.n_dims), np.float32))


def test_followed_users_count_by_how_late_they_acted() -> None:
    item = np.array([0, 0, 1, 2, 3, -1])
    ts = np.array([NOW, NOW - DAY, NOW - DAY, NOW, NOW + 5.0, NOW])
    followed = Followed(item, ts, np.array([1.0, 2.0, 1.0, -1.0, 1.0, 1.0]))
    found = follows_part(followed, NOW, DAY, 5, 2.0)
    np.testing.assert_allclose(found, 2 * np.log1p([1.5, 0.5, 0.0, 0.0, 0.0]), rtol=1e-6)


def test_optimism_decays_with_age_and_with_exposure() -> None:
    options = OptimismSettings(weight=4.0, half_life_s=DAY, half_exposure=5.0)
    born = np.array([NOW, NOW - DAY, NOW, -np.inf, NOW])
    says = np.array([True, True, True, True, False])
    found = optimism_part(born, says, np.array([0.0, 0.0, 5.0, 0.0, 0.0]), NOW, options)
    np.testing.assert_allclose(found, [4.0, 2.0, 2.0, 0.0, 0.0])


def test_a_slate_obeys_what_is_said(rng: np.random.Generator) -> None:
    shelf = shelf_of(rng)
    features = rng.random((60, 2)).astype(np.float32)
    said = Told(statement(shelf, [7], [1, 2]))
    options = SlateOptions(k=60, explain="none")
    slate = make_slate(shelf, Evidence(shelf.nobody, told=said), features, NOW, options)
    assert slate.items[0].row == 7 and len(slate.items) == 58
    assert not {1, 2} & {item.row for item in slate.items}
    first = slate.items[0]
    assert first.parts["statement"] == 2.0
    assert first.score == np.float32(first.parts["trend"]) + np.float32(2.0)
    assert slate.reason is not None and "2 of these are not wished" in slate.reason


def test_without_anything_told_a_slate_is_what_it_was(rng: np.random.Generator) -> None:
    shelf = shelf_of(rng)
    features = rng.random((60, 2)).astype(np.float32)
    slate = make_slate(shelf, Evidence(shelf.nobody), features, NOW, SlateOptions(k=5))
    assert all(set(item.parts) == {"interest", "trend"} for item in slate.items)


def test_each_part_can_be_switched_off(rng: np.random.Generator) -> None:
    followed = Followed(np.array([3]), np.array([NOW]), np.array([1.0]))
    off = ColdstartSettings(
        follows=FollowSettings(weight=0.0),
        segments=SegmentSettings(weight=0.0),
        optimism=OptimismSettings(weight=0.0),
    )
    told = Told(None, {"age": "3"}, followed)
    for options, names in ((off, set()), (ColdstartSettings(), {"follows", "optimism"})):
        shelf = replace(shelf_of(rng), coldstart=options)
        features = np.ones((60, 2), np.float32)
        evidence = Evidence(shelf.nobody, told=told)
        slate = make_slate(shelf, evidence, features, NOW, SlateOptions(k=1, explain="none"))
        assert set(slate.items[0].parts) == {"interest", "trend"} | names


def test_a_model_that_weighs_age_gets_no_optimism(rng: np.random.Generator) -> None:
    shelf = replace(shelf_of(rng), coldstart=ColdstartSettings())
    features = np.ones((60, 2), np.float32)
    query = shelf.nobody._replace(fresh=np.array([[1.0, 0.0]], np.float32))
    slate = make_slate(shelf, Evidence(query), features, NOW, SlateOptions(k=1))
    assert set(slate.items[0].parts) == {"interest", "trend", "fresh"}


def test_a_new_item_has_the_same_hope_in_replays_as_in_slates(rng: np.random.Generator) -> None:
    shelf = replace(shelf_of(rng), coldstart=ColdstartSettings())
    trend = TrendReplay(np.arange(60), np.full(60, NOW - DAY), np.ones(60), 60, (DAY, 9 * DAY))
    trend.advance_to(NOW)
    asked = asked_of(shelf)
    asked = replace(asked, trend_features=trend.features())
    catalog = shelf.catalog
    scene = Scene(
        items=shelf.items,
        available_from=catalog.available_from,
        available_until=catalog.available_until,
        known_after=np.full(60, -np.inf),
        item=np.arange(60, dtype=np.int32),
        ts=np.full(60, NOW - DAY),
        model=shelf.model,
        trend_half_lives_s=shelf.trend.half_lives_s,
        coldstart=shelf.coldstart,
    )
    crowd = Crowd(scene, np.ones(2, np.bool_), popular=False)
    crowd.advance_to(NOW)
    expected = asked.trend + asked.told["optimism"]
    np.testing.assert_allclose(crowd.trend(shelf.nobody), expected, rtol=1e-5)
