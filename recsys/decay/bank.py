"""Kernels that are not recursive, as a non-negative sum of exponentials of a bank of half-lives.

    kernel(t)  ~  sum_h w_h 2^(-t / tau_h)        w_h >= 0

Folding with the bank and reading with the weights costs O(1) per event, whatever the kernel. The
bank's half-lives must span the kernel's time scale and the horizon, a factor of about 4 apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls

from recsys.decay.kernels import half_life_weight

Array = npt.NDArray[np.float64]
Kernel = Callable[[Array], npt.ArrayLike]

MAX_ERROR = 0.01
"""Largest absolute error of a fitted kernel that ``bank_kernel`` accepts."""

_N_GRID = 800
_MAX_ROUNDS = 100  # a half-life: close ones are hard to tell apart


@dataclass(frozen=True)
class BankKernel:
    """A kernel made of exponentials."""

    half_lives_s: Array
    """(H,) seconds."""
    weights: Array
    """(H,) non-negative."""

    def weight(self, age_s: npt.ArrayLike) -> Array:
        """Weights of evidence of ages in seconds, of the same shape."""
        ages = np.asarray(age_s, np.float64)[..., None]
        return np.asarray(half_life_weight(ages, self.half_lives_s) @ self.weights)

    def max_error(self, kernel: Kernel, horizon_s: float) -> float:
        """Largest absolute difference to a kernel over ages in [0, horizon_s], on a dense grid."""
        ages = _grid(horizon_s, float(self.half_lives_s.min()), 10 * _N_GRID)
        return float(np.abs(self.weight(ages) - np.asarray(kernel(ages))).max())


def fit_bank(kernel: Kernel, horizon_s: float, half_lives_s: Sequence[float]) -> Array:
    """Fit a kernel once, by non-negative least squares.

    Args:
        kernel: (A,) ages in seconds -> (A,) weights.
        horizon_s: oldest age at which the kernel matters.
        half_lives_s: H half-lives in seconds.

    Returns:
        (H,) float64 weights, none negative.

    Raises:
        ValueError: if the horizon or a half-life is not positive.
    """
    half_lives = np.asarray(half_lives_s, np.float64)
    if not horizon_s > 0.0:
        raise ValueError(f"horizon_s = {horizon_s} must be positive")
    if len(half_lives) == 0 or not np.all(half_lives > 0.0):
        raise ValueError(f"half_lives_s = {half_lives_s} must be positive")
    ages = _grid(horizon_s, float(half_lives.min()), _N_GRID)
    basis = np.asarray(half_life_weight(ages[:, None], half_lives))
    target = np.asarray(kernel(ages), np.float64)
    weights, _ = nnls(basis, target, maxiter=_MAX_ROUNDS * len(half_lives))
    return np.asarray(weights)


def bank_kernel(
    kernel: Kernel, horizon_s: float, half_lives_s: Sequence[float], max_error: float = MAX_ERROR
) -> BankKernel:
    """Fit a kernel and check the fit.

    Raises:
        ValueError: if the bank cannot follow the kernel to ``max_error`` over the horizon.
    """
    fitted = BankKernel(
        np.asarray(half_lives_s, np.float64), fit_bank(kernel, horizon_s, half_lives_s)
    )
    error = fitted.max_error(kernel, horizon_s)
    if error > max_error:
        raise ValueError(
            f"{len(half_lives_s)} half-lives follow the kernel to {error:.4f} only, not "
            f"{max_error}: let them reach from a tenth of the kernel's time scale to several "
            f"horizons ({horizon_s:g} s), a factor of 4 apart"
        )
    return fitted


def _grid(horizon_s: float, shortest_s: float, n: int) -> Array:
    """Ages from 0 to the horizon, even in log scale from a small part of the shortest on."""
    first = min(shortest_s, horizon_s) / 100.0
    return np.concatenate([[0.0], np.geomspace(first, horizon_s, n)])
