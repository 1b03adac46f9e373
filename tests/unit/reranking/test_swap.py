"""swap: variety for a stated price."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recsys.reranking.options import SwapSettings
from recsys.reranking.swap import Swap, chances, swapped
from tests.unit.reranking.worlds import asked_of, cosines, evidence_of, ranked_of, shelf_of


def world(rng: np.random.Generator, n: int = 40) -> tuple[np.ndarray, np.ndarray]:
    vectors = rng.normal(size=(n, 4)).astype(np.float32) + np.float32(0.7)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.sort(rng.dirichlet(np.full(n, 0.5)))[::-1].copy(), vectors


def worth(chance: np.ndarray, chosen: np.ndarray) -> float:
    return float((np.sort(chance[chosen])[::-1] / np.log2(2 + np.arange(len(chosen)))).sum())


def likeness(vectors: np.ndarray, chosen: np.ndarray) -> float:
    found = cosines(vectors[chosen])
    return float(found[np.triu_indices(len(chosen), 1)].mean())


@pytest.mark.parametrize("cost", [0.0, 0.01, 0.1, 1.0])
def test_variety_rises_and_never_for_more_than_its_price(
    rng: np.random.Generator, cost: float
) -> None:
    changed = 0
    for _ in range(30):
        chance, vectors = world(rng)
        chosen, first = swapped(chance, vectors, 6, cost), np.arange(6)
        assert len(set(chosen.tolist())) == 6 and np.all(np.diff(chosen) > 0)
        assert worth(chance, chosen) >= (1 - cost) * worth(chance, first) - 1e-12
        assert likeness(vectors, chosen) <= likeness(vectors, first) + 1e-9
        changed += not np.array_equal(chosen, first)
    assert changed == 0 if cost == 0.0 else changed > 5


def test_no_single_swap_is_left_that_the_price_allows(rng: np.random.Generator) -> None:
    for _ in range(5):
        chance, vectors = world(rng, 20)
        chosen = swapped(chance, vectors, 5, 0.05)
        floor = 0.95 * worth(chance, np.arange(5))
        for out in range(5):
            for i in sorted(set(range(20)) - set(chosen.tolist())):
                other = np.append(np.delete(chosen, out), i)
                is_better = likeness(vectors, other) < likeness(vectors, chosen) - 1e-6
                assert not (is_better and worth(chance, other) >= floor + 1e-9)


def test_the_request_sets_the_price_and_the_order_stays_the_ranking(
    rng: np.random.Generator,
) -> None:
    shelf = shelf_of(rng)
    ranked, asked = ranked_of(rng, 60, 60), asked_of(shelf, evidence_of(shelf, rng))
    step = Swap(SwapSettings(cost=0.0))
    kept = step.apply(ranked, asked, 8)
    assert kept.rows[:8].tolist() == ranked.rows[:8].tolist()
    varied = step.apply(ranked, replace(asked, diversity=0.5), 8)
    place = {row: n for n, row in enumerate(ranked.rows.tolist())}
    shown = [place[row] for row in varied.rows[:8].tolist()]
    assert shown == sorted(shown) and shown != list(range(8))


def test_calibrated_chances_are_taken_where_there_are_any(rng: np.random.Generator) -> None:
    ranked = ranked_of(rng, 60, 60)
    assert chances(ranked).sum() == pytest.approx(1.0)
    told = np.linspace(0.3, 0.1, len(ranked)).astype(np.float32)
    np.testing.assert_array_equal(chances(replace(ranked, probability=told)), told)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_items_stay(rng: np.random.Generator, n: int) -> None:
    shelf = shelf_of(rng)
    ranked, asked = ranked_of(rng, 60, n), asked_of(shelf, evidence_of(shelf, rng))
    found = Swap(SwapSettings(cost=1.0)).apply(ranked, asked, 8)
    assert found.rows.tolist() == ranked.rows.tolist()
