"""Features: what they say of items, one by one, and the model that adds them up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recsys.interest.model import FoldBatch
from recsys.ranker.alpha import Alpha, scheduled
from recsys.ranker.model import Ranker, ranker_files, ranker_of
from recsys.ranker.names import feature_names
from recsys.ranker.options import RankerSettings
from recsys.ranker.scoring import added, alpha_of, feature, personal
from recsys.ranker.viewed import Viewed, one_view
from recsys.settings import load
from recsys.shelf import Evidence
from recsys.slate import SlateOptions, make_slate
from tests.unit.reasons.scene import DAY, NOW, N, Scene, scene

ALL = np.arange(N)


@pytest.fixture(scope="module")
def on() -> Scene:
    return scene("ranked", 3)


def liked(*rows: int, age_s: float = 60.0) -> FoldBatch:
    n = len(rows)
    kinds = np.array([*(["like"] * n), None], object)[:-1]
    ts = NOW - age_s * np.arange(1, n + 1)
    return FoldBatch(np.array(rows, np.int32), ts, kinds, np.full(n, np.nan))


def viewed(on: Scene, evidence: Evidence, as_of: float = NOW) -> Viewed:
    return one_view(on.shelf, evidence, (ALL, on.trend, {}), as_of, RankerSettings())


def read(name: str, on: Scene, evidence: Evidence, as_of: float = NOW) -> np.ndarray:
    found = feature(name).read(viewed(on, evidence, as_of))
    assert found.shape == (1, N)
    return np.asarray(found[0])


def test_every_feature_is_read_by_default_and_an_unknown_one_is_refused() -> None:
    assert set(RankerSettings().features) == set(feature_names())
    with pytest.raises(ValueError, match="charm is no feature; there are age, "):
        RankerSettings(features=("charm",))
    with pytest.raises(ValueError, match="named twice"):
        RankerSettings(features=("age", "age"))
    assert load(assignments=["ranker.features=[age, graph]"]).ranker.features == ("age", "graph")


def test_somebody_unknown_has_nothing_of_the_features_that_are_personal(on: Scene) -> None:
    nobody = Evidence(on.shelf.nobody)
    for name in personal(RankerSettings().features):
        assert not read(name, on, nobody).any(), name
    assert read("crowd", on, nobody).any() and read("rising", on, nobody).any()


@pytest.mark.parametrize("name", ["short_taste", "long_taste", "strongest", "category"])
def test_what_is_like_the_events_is_lifted_and_less_so_as_they_fade(name: str, on: Scene) -> None:
    row = int(np.flatnonzero(on.shelf.graph.node >= 0)[0])  # type: ignore[union-attr]
    evidence = on.evidence(liked(row), NOW)
    now, later = read(name, on, evidence), read(name, on, evidence, NOW + 30 * DAY)
    assert now[row] > np.median(now)
    assert np.abs(later).sum() < np.abs(now).sum()
    assert np.corrcoef(now, later)[0, 1] > 0.99


def test_the_short_taste_forgets_before_the_long_one(on: Scene) -> None:
    evidence = on.evidence(liked(3, 5, age_s=20 * DAY), NOW)
    assert np.abs(read("short_taste", on, evidence)).max() < 0.01
    assert np.abs(read("long_taste", on, evidence)).max() > 0.3


def test_impressions_without_answer_tire_and_an_answer_ends_it(on: Scene) -> None:
    shown = {"shown_item": np.array([7, 7, 9]), "shown_ts": NOW - np.array([60.0, 120.0, 30.0])}
    tired = read("fatigue", on, replace(on.evidence(liked(3), NOW), **shown))
    assert tired[7] == pytest.approx(2.0, abs=0.01) and tired[9] == pytest.approx(1.0, abs=0.01)
    assert tired.sum() == pytest.approx(tired[7] + tired[9])
    answered = replace(on.evidence(liked(7, age_s=1.0), NOW), **shown)
    assert read("fatigue", on, answered)[7] == 0.0


def test_young_items_are_those_with_age(on: Scene) -> None:
    born = on.shelf.catalog.available_from
    age = read("age", on, Evidence(on.shelf.nobody))
    assert np.all((age > 0) == np.isfinite(born))
    young = np.flatnonzero(np.isfinite(born))
    assert np.all(np.diff(age[young[np.argsort(born[young])]]) >= 0)


def test_parts_of_a_slate_sum_to_its_scores_and_name_the_features(on: Scene) -> None:
    evidence = on.evidence(liked(3, 9, 14), NOW)
    slate = make_slate(on.shelf, evidence, on.trend, NOW, SlateOptions(k=N, explain="none"))
    bare = replace(on.shelf, ranker=None)
    plain = make_slate(bare, evidence, on.trend, NOW, SlateOptions(k=N, explain="none"))
    encoder = {item.row: item.score for item in plain.items}
    assert [item.row for item in slate.items] != [item.row for item in plain.items]
    for item in slate.items:
        assert item.score == pytest.approx(sum(item.parts.values()), abs=1e-5)
        assert set(item.parts) >= {"short_taste", "graph", "cooccurrence", "interest", "trend"}
        theirs = [part for name, part in item.parts.items() if name not in feature_names()]
        assert sum(theirs) == pytest.approx(encoder[item.row], abs=1e-5)
    scores = [item.score for item in slate.items]
    assert scores == sorted(scores, reverse=True)
    chances = [item.probability for item in slate.items]
    assert all(p is not None and 0.0 < p < 1.0 for p in chances)
    assert all(item.probability is None for item in plain.items)


def test_a_model_without_weights_is_the_encoder(on: Scene) -> None:
    evidence = on.evidence(liked(3, 9, 14), NOW)
    same = replace(on.shelf, ranker=Ranker.identity(RankerSettings(), {}))
    options = SlateOptions(k=N, explain="none")
    found, expected = (
        make_slate(shelf, evidence, on.trend, NOW, options)
        for shelf in (same, replace(on.shelf, ranker=None))
    )
    assert [(i.row, i.score, i.parts) for i in found.items] == [
        (i.row, i.score, i.parts) for i in expected.items
    ]


def test_alpha_gives_the_long_taste_more_as_the_gap_grows(on: Scene) -> None:
    evidence = on.evidence(liked(3), NOW)
    ranker = on.shelf.ranker
    assert ranker is not None
    away = replace(ranker, alpha=Alpha("scheduled"))
    soon, late = (alpha_of(away, viewed(on, evidence, NOW + gap))[0] for gap in (0.0, 9 * DAY))
    assert away.pull[1] <= soon < late < 1.0
    assert late == pytest.approx(scheduled(away.pull[1], np.array([9 * DAY + 60]), 2 * DAY)[0])
    parts = added(away, viewed(on, evidence, NOW + 9 * DAY))
    fixed = added(replace(ranker, alpha=Alpha()), viewed(on, evidence, NOW + 9 * DAY))
    assert np.abs(parts["long_taste"]).sum() > np.abs(fixed["long_taste"]).sum()


def test_a_model_goes_through_its_files(on: Scene) -> None:
    ranker = on.shelf.ranker
    assert ranker is not None and ranker_of({}) is None and ranker_files(None) == {}
    found = ranker_of(ranker_files(ranker))
    assert found is not None and found.neighbours is not None
    assert (found.weights, found.options, found.alpha) == (
        ranker.weights,
        ranker.options,
        ranker.alpha,
    )
    view = viewed(on, on.evidence(liked(3, 9), NOW))
    for name, values in added(ranker, view).items():
        np.testing.assert_array_equal(values, added(found, view)[name])
