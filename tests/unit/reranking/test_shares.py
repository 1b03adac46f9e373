"""caps and calibrate: what a slate is made of."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from recsys.reranking.base import Ranked
from recsys.reranking.calibrate import Calibrate, calibrated_order, divergence, proportions
from recsys.reranking.caps import Caps
from recsys.reranking.options import CalibrateSettings, CapsSettings
from recsys.shelf import Evidence, Shelf
from tests.unit.reranking.worlds import DAY, NOW, asked_of, evidence_of, ranked_of, shelf_of


def shares(shelf: Shelf, rows: np.ndarray) -> np.ndarray:
    """(C,) of a slate, by hand."""
    found = np.zeros(len(shelf.category_names))
    for row in rows:
        names = shelf.catalog.categories[row]
        for name in names:
            found[shelf.category_names.index(name)] += 1 / len(names) / len(rows)
    return found


@pytest.mark.parametrize("most", [1, 2, 5])
def test_caps_hold_and_the_best_of_each_kind_stay(rng: np.random.Generator, most: int) -> None:
    shelf = shelf_of(rng)
    ranked = ranked_of(rng, 60)
    options = CapsSettings(per_category=most, per_provider=most, provider="brand")
    kept = Caps(options).apply(ranked, asked_of(shelf), 10)
    rows = kept.rows.tolist()
    kinds = Counter(name for row in rows for name in shelf.catalog.categories[row])
    brands = Counter(shelf.catalog.attributes[row].get("brand") for row in rows)
    brands.pop(None, None)
    assert max(kinds.values()) <= most and max(brands.values()) <= most
    order = [row for row in ranked.rows.tolist() if row in rows]
    assert rows == order and rows[0] == ranked.rows[0]
    assert kept.notes == (f"{60 - len(rows)} are over the caps of categories or providers",)


def test_no_cap_and_unknown_attributes_change_nothing(rng: np.random.Generator) -> None:
    shelf, ranked = shelf_of(rng), ranked_of(rng, 60)
    for options in (CapsSettings(), CapsSettings(per_provider=1, provider="nothing")):
        assert Caps(options).apply(ranked, asked_of(shelf), 10) is ranked


def test_proportions_are_decayed_shares_of_the_good_events(rng: np.random.Generator) -> None:
    shelf = shelf_of(rng)
    names = shelf.catalog.categories
    one = next(i for i in range(60) if len(names[i]) == 1)
    two = next(i for i in range(60) if len(names[i]) == 2 and not {*names[i]} & {*names[one]})
    evidence = Evidence(
        shelf.nobody,
        recent_item=np.array([one, two, -1, two]),
        recent_ts=np.array([NOW, NOW - DAY, NOW, NOW]),
        recent_importance=np.array([1.0, 2.0, 9.0, -1.0]),
    )
    found = proportions(shelf, evidence, NOW, half_life_s=DAY)
    position = shelf.category_names.index
    assert found[position(names[one][0])] == pytest.approx(0.5)
    assert [found[position(name)] for name in names[two]] == pytest.approx([0.25, 0.25])


def test_calibration_is_the_obvious_greedy_choice(rng: np.random.Generator) -> None:
    shelf = shelf_of(rng, n=15)
    wanted = rng.dirichlet(np.ones(len(shelf.category_names)))
    rel, chosen = np.linspace(1, 0, 15), []
    while len(chosen) < 6:
        left = [i for i in range(15) if i not in chosen]
        kl = [divergence(wanted, shares(shelf, np.array([*chosen, i])), 0.01) for i in left]
        chosen.append(left[int(np.argmax(0.4 * rel[left] - 0.6 * np.array(kl)))])
    runs = (np.arange(15), *shelf.category_runs)
    assert calibrated_order(rel, runs, wanted, 6, (0.6, 0.01)).tolist() == chosen


def test_the_divergence_from_the_users_proportions_falls(rng: np.random.Generator) -> None:
    before, after = [], []
    for _ in range(30):
        shelf = shelf_of(rng)
        evidence = evidence_of(shelf, rng)
        ranked, asked = ranked_of(rng, 60), asked_of(shelf, evidence)
        options = CalibrateSettings(weight=0.9)
        wanted = proportions(shelf, evidence, NOW, options.half_life_s)

        def told(order: Ranked, shelf: Shelf = shelf, wanted: np.ndarray = wanted) -> float:
            return divergence(wanted, shares(shelf, order.rows[:10]), 0.01)

        before.append(told(ranked))
        after.append(told(Calibrate(options).apply(ranked, asked, 10)))
    assert all(b <= a + 1e-9 for a, b in zip(before, after, strict=True))
    assert np.mean(after) < 0.3 * np.mean(before)


def test_nothing_is_calibrated_for_somebody_unknown(rng: np.random.Generator) -> None:
    ranked = ranked_of(rng, 60)
    step = Calibrate(CalibrateSettings(weight=1.0))
    assert step.apply(ranked, asked_of(shelf_of(rng)), 10) is ranked
