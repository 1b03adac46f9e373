from __future__ import annotations

import numpy as np
import pytest

from recsys.decay.kernels import (
    exponential,
    geometric,
    half_life_from_rate,
    half_life_from_step_rate,
    half_life_weight,
    hyperbolic,
    power_law,
    rate_from_half_life,
    step_rate_from_half_life,
)


def test_golden_numbers_of_the_exponential_kernel() -> None:
    assert 0.8 * float(exponential(1.0, 0.1)) == pytest.approx(0.72387, abs=5e-6)
    assert 0.8 * float(exponential(2.0, 0.1)) == pytest.approx(0.65498, abs=5e-6)


def test_golden_numbers_of_the_geometric_kernel() -> None:
    weights = np.array([1.0, 0.5, 0.3]) * geometric(2, 0.1)
    np.testing.assert_allclose(weights, [0.81, 0.405, 0.243], atol=1e-12)


def test_three_kernels_are_one_in_other_units(rng: np.random.Generator) -> None:
    age_s = rng.uniform(0.0, 1e6, 100)
    native = half_life_weight(age_s, 5_000.0)
    np.testing.assert_allclose(exponential(age_s, rate_from_half_life(5_000.0)), native)
    rate = step_rate_from_half_life(5_000.0, step_s=60.0)
    np.testing.assert_allclose(geometric(age_s / 60.0, rate), native)


def test_conversions_are_inverse_to_each_other() -> None:
    assert half_life_from_rate(rate_from_half_life(123.0)) == pytest.approx(123.0)
    rate = step_rate_from_half_life(7.0 * 86_400.0, step_s=3_600.0)
    assert half_life_from_step_rate(rate, step_s=3_600.0) == pytest.approx(7.0 * 86_400.0)


def test_half_of_the_weight_is_left_where_each_kernel_says() -> None:
    assert float(half_life_weight(30.0, 30.0)) == 0.5
    assert float(hyperbolic(4.0, 0.25)) == 0.5
    assert float(power_law(3.0, scale=1.0, power=0.5)) == 0.5


def test_every_kernel_is_one_at_age_zero_and_never_rises() -> None:
    age = np.geomspace(1e-3, 1e9, 500)
    for kernel in (
        lambda a: half_life_weight(a, 3600.0),
        lambda a: exponential(a, 0.001),
        lambda a: geometric(a, 0.3),
        lambda a: hyperbolic(a, 0.01),
        lambda a: power_law(a, 10.0, 1.5),
    ):
        weights = np.asarray(kernel(np.concatenate([[0.0], age])))
        assert weights[0] == 1.0
        assert np.all(np.diff(weights) <= 0.0)
        assert np.all((weights >= 0.0) & (weights <= 1.0))


def test_ages_and_half_lives_broadcast() -> None:
    weights = half_life_weight(np.array([0.0, 2.0, 4.0])[:, None], np.array([2.0, 4.0]))
    np.testing.assert_allclose(weights, [[1, 1], [0.5, 2**-0.5], [0.25, 0.5]])


@pytest.mark.parametrize("age", [-1.0, np.nan])
def test_an_age_that_is_no_age_is_refused(age: float) -> None:
    with pytest.raises(ValueError, match="at least 0"):
        half_life_weight(age, 1.0)


def test_scales_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="half_life_s"):
        half_life_weight(1.0, 0.0)
    with pytest.raises(ValueError, match="between 0 and 1"):
        geometric(1, 1.0)
    with pytest.raises(ValueError, match="k = "):
        hyperbolic(1.0, -1.0)
    with pytest.raises(ValueError, match="power"):
        power_law(1.0, 1.0, 0.0)
