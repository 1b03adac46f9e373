from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from recsys.decay.bank import BankKernel, bank_kernel, fit_bank
from recsys.decay.kernels import half_life_weight, hyperbolic, power_law
from recsys.settings import DAY_S, InterestSettings

BANK = InterestSettings().half_lives_s

KERNELS: dict[str, Callable[[Any], Any]] = {
    "hyperbolic, half after 1 day": lambda age_s: hyperbolic(age_s, 1 / DAY_S),
    "hyperbolic, half after 7 days": lambda age_s: hyperbolic(age_s, 1 / (7 * DAY_S)),
    "hyperbolic, half after 30 days": lambda age_s: hyperbolic(age_s, 1 / (30 * DAY_S)),
    "power law, 1 day, 0.5": lambda age_s: power_law(age_s, DAY_S, 0.5),
    "power law, 1 day, 1": lambda age_s: power_law(age_s, DAY_S, 1.0),
    "power law, 7 days, 2": lambda age_s: power_law(age_s, 7 * DAY_S, 2.0),
}


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("horizon_days", [30, 365, 730])
def test_the_default_bank_follows_the_kernel_to_a_hundredth(name: str, horizon_days: int) -> None:
    horizon_s = horizon_days * DAY_S
    fitted = bank_kernel(KERNELS[name], horizon_s, BANK)
    ages = np.linspace(0.0, horizon_s, 100_001)
    assert np.abs(fitted.weight(ages) - KERNELS[name](ages)).max() <= 0.01
    assert np.all(fitted.weights >= 0.0)


def test_a_kernel_of_the_bank_is_found_again() -> None:
    weights = fit_bank(lambda age_s: half_life_weight(age_s, DAY_S), 90 * DAY_S, BANK)
    expected = [float(half_life == DAY_S) for half_life in BANK]
    np.testing.assert_allclose(weights, expected, atol=1e-9)


def test_a_bank_that_cannot_follow_is_refused_with_its_error() -> None:
    with pytest.raises(ValueError, match="1 half-lives follow the kernel to 0"):
        bank_kernel(KERNELS["power law, 1 day, 1"], 365 * DAY_S, [DAY_S])


def test_weights_keep_the_shape_of_the_ages() -> None:
    kernel = BankKernel(np.array([1.0, 2.0]), np.array([0.25, 0.75]))
    assert kernel.weight(np.zeros((3, 4))).shape == (3, 4)
    assert float(kernel.weight(2.0)) == pytest.approx(0.25 * 0.25 + 0.75 * 0.5)


def test_a_horizon_or_half_life_that_is_not_positive_is_refused() -> None:
    with pytest.raises(ValueError, match="horizon_s"):
        fit_bank(np.exp, 0.0, BANK)
    with pytest.raises(ValueError, match="half_lives_s"):
        fit_bank(np.exp, 1.0, [0.0])
