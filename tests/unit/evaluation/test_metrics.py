from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import ndcg_score, roc_auc_score

from recsys.evaluation import metrics
from recsys.evaluation.ranks import ranks_of

K = 5


def _slow(scores: np.ndarray, right: np.ndarray) -> dict[str, float]:
    """Every metric of one query, spelled out."""
    order = np.argsort(-scores, kind="stable")
    rel = right[order].astype(float)
    n = int(rel.sum())
    hits = rel[:K].sum()
    precision, recall = hits / K, hits / n
    ideal = sum(1 / np.log2(i + 2) for i in range(min(K, n)))
    return {
        "ndcg": sum(rel[i] / np.log2(i + 2) for i in range(K)) / ideal,
        "hit_rate": float(hits > 0),
        "recall": recall,
        "precision": precision,
        "f1": 2 * precision * recall / (precision + recall) if hits else 0.0,
        "mrr": next((1 / (i + 1) for i in range(K) if rel[i]), 0.0),
        "map": sum(rel[: i + 1].mean() for i in range(K) if rel[i]) / min(K, n),
        "auc": float(roc_auc_score(right, scores)),
    }


def test_every_metric_is_what_its_definition_says(rng: np.random.Generator) -> None:
    ranks, bounds, expected, everything = [], [0], [], np.ones(40, bool)
    for _ in range(60):
        scores = rng.normal(size=40).astype(np.float32)
        target = np.sort(rng.choice(40, rng.integers(1, 9), replace=False))
        ranks.append(ranks_of(scores, everything, target))
        bounds.append(bounds[-1] + len(target))
        expected.append(_slow(scores, np.isin(np.arange(40), target)))
    found = metrics.accuracy(np.concatenate(ranks), np.array(bounds), np.full(60, 40), K)
    assert tuple(found) == metrics.ACCURACY
    for name, values in found.items():
        np.testing.assert_allclose(values, [row[name] for row in expected], atol=1e-12)


def test_ndcg_agrees_with_scikit_learn(rng: np.random.Generator) -> None:
    scores = rng.normal(size=30)
    target = np.array([3, 8, 21])
    ranks = ranks_of(scores, np.ones(30, bool), target)
    found = metrics.accuracy(ranks, np.array([0, 3]), np.array([30]), 10)["ndcg"][0]
    right = np.isin(np.arange(30), target).astype(float)
    assert found == pytest.approx(ndcg_score([right], [scores], k=10))


def test_the_order_of_the_right_answers_does_not_matter() -> None:
    one = metrics.accuracy(np.array([0, 7, 3]), np.array([0, 3]), np.array([20]), K)
    two = metrics.accuracy(np.array([3, 0, 7]), np.array([0, 3]), np.array([20]), K)
    assert {k: v[0] for k, v in one.items()} == {k: v[0] for k, v in two.items()}


def test_a_perfect_answer_scores_one() -> None:
    found = metrics.accuracy(np.array([0, 1]), np.array([0, 2]), np.array([9]), K)
    assert all(found[name][0] == 1.0 for name in ("ndcg", "hit_rate", "recall", "mrr", "map"))
    assert found["auc"][0] == 1.0


def test_auc_without_any_wrong_answer_is_a_coin_toss() -> None:
    assert metrics.accuracy(np.array([0]), np.array([0, 1]), np.array([1]), K)["auc"][0] == 0.5


def test_coverage_counts_distinct_items_and_passes_over_empty_places() -> None:
    assert metrics.coverage(np.array([[0, 1, -1], [1, 0, 2]]), 6) == 0.5


def test_gini_is_zero_when_all_items_are_shown_alike_and_high_when_one_is() -> None:
    assert metrics.gini(np.arange(10).reshape(2, 5), 10) == pytest.approx(0.0)
    assert metrics.gini(np.zeros((4, 5), int), 10) == pytest.approx(0.9)
    assert metrics.gini(np.full((2, 2), -1), 10) == 0.0


def test_gini_is_the_mean_difference_of_all_pairs(rng: np.random.Generator) -> None:
    lists = rng.integers(0, 12, (30, 4))
    counts = np.bincount(lists.ravel(), minlength=12)
    pairs = np.abs(counts[:, None] - counts[None, :]).sum()
    assert metrics.gini(lists, 12) == pytest.approx(pairs / (2 * 12 * counts.sum()))


def test_novelty_is_the_mean_surprise_of_what_is_shown() -> None:
    popularity = np.array([7, 0, 0, 0])  # with one added each: 8, 1, 1, 1 of 11
    found = metrics.novelty(np.array([[0, 1], [0, -1]]), popularity)
    assert found == pytest.approx(-(2 * np.log2(8 / 11) + np.log2(1 / 11)) / 3)


def test_diversity_is_the_mean_distance_of_all_pairs_in_a_slate(rng: np.random.Generator) -> None:
    vectors = rng.normal(size=(20, 6))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[4] = 0.0  # no text: passed over
    lists = np.array([[1, 2, 3], [4, 5, 6], [7, -1, 8]])
    pairs = [(1, 2), (1, 3), (2, 3), (5, 6), (7, 8)]
    expected = np.mean([1 - vectors[a] @ vectors[b] for a, b in pairs])
    assert metrics.diversity(lists, vectors) == pytest.approx(expected)


def test_rating_errors() -> None:
    predicted, observed = np.array([1.0, 2.0, 3.0]), np.array([1.0, 4.0, 3.0])
    assert metrics.rmse(predicted, observed) == pytest.approx(np.sqrt(4 / 3))
    assert metrics.mae(predicted, observed) == pytest.approx(2 / 3)
    assert np.isnan(metrics.rmse(np.zeros(0), np.zeros(0)))
    assert np.isnan(metrics.mae(np.zeros(0), np.zeros(0)))
