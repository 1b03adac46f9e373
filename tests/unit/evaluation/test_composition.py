"""Past queries through sources, ranking and steps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recsys.coldstart.reading import Heard, Statement
from recsys.coldstart.told import Told
from recsys.evaluation.batch import Way, recommend_composed
from recsys.evaluation.composition import (
    ENCODER,
    FULL,
    Stage,
    Variant,
    score_composition,
    variants_of,
    with_histories,
)
from recsys.evaluation.intervals import UserBootstrap
from recsys.evaluation.metrics import diversity
from recsys.evaluation.protocol import OURS, ask, new_systems, score_new
from recsys.evaluation.scene import parts_of, stacked
from recsys.evaluation.slate_figures import (
    composition_figures,
    diversity_gain,
    exposure,
    ndcg_of_lists,
)
from recsys.evaluation.split import Queries
from recsys.reranking.options import MmrSettings, RerankingSettings
from recsys.settings import RetrievalSettings
from recsys.shelf import Shelf
from tests.unit.evaluation.test_protocol import SETTINGS, Log

K = 5
ALL = {"interest": 60, "trend": 60}


@pytest.fixture(scope="module")
def log() -> Log:
    return Log()


@pytest.fixture(scope="module")
def stage(log: Log) -> Stage:
    scene = log.scene
    shelf = Shelf(log.catalog, scene.items, scene.model, SETTINGS.interest, SETTINGS.trend)
    return Stage(scene, shelf)


def test_the_encoder_alone_and_generous_sources_make_the_slates_of_the_protocol(
    log: Log, stage: Stage
) -> None:
    asked = with_histories(log.new(), log.events, SETTINGS.interest, SETTINGS.data)
    expected = score_new(log.scene, asked, K, log.start)
    ours = new_systems(log.start).index(OURS)
    variants = [Variant(ENCODER, None), Variant(FULL, ALL)]
    found = score_composition(stage, asked, K, variants)["lists"]
    for v in range(2):
        np.testing.assert_array_equal(found[:, v], expected["lists"][:, ours])
    parts = [score_composition(stage, part, K, variants) for part in parts_of(asked, 3)]
    np.testing.assert_array_equal(stacked(parts)["lists"], found)


def test_what_users_say_counts_in_batches_too(log: Log, stage: Stage) -> None:
    asked = with_histories(log.new(), log.events, SETTINGS.interest, SETTINGS.data)
    plain = recommend_composed(stage, asked, Way(K, 60))["rows"]
    found = score_composition(stage, asked, K, [Variant(ENCODER, None)])["lists"][:, 0]
    np.testing.assert_array_equal(plain, found)
    shunned, wished = int(plain[0, 0]), int(plain[0, 4])
    heard = (
        Heard("these", True, ("a",), np.array([wished])),
        Heard("those", False, ("b",), np.array([shunned])),
    )
    said = Statement(heard, np.zeros((2, stage.shelf.items.n_dims), np.float32))
    told = (Told(said), *[Told()] * (len(asked) - 1))
    with_told = recommend_composed(stage, replace(asked, told=told), Way(K, 60))["rows"]
    assert shunned not in with_told[0] and with_told[0].tolist().index(wished) < 4
    np.testing.assert_array_equal(with_told[1:], plain[1:])


def test_sources_and_steps_are_taken_away_one_by_one() -> None:
    reranking = RerankingSettings(steps=("caps", "mmr"))
    found = variants_of(RetrievalSettings(sources={"trend": 9, "interest": 9}), reranking)
    by = {variant.name: variant for variant in found}
    assert by[ENCODER].sources is None and by[ENCODER].reranking.steps == ()
    assert by["without source trend"].sources == {"interest": 9}
    assert by["without step caps"].reranking.steps == ("mmr",)
    assert by["dpp 0.5"].reranking.dpp.diversity == 0.5


def test_figures_see_what_a_step_does(log: Log, stage: Stage) -> None:
    asked = ask(log.events, log.scene, log.kept(~log.is_repeat), log.touches, SETTINGS)
    asked = with_histories(asked, log.events, SETTINGS.interest, SETTINGS.data)
    mmr = RerankingSettings(steps=("mmr",), mmr=MmrSettings(diversity=0.8))
    variants = [Variant(ENCODER, None), Variant("mmr", ALL, mmr), Variant("few", {"trend": 3})]
    lists = score_composition(stage, asked, K, variants)["lists"]
    bootstrap = UserBootstrap(asked.queries.user, 20, np.random.default_rng(1))
    names = [variant.name for variant in variants]
    popularity = np.bincount(log.scene.item, minlength=log.scene.n_items)
    given = (names, lists, asked.queries, popularity, log.scene.items.directions, bootstrap)
    found = composition_figures(*given)
    assert found["mmr"]["diversity"] > 1.05 * found[ENCODER]["diversity"]
    assert found["few"]["n_short"] == len(asked.queries)
    assert found[ENCODER]["less_first"]["mean"] == 0.0
    assert sum(found["mmr"]["exposure"]) == pytest.approx(1.0)
    assert found["few"]["coverage"] < found[ENCODER]["coverage"]


def test_ndcg_of_slates_counts_places() -> None:
    queries = Queries(
        user=np.array([0, 1]),
        as_of=np.zeros(2),
        history_end=np.zeros(2, np.int64),
        target=np.array([7, 3, 9]),
        target_bounds=np.array([0, 2, 3]),
    )
    lists = np.array([[3, 5, 7], [1, -1, -1]])
    best = 1 + 1 / np.log2(3)
    assert ndcg_of_lists(lists, queries).tolist() == pytest.approx([1.5 / best, 0.0])


def test_exposure_is_told_by_tenths_of_popularity() -> None:
    popularity = np.arange(20)[::-1]
    assert exposure(np.array([[0, 1], [19, -1]]), popularity) == pytest.approx(
        [2 / 3, *[0.0] * 8, 1 / 3]
    )
    assert sum(exposure(np.full((2, 2), -1), popularity)) == 0.0


def test_diversity_is_the_mean_over_pairs_of_one_less_the_cosine(rng: np.random.Generator) -> None:
    vectors = rng.normal(size=(9, 4))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    lists = rng.permutation(9)[:6].reshape(2, 3)
    pairs = [1 - vectors[a] @ vectors[b] for row in lists for a in row for b in row if a != b]
    assert diversity(lists, vectors) == pytest.approx(np.mean(pairs))


def test_the_gain_of_diversity_stops_at_its_cost() -> None:
    base = (0.100, 0.50)
    curve = [(0.101, 0.52), (0.0995, 0.60), (0.0985, 0.70), (0.08, 0.90)]
    assert diversity_gain(base, curve) == pytest.approx(0.65 / 0.5 - 1)
    assert diversity_gain(base, [(0.09, 0.51)]) == pytest.approx(0.501 / 0.5 - 1)
    assert diversity_gain(base, []) == 0.0
