from __future__ import annotations

import pickle
from collections.abc import Callable

import numpy as np
import pytest

from recsys.errors import ConfigError
from recsys.freshness import fresh_part, freshness
from recsys.interest.model import ItemTable, Query
from recsys.ranking import (
    RankingWeights,
    default_weights,
    interest_part,
    interest_parts,
    parts,
    score,
    top_k,
    total,
    trend_part,
    trend_parts,
    with_settings,
)
from recsys.settings import InterestSettings, RankingSettings, TrendSettings

NO_FRESH = np.zeros((1, 0), np.float32)


def _world(rng: np.random.Generator, n: int = 203) -> tuple[Query, ItemTable, np.ndarray]:
    vectors = rng.normal(size=(n, 19)).astype(np.float32)
    trend = rng.random((n, 3)).astype(np.float32)
    u = rng.normal(size=(1, 1, 19)).astype(np.float32)
    nothing = np.zeros(1, np.float32)
    query = Query(u, WEIGHTS.trend[None], WEIGHTS.trend[None], nothing, nothing, NO_FRESH)
    return query, ItemTable.all_warm(vectors), trend


def _learned_world(rng: np.random.Generator) -> tuple[Query, ItemTable, np.ndarray]:
    """Two query vectors; cold items have a trend and an offset of their own."""
    _, items, trend = _world(rng)
    normal = rng.normal(size=(2, 1, 3)).astype(np.float32)
    u = rng.normal(size=(1, 2, 19)).astype(np.float32)
    query = Query(u, normal[0], normal[1], *np.array([[-0.7], [0.4]], np.float32), NO_FRESH)
    return query, ItemTable(items.vectors, rng.random(203) < 0.6), trend


WEIGHTS = RankingWeights(np.ones(2), np.zeros(1), np.array([0.5, 0.0, 2.0]))


def test_a_score_is_the_dot_product_plus_the_weighted_trend(rng: np.random.Generator) -> None:
    query, items, trend = _world(rng)
    expected = items.vectors @ query.vectors[0, 0] + trend @ WEIGHTS.trend
    np.testing.assert_allclose(score(query, items, trend), expected, rtol=1e-4, atol=1e-5)


def test_the_nearest_query_vector_scores_and_cold_items_weigh_by_weights_of_their_own(
    rng: np.random.Generator,
) -> None:
    query, items, trend = _learned_world(rng)
    expected = (items.vectors @ query.vectors[0].T).max(axis=1)
    warm = trend @ query.warm_trend[0]
    cold = trend @ query.cold_trend[0] + query.cold_offset[0]
    trend[3] = 0.0  # nobody has chosen it yet
    items.warm[3] = False
    cold[3] = query.new_offset[0]
    expected += np.where(items.warm, warm, cold)
    np.testing.assert_allclose(score(query, items, trend), expected, rtol=1e-4, atol=1e-5)


def test_the_trend_part_is_summed_in_the_order_of_the_half_lives(rng: np.random.Generator) -> None:
    query, items, trend = _world(rng)
    expected = np.zeros(203, np.float32)
    for j, weight in enumerate(WEIGHTS.trend):
        expected += weight * trend[:, j]
    assert trend_part(query, items.warm, trend).tobytes() == expected.tobytes()


def test_the_trend_parts_of_many_users_are_those_of_each(rng: np.random.Generator) -> None:
    one, items, trend = _learned_world(rng)
    query = Query(*(np.concatenate([part, 2.0 * part]).astype(np.float32) for part in one))
    trend[3], items.warm[3] = 0.0, False
    found = trend_parts(query, items.warm, trend)
    for b in range(2):
        assert found[b].tobytes() == trend_part(query.of(b), items.warm, trend).tobytes()
    np.testing.assert_array_equal(found[1], 2.0 * found[0])


def test_the_parts_add_up_to_the_score(rng: np.random.Generator) -> None:
    query, items, trend = _world(rng)
    found = parts(query, items, trend)
    whole = score(query, items, trend)
    np.testing.assert_array_equal(found["interest"] + found["trend"], whole)
    more = {**found, "neighbours": np.ones(203, np.float32)}
    np.testing.assert_array_equal(total(more), whole + np.float32(1.0))


@pytest.mark.parametrize("world", [_world, _learned_world])
def test_a_score_does_not_depend_on_which_other_items_there_are(
    rng: np.random.Generator, world: Callable[..., tuple[Query, ItemTable, np.ndarray]]
) -> None:
    query, items, trend = world(rng)
    whole = score(query, items, trend)
    for kept in (np.arange(0, 203, 3), np.array([5]), np.arange(100, 165)):
        part = score(query, items.pick(kept), trend[kept])
        assert part.tobytes() == whole[kept].tobytes()


def test_a_batch_of_queries_scores_as_each_alone(rng: np.random.Generator) -> None:
    vectors = _world(rng)[1].vectors
    for shape in ((5, 19), (5, 2, 19)):
        queries = rng.normal(size=shape).astype(np.float32)
        batch = interest_parts(queries, vectors)
        for row, query in enumerate(queries):
            assert batch[row].tobytes() == interest_part(query, vectors).tobytes()


def test_an_item_without_a_vector_has_no_interest_part(rng: np.random.Generator) -> None:
    query, items, trend = _world(rng)
    items.vectors[7] = 0.0
    assert parts(query, items, trend)["interest"][7] == 0.0


def test_a_query_of_other_dimensions_or_half_lives_is_a_mistake(rng: np.random.Generator) -> None:
    query, items, trend = _world(rng)
    with pytest.raises(ValueError, match="19"):
        interest_part(np.zeros(4, np.float32), items.vectors)
    with pytest.raises(ValueError, match="half-lives"):
        trend_part(query, items.warm, trend[:, :2])


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


def test_what_is_left_of_a_birth_halves_at_each_half_life() -> None:
    born = np.array([-np.inf, 0.0, 90.0, 500.0])
    left = freshness(born, 100.0, (10.0, 100.0))
    expected = [[0.0, 0.0], [2.0**-10, 0.5], [0.5, 2.0**-0.1], [1.0, 1.0]]  # the last is unborn yet
    np.testing.assert_allclose(left, expected, rtol=1e-6)


def test_the_age_of_items_weighs_only_where_it_was_learned(rng: np.random.Generator) -> None:
    query, _, _ = _world(rng)
    born, lives = np.array([-np.inf, 0.0, 90.0]), (10.0, 100.0)
    assert fresh_part(query, born, 100.0, lives) is None
    fresh = query._replace(fresh=np.array([[2.0, -1.0]], np.float32))
    expected = freshness(born, 100.0, lives) @ fresh.fresh[0]
    np.testing.assert_allclose(fresh_part(fresh, born, 100.0, lives), expected, rtol=1e-6)
    assert fresh_part(fresh, np.full(3, -np.inf), 100.0, lives) is None  # no birth is known
