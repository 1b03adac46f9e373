"""mmr and dpp."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from recsys.interest.model import ItemTable
from recsys.reranking.base import relevance
from recsys.reranking.dpp import Dpp, dpp_order
from recsys.reranking.mmr import Mmr, mmr_order
from recsys.reranking.options import DppSettings, MmrSettings
from tests.unit.reranking.worlds import asked_of, cosines, ranked_of, shelf_of


def unit(rng: np.random.Generator, n: int, n_dims: int = 5) -> np.ndarray:
    found = rng.normal(size=(n, n_dims)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def test_mmr_is_the_obvious_greedy_choice(rng: np.random.Generator) -> None:
    for _ in range(20):
        vectors, rel = unit(rng, 12), np.sort(rng.random(12))[::-1].copy()
        likeness, chosen = cosines(vectors), [0]
        while len(chosen) < 6:
            left = [i for i in range(12) if i not in chosen]
            value = [0.6 * rel[i] - 0.4 * likeness[i, chosen].max() for i in left]
            chosen.append(left[int(np.argmax(value))])
        assert mmr_order(rel, vectors, 6, 0.4).tolist() == chosen


@pytest.mark.parametrize("d", [0.2, 0.5, 0.9])
def test_dpp_is_the_greedy_choice_of_the_largest_determinant(
    rng: np.random.Generator, d: float
) -> None:
    for _ in range(10):
        vectors, rel = unit(rng, 10), np.sort(rng.random(10))[::-1].copy()
        quality = np.exp(rel * (1 - d) / (2 * d))
        kernel = quality[:, None] * (0.5 + 0.5 * cosines(vectors)) * quality
        chosen: list[int] = []
        while len(chosen) < 5:
            left = [i for i in range(10) if i not in chosen]
            dets = [np.linalg.det(kernel[np.ix_([*chosen, i], [*chosen, i])]) for i in left]
            chosen.append(left[int(np.argmax(dets))])
        assert dpp_order(rel, vectors, 5, d).tolist() == chosen


def test_dpp_takes_no_item_that_says_nothing_new(rng: np.random.Generator) -> None:
    vectors = np.repeat(unit(rng, 3), 4, axis=0)
    assert sorted(dpp_order(np.linspace(1, 0, 12), vectors, 10, 0.5) // 4) == [0, 1, 2]


@pytest.mark.parametrize("step", [Mmr(MmrSettings(diversity=0.9)), Dpp(DppSettings(diversity=0.9))])
def test_the_request_sets_the_trade_off(rng: np.random.Generator, step: Mmr | Dpp) -> None:
    shelf = shelf_of(rng)
    topic = rng.integers(0, 6, 60)
    near = shelf.items.vectors[topic] + 0.2 * shelf.items.vectors
    shelf = replace(shelf, items=ItemTable.all_warm(near))
    ranked = ranked_of(rng, 60)
    ranked = ranked.with_part("taste", np.float32(3) * (topic[ranked.rows] == 0))
    plain = step.apply(ranked, asked_of(shelf, diversity=0.0), 10)
    np.testing.assert_array_equal(plain.rows, ranked.rows)
    unlike = []
    for d in (0.0, 0.3, 0.8, 1.0):
        rows = step.apply(ranked, asked_of(shelf, diversity=d), 10).rows[:10]
        likeness = cosines(shelf.items.directions[rows])
        unlike.append(1 - (likeness.sum() - 10) / 90)
    assert all(a < b + 0.05 for a, b in pairwise(unlike)) and unlike[-1] > unlike[0] + 0.3


def test_a_step_after_another_keeps_its_order_where_it_has_no_wish(
    rng: np.random.Generator,
) -> None:
    shelf, ranked = shelf_of(rng), ranked_of(rng, 60)
    diverse = Mmr(MmrSettings(diversity=0.8)).apply(ranked, asked_of(shelf), 10)
    again = Mmr(MmrSettings(diversity=0.0)).apply(diverse, asked_of(shelf), 10)
    np.testing.assert_array_equal(again.rows, diverse.rows)
    assert relevance(diverse)[0] == 1.0


def test_items_of_which_nothing_is_known_have_a_place_too(rng: np.random.Generator) -> None:
    vectors = np.zeros((4, 5), np.float32)
    assert sorted(mmr_order(np.linspace(1, 0, 4), vectors, 4, 0.5)) == [0, 1, 2, 3]
    assert sorted(dpp_order(np.linspace(1, 0, 4), vectors, 4, 0.5)) == [0, 1, 2, 3]
