from __future__ import annotations

import pickle

import numpy as np
import pytest

from recsys.errors import ConfigError
from recsys.ranking import (
    RankingWeights,
    default_weights,
    interest_part,
    interest_parts,
    parts,
    score,
    top_k,
    with_settings,
)
from recsys.settings import InterestSettings, RankingSettings, TrendSettings


def _world(rng: np.random.Generator, n: int = 203) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    vectors = rng.normal(size=(n, 19)).astype(np.float32)
    trend = rng.random((n, 3)).astype(np.float32)
    return rng.normal(size=19).astype(np.float32), vectors, trend


WEIGHTS = RankingWeights(np.ones(2), np.zeros(1), np.array([0.5, 0.0, 2.0]))


def test_a_score_is_the_dot_product_plus_the_weighted_trend(rng: np.random.Generator) -> None:
    u, vectors, trend = _world(rng)
    expected = vectors @ u + trend @ WEIGHTS.trend
    np.testing.assert_allclose(score(u, vectors, trend, WEIGHTS), expected, rtol=1e-4, atol=1e-5)


def test_the_parts_add_up_to_the_score(rng: np.random.Generator) -> None:
    u, vectors, trend = _world(rng)
    found = parts(u, vectors, trend, WEIGHTS)
    total = found["interest"] + found["trend"]
    np.testing.assert_array_equal(total, score(u, vectors, trend, WEIGHTS))


def test_a_score_does_not_depend_on_which_other_items_there_are(rng: np.random.Generator) -> None:
    u, vectors, trend = _world(rng)
    whole = score(u, vectors, trend, WEIGHTS)
    for kept in (np.arange(0, 203, 3), np.array([5]), np.arange(100, 165)):
        part = score(u, vectors[kept], trend[kept], WEIGHTS)
        assert part.tobytes() == whole[kept].tobytes()


def test_a_batch_of_queries_scores_as_each_alone(rng: np.random.Generator) -> None:
    _, vectors, _ = _world(rng)
    queries = rng.normal(size=(5, 19)).astype(np.float32)
    batch = interest_parts(queries, vectors)
    for row, query in enumerate(queries):
        assert batch[row].tobytes() == interest_part(query, vectors).tobytes()


def test_an_item_without_a_vector_has_no_interest_part(rng: np.random.Generator) -> None:
    u, vectors, trend = _world(rng)
    vectors[7] = 0.0
    assert parts(u, vectors, trend, WEIGHTS)["interest"][7] == 0.0


def test_a_query_of_another_dimension_is_a_mistake(rng: np.random.Generator) -> None:
    _, vectors, _ = _world(rng)
    with pytest.raises(ValueError, match="19"):
        interest_part(np.zeros(4, np.float32), vectors)


@pytest.mark.parametrize("k", [1, 7, 500])
def test_top_k_is_a_stable_sort_of_the_allowed(rng: np.random.Generator, k: int) -> None:
    scores = rng.integers(0, 20, 300).astype(np.float32)  # many ties
    allowed = rng.random(300) < 0.6
    order = np.argsort(np.where(allowed, -scores, np.inf), kind="stable")
    np.testing.assert_array_equal(top_k(scores, allowed, k), order[: min(k, allowed.sum())])


def test_top_k_of_nothing_allowed_is_empty() -> None:
    assert len(top_k(np.ones(3, np.float32), np.zeros(3, bool), 2)) == 0


def test_default_weights_have_one_weight_per_half_life() -> None:
    weights = default_weights(InterestSettings(), TrendSettings())
    assert len(weights.interest) == len(InterestSettings().half_lives_s)
    assert len(weights.negative) == len(InterestSettings().negative_half_lives_s)
    assert len(weights.trend) == len(TrendSettings().half_lives_s)


def test_weights_survive_json_and_pickling() -> None:
    assert RankingWeights.from_dict(WEIGHTS.as_dict()) == WEIGHTS
    assert pickle.loads(pickle.dumps(WEIGHTS)) == WEIGHTS


@pytest.mark.parametrize("bad", [[-1.0], [float("nan")], [[1.0]]])
def test_bad_weights_are_refused(bad: list[float]) -> None:
    with pytest.raises(ConfigError, match="ranking"):
        RankingWeights(np.ones(1), np.ones(1), np.array(bad))


def test_a_setting_replaces_what_was_chosen() -> None:
    found = with_settings(WEIGHTS, RankingSettings(trend=(1.0, 2.0, 3.0)))
    assert found.as_dict()["trend"] == [1.0, 2.0, 3.0]
    assert found.as_dict()["interest"] == WEIGHTS.as_dict()["interest"]


def test_a_setting_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"ranking\.trend"):
        with_settings(WEIGHTS, RankingSettings(trend=(1.0,)))
