"""freshness and fatigue, the seen filter, and draws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recsys.reranking.fatigue import Fatigue, unanswered
from recsys.reranking.freshness import Freshness
from recsys.reranking.options import FatigueSettings, FreshnessSettings, SampleSettings
from recsys.reranking.sample import Sample
from recsys.reranking.seen import still_seen
from recsys.shelf import Evidence
from tests.unit.reranking.worlds import DAY, NOW, asked_of, ranked_of, shelf_of


def test_youth_lifts_so_much_at_most_and_halves(rng: np.random.Generator) -> None:
    shelf, ranked = shelf_of(rng), ranked_of(rng, 60)
    shelf.catalog.available_from[:3] = [NOW, NOW - DAY, -np.inf]
    options = FreshnessSettings(lift=2.0, half_life_s=DAY)
    lifted = Freshness(options).apply(ranked, asked_of(shelf), 10)
    gained = dict(zip(lifted.rows.tolist(), lifted.parts["freshness"].tolist(), strict=True))
    most = 2.0 * ranked.scores.std()
    assert [gained[row] for row in range(3)] == pytest.approx([most, most / 2, 0.0], rel=1e-5)
    assert max(gained.values()) <= most * 1.00001
    assert np.all(np.diff(lifted.scores) <= 0)


def test_impressions_count_until_the_user_acts(rng: np.random.Generator) -> None:
    evidence = Evidence(
        shelf_of(rng).nobody,
        recent_item=np.array([5, 7, 9]),
        recent_ts=np.array([NOW - 2 * DAY, NOW - DAY, NOW - DAY]),
        recent_importance=np.array([1.0, 0.0, 1.0]),
        recent_kind=np.array(["click", "impression", "click"], object),
        shown_item=np.array([5, 5, 9, 3, -1, 44]),
        shown_ts=NOW - DAY * np.array([3.0, 1.0, 1.0, 0.0, 0.0, 0.0]),
    )
    found = unanswered(evidence, np.array([9, 3, 5, 7, 1]), NOW, half_life_s=DAY)
    assert found.tolist() == pytest.approx([0.0, 1.0, 0.5, 0.5, 0.0])


def test_fatigue_takes_lambda_for_each_unanswered_impression(rng: np.random.Generator) -> None:
    shelf, ranked = shelf_of(rng), ranked_of(rng, 60)
    best = int(ranked.rows[0])
    shown = replace(
        Evidence(shelf.nobody), shown_item=np.array([best] * 3), shown_ts=np.full(3, NOW)
    )
    asked = asked_of(shelf, shown)
    assert Fatigue(FatigueSettings()).apply(ranked, asked, 10) is ranked
    tired = Fatigue(FatigueSettings(discount=100.0)).apply(ranked, asked, 10)
    assert tired.rows[-1] == best and tired.rows[0] == ranked.rows[1]
    assert tired.parts["fatigue"][-1] == pytest.approx(-300.0)


def test_seen_items_come_back_after_their_cooldown(rng: np.random.Generator) -> None:
    evidence = Evidence(
        shelf_of(rng).nobody,
        recent_item=np.array([1, 2, 1]),
        recent_ts=np.array([NOW - DAY, NOW - 3 * DAY, NOW - 9 * DAY]),
        seen=np.array([1, 2, 3]),  # 3 was touched before all of these
    )
    assert still_seen(evidence, NOW).tolist() == [1, 2, 3]
    assert still_seen(evidence, NOW, 2 * DAY).tolist() == [1]
    assert still_seen(evidence, NOW, 8 * DAY).tolist() == [1, 2]
    assert still_seen(evidence, NOW, 10 * DAY).tolist() == [1, 2, 3]
    alone = Evidence(evidence.query, seen=np.array([3]))
    assert still_seen(alone, NOW, DAY).tolist() == [3]  # nobody knows when


def test_draws_have_the_probabilities_that_go_out_with_them(rng: np.random.Generator) -> None:
    shelf, ranked = shelf_of(rng), ranked_of(rng, 60, 5)
    step = Sample(SampleSettings(temperature=0.7))
    first, pair, told = np.zeros(5), np.zeros((5, 5)), np.full((5, 5), np.nan)
    place_of = {row: place for place, row in enumerate(ranked.rows.tolist())}
    n, asked = 8_000, asked_of(shelf)
    for seed in range(n):
        drawn = step.apply(ranked, replace(asked, seed=seed), 2)
        a, b = (place_of[row] for row in drawn.rows.tolist())
        assert drawn.log_propensity is not None
        first[a] += 1
        pair[a, b] += 1
        told[a, b] = np.exp(drawn.log_propensity.sum())
    scores = ranked.scores.astype(np.float64)
    logits = np.exp(scores / (0.7 * scores.std()))
    np.testing.assert_allclose(first / n, logits / logits.sum(), atol=0.02)
    assert np.nansum(told) == pytest.approx(1.0, abs=1e-6)
    np.testing.assert_allclose(pair / n, np.nan_to_num(told), atol=0.02)


def test_a_seed_draws_the_same_slate_again(rng: np.random.Generator) -> None:
    shelf, ranked = shelf_of(rng), ranked_of(rng, 60)
    step = Sample(SampleSettings(temperature=1.0))
    asked = asked_of(shelf, seed=2**127 + 1)
    once, again = step.apply(ranked, asked, 10), step.apply(ranked, asked, 10)
    np.testing.assert_array_equal(once.rows, again.rows)
    other = step.apply(ranked, asked_of(shelf, seed=4), 10)
    assert once.rows.tolist() != other.rows.tolist()


def test_a_cold_draw_is_the_ranking(rng: np.random.Generator) -> None:
    ranked = ranked_of(rng, 60)
    drawn = Sample(SampleSettings(temperature=1e-9)).apply(ranked, asked_of(shelf_of(rng)), 10)
    np.testing.assert_array_equal(drawn.rows, ranked.rows[:10])
    assert drawn.log_propensity == pytest.approx(np.zeros(10))
