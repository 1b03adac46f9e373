from __future__ import annotations

import numpy as np

from recsys.evaluation.ranks import ranks_of
from recsys.ranking import top_k


def test_ranks_are_places_in_a_stable_sort_of_the_candidates(rng: np.random.Generator) -> None:
    for _ in range(50):
        scores = rng.integers(0, 6, 80).astype(np.float32)  # many ties
        allowed = rng.random(80) < 0.7
        candidates = np.flatnonzero(allowed)
        order = candidates[np.argsort(-scores[candidates], kind="stable")]
        target = rng.choice(candidates, 6, replace=False)
        expected = [int(np.flatnonzero(order == t)[0]) for t in target]
        assert ranks_of(scores, allowed, target).tolist() == expected


def test_a_rank_is_the_place_in_the_slate(rng: np.random.Generator) -> None:
    scores, allowed = rng.normal(size=50).astype(np.float32), np.ones(50, bool)
    slate = top_k(scores, allowed, 50)
    assert ranks_of(scores, allowed, slate[[4, 0, 9]]).tolist() == [4, 0, 9]


def test_a_right_answer_that_is_no_candidate_stands_last() -> None:
    allowed = np.array([True, False, True, False])
    found = ranks_of(np.array([1.0, 9.0, 2.0, 5.0]), allowed, np.array([1, 0, 3]))
    assert sorted(found.tolist()) == [1, 2, 3]
    assert found[1] == 1


def test_without_right_answers_there_are_no_ranks() -> None:
    assert len(ranks_of(np.ones(3), np.ones(3, bool), np.zeros(0, np.int64))) == 0
