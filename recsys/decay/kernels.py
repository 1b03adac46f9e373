"""Kernels: how much evidence still weighs at an age, 1 at age 0 and never rising.

    half-life    2^(-t / tau)           exponential  e^(-lambda t)        geometric  (1 - r)^n
    hyperbolic   1 / (1 + k t)          power law    (1 + t / s)^(-p)

The first three are one kernel in other units, and the only ones that merge in O(1) memory. The last
two are approximated by a sum of exponentials (``recsys.decay.bank``). All work on scalars and
arrays alike. A *learned* kernel is a bank whose half-lives and weights are a model's parameters.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Weights = npt.NDArray[np.float64] | np.float64


def half_life_weight(age_s: npt.ArrayLike, half_life_s: npt.ArrayLike) -> Weights:
    """Weight of evidence that halves every ``half_life_s``.

    Args:
        age_s: seconds since the event; never negative.
        half_life_s: seconds; positive. Broadcast against ``age_s``.

    Returns:
        Numbers in [0, 1]; 1.0 at age 0.

    Raises:
        ValueError: if an age is negative or a half-life is not positive.

    >>> float(half_life_weight(3600.0, half_life_s=3600.0))
    0.5
    """
    half_life = _positive("half_life_s", half_life_s)
    return np.exp2(-_ages("age_s", age_s) / half_life)


def exponential(age: npt.ArrayLike, rate: npt.ArrayLike) -> Weights:
    """``e^(-rate * age)``; ``rate`` is per unit of ``age``.

    Raises:
        ValueError: if an age is negative or a rate is not positive.

    >>> round(0.8 * float(exponential(1.0, 0.1)), 5)
    0.72387
    """
    return np.exp(-_ages("age", age) * _positive("rate", rate))


def geometric(n_steps: npt.ArrayLike, rate: npt.ArrayLike) -> Weights:
    """``(1 - rate)^n_steps``: the share ``rate`` is lost in each step.

    Raises:
        ValueError: if a step count is negative or a rate is not in (0, 1).

    >>> round(0.5 * float(geometric(2, 0.1)), 3)
    0.405
    """
    return np.power(1.0 - _share("rate", rate), _ages("n_steps", n_steps))


def hyperbolic(age: npt.ArrayLike, k: npt.ArrayLike) -> Weights:
    """``1 / (1 + k * age)``; ``k`` is per unit of ``age``: half the weight is left at ``1 / k``.

    Raises:
        ValueError: if an age is negative or ``k`` is not positive.

    >>> float(hyperbolic(10.0, 0.1))
    0.5
    """
    return np.asarray(1.0 / (1.0 + _ages("age", age) * _positive("k", k)))[()]


def power_law(age: npt.ArrayLike, scale: npt.ArrayLike, power: npt.ArrayLike) -> Weights:
    """``(1 + age / scale)^(-power)``; ``scale`` is in units of ``age``.

    Raises:
        ValueError: if an age is negative, or scale or power is not positive.

    >>> float(power_law(3.0, scale=1.0, power=0.5))
    0.5
    """
    base = 1.0 + _ages("age", age) / _positive("scale", scale)
    return np.power(base, -_positive("power", power))


def half_life_from_rate(rate: float) -> float:
    """Half-life, in units of age, of ``exponential`` with ``rate``.

    >>> round(half_life_from_rate(0.1), 4)
    6.9315
    """
    return math.log(2.0) / float(_positive("rate", rate))


def rate_from_half_life(half_life: float) -> float:
    """Rate of ``exponential`` with a half-life; the inverse of ``half_life_from_rate``."""
    return math.log(2.0) / float(_positive("half_life", half_life))


def half_life_from_step_rate(rate: float, step_s: float) -> float:
    """Half-life in seconds of ``geometric`` with one step every ``step_s`` seconds.

    >>> half_life_from_step_rate(0.5, step_s=60.0)
    60.0
    """
    lost = -math.log1p(-float(_share("rate", rate)))
    return float(_positive("step_s", step_s)) * math.log(2.0) / lost


def step_rate_from_half_life(half_life_s: float, step_s: float) -> float:
    """Rate of ``geometric`` per step; the inverse of ``half_life_from_step_rate``."""
    steps = float(_positive("step_s", step_s)) / float(_positive("half_life_s", half_life_s))
    return -math.expm1(-math.log(2.0) * steps)


def _ages(name: str, values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    ages = np.asarray(values, np.float64)
    if not np.all(ages >= 0.0):
        raise ValueError(f"{name} = {values!r} must be at least 0")
    return ages


def _positive(name: str, values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    numbers = np.asarray(values, np.float64)
    if not np.all(numbers > 0.0):
        raise ValueError(f"{name} = {values!r} must be positive")
    return numbers


def _share(name: str, values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    shares = np.asarray(values, np.float64)
    if not np.all((shares > 0.0) & (shares < 1.0)):
        raise ValueError(f"{name} = {values!r} must be between 0 and 1")
    return shares
