from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from recsys.interest.model import Banks
from recsys.interest.zero_shot import gaps, is_positive, queries, read_parts, weigh
from recsys.ranking import RankingWeights
from recsys.settings import InterestSettings

SETTINGS = InterestSettings()
NAN = float("nan")


def kinds(*names: str | None) -> Any:
    return np.array(names, dtype=object)


def test_each_kind_weighs_what_the_settings_say() -> None:
    kind = kinds("click", "purchase", "dislike", "skip", "impression", "search", "nonsense", None)
    importance, is_negative = weigh(kind, np.full(8, NAN), SETTINGS)
    np.testing.assert_allclose(importance, [1.0, 2.0, 2.0, 0.3, 0.0, 1.0, 0.0, 0.0], rtol=1e-6)
    assert is_negative.tolist() == [False, False, True, True, False, False, False, False]
    assert importance.dtype == np.float32


def test_a_rating_is_judged_by_its_value() -> None:
    value = np.array([5.0, 3.5, 3.0, 2.6, 2.5, 1.0, NAN])
    importance, is_negative = weigh(kinds(*["rating"] * 7), value, SETTINGS)
    np.testing.assert_allclose(importance, [1.5, 1.5, 0.75, 0.15, 1.0, 1.0, 0.75], rtol=1e-5)
    assert is_negative.tolist() == [False, False, False, False, True, True, False]


def test_the_value_of_other_kinds_does_not_matter() -> None:
    importance, is_negative = weigh(kinds("click", "click"), np.array([1.0, -1e9]), SETTINGS)
    assert importance.tolist() == [1.0, 1.0]
    assert not is_negative.any()


def test_importance_stays_below_its_bound() -> None:
    settings = InterestSettings(importance={"click": 100.0}, max_importance=4.0)
    importance, _ = weigh(kinds("click"), np.array([NAN]), settings)
    assert 3.999 < importance[0] < np.float32(4.0)


def test_right_answers_are_the_positive_kinds_and_good_ratings() -> None:
    kind = kinds("click", "rating", "rating", "rating", "dislike", "impression")
    value = np.array([NAN, 4.0, 3.0, NAN, NAN, NAN])
    some = SETTINGS.model_copy(update={"positive_kinds": ("click", "rating")})
    assert is_positive(kind, value, some).tolist() == [True, True, False, False, False, False]
    none = SETTINGS.model_copy(update={"positive_kinds": ()})
    assert not is_positive(kind, value, none).any()


def test_no_events_are_no_evidence() -> None:
    importance, is_negative = weigh(kinds(), np.zeros(0), SETTINGS)
    assert importance.shape == is_negative.shape == (0,)


def banks(rng: np.random.Generator, n: int = 5, n_dims: int = 8) -> Banks:
    h, hn = len(SETTINGS.half_lives_s), len(SETTINGS.negative_half_lives_s)
    mass = rng.exponential(2.0, (n, h)).astype(np.float32)
    negative_mass = rng.exponential(1.0, (n, hn)).astype(np.float32)
    unit = rng.normal(size=(n, h + hn, n_dims)).astype(np.float32)
    unit /= np.linalg.norm(unit, axis=2, keepdims=True)
    return Banks(
        unit[:, :h] * mass[:, :, None],
        mass,
        unit[:, h:] * negative_mass[:, :, None],
        negative_mass,
        np.full(n, 1.7e9),
    )


def weights(rng: np.random.Generator) -> RankingWeights:
    h, hn = len(SETTINGS.half_lives_s), len(SETTINGS.negative_half_lives_s)
    return RankingWeights(
        rng.random(h).astype(np.float32), rng.random(hn).astype(np.float32), np.ones(1, np.float32)
    )


def test_the_query_is_the_weighted_sum_of_confident_means(rng: np.random.Generator) -> None:
    b, w = banks(rng), weights(rng)
    as_of = 1.7e9 + rng.uniform(0, 1e7, 5)
    gap_s = gaps(b.t_ref, as_of)
    m_0 = SETTINGS.confidence_mass
    good = read_parts(b.sums, b.mass, gap_s, SETTINGS.half_lives_s, m_0)
    bad = read_parts(b.negative_sums, b.negative_mass, gap_s, SETTINGS.negative_half_lives_s, m_0)
    expected = np.einsum("h,bh,bhd->bd", w.interest, good.confidence, good.mean)
    expected -= np.einsum("h,bh,bhd->bd", w.negative, bad.confidence, bad.mean)
    np.testing.assert_allclose(queries(b, as_of, w, SETTINGS), expected, atol=1e-5)


def test_parts_read_what_the_formulas_say() -> None:
    sums, mass = np.full((1, 1, 2), 3.0, np.float32), np.full((1, 1), 4.0, np.float32)
    parts = read_parts(sums, mass, np.array([10.0]), [5.0], confidence_mass=1.0)
    np.testing.assert_allclose(parts.mean, 0.75, rtol=1e-6)
    np.testing.assert_allclose(parts.mass_now, 1.0)
    np.testing.assert_allclose(parts.confidence, 0.5)


def test_the_query_of_a_user_who_is_away_fades(rng: np.random.Generator) -> None:
    b, w = banks(rng)._replace(negative_mass=np.zeros((5, 2), np.float32)), weights(rng)
    b.negative_sums[:] = 0.0
    b.sums[:] = b.sums[:, :1] * (b.mass / b.mass[:, :1])[:, :, None]  # one taste everywhere
    lengths = [
        np.linalg.norm(queries(b, 1.7e9 + gap_s, w, SETTINGS), axis=1)
        for gap_s in (0.0, 3_600.0, 86_400.0, 3e7, 3e9)
    ]
    assert all(np.all(b < a) for a, b in pairwise(lengths))
    assert np.all(lengths[-1] < 1e-6)


def test_a_profile_without_events_has_a_query_of_zeros(rng: np.random.Generator) -> None:
    b = Banks(*(np.zeros_like(a) for a in banks(rng)[:4]), np.full(5, -np.inf))
    assert not queries(b, 1.7e9, weights(rng), SETTINGS).any()


def test_an_as_of_before_the_last_event_counts_as_the_last_event(rng: np.random.Generator) -> None:
    b, w = banks(rng), weights(rng)
    early, exact = (queries(b, t, w, SETTINGS) for t in (1.0e9, 1.7e9))
    np.testing.assert_array_equal(early, exact)


def test_a_users_query_does_not_depend_on_the_others_in_the_batch(
    rng: np.random.Generator,
) -> None:
    b, w = banks(rng, n=50, n_dims=64), weights(rng)
    whole = queries(b, 1.8e9, w, SETTINGS)
    for u in (0, 7, 49):
        alone = queries(Banks(*(a[u : u + 1] for a in b)), 1.8e9, w, SETTINGS)
        assert alone.tobytes() == whole[u : u + 1].tobytes()


def test_negative_evidence_pushes_the_query_away() -> None:
    one = np.ones((1, 1), np.float32)
    settings = InterestSettings(
        half_lives_s=(10.0,), negative_half_lives_s=(10.0,), confidence_mass=1.0
    )
    b = Banks(0 * one[:, :, None], 0 * one, one[:, :, None], one, np.zeros(1))
    w = RankingWeights(one[0], one[0], one[0])
    assert queries(b, 0.0, w, settings)[0, 0] == pytest.approx(-0.5, abs=1e-5)
