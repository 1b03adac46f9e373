"""Laws of forgetting that are no exponential, fitted to a log and made ready to train under.

    hyperbolic   1 / (1 + t / s)               half is left at s
    power_law    (1 + 3 t / s)^(-1/2)          half is left at s

Half of an event is left at the middle (in logarithms) of the log's own half-lives. The law is
followed to a hundredth over the log's span, by as few fixed half-lives as that takes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from recsys.decay.bank import MAX_ERROR, BankKernel, Kernel, fit_bank
from recsys.decay.kernels import hyperbolic, power_law
from recsys.errors import ConfigError
from recsys.interest.mixture import LEAST_MASS
from recsys.settings import Settings
from recsys.training.options import ModelSettings
from recsys.training.surroundings import Surroundings

POWER = 0.5
"""Of the power law."""

_MOST = 40
_SHORTEST = 1.0 / 16.0  # of the seconds after which half is left
_LONGEST_S = 3.2e9
_LEAST_MASS = float(LEAST_MASS)


def _hyperbolic(half_s: float) -> Kernel:
    return lambda age_s: hyperbolic(age_s, 1.0 / half_s)


def _power_law(half_s: float) -> Kernel:
    scale_s = half_s / (2.0 ** (1.0 / POWER) - 1.0)
    return lambda age_s: power_law(age_s, scale_s, POWER)


LAWS: dict[str, Callable[[float], Kernel]] = {"hyperbolic": _hyperbolic, "power_law": _power_law}
"""Name -> the law, given the seconds after which half is left."""


class Mixture(nn.Module):
    """``recsys.interest.mixture.Mixture`` as a part of the network; nothing of it is learned."""

    weights: Tensor

    def __init__(self, bank: BankKernel) -> None:
        super().__init__()
        self.register_buffer("weights", torch.tensor(bank.weights, dtype=torch.float32))

    def importance(self, of_banks: Tensor) -> Tensor:
        """(T, 2n) importance in each half-life, from that (T, 2) in each bank."""
        return (of_banks[:, :, None] * self.weights).flatten(1)

    def as_one(self, sums: Tensor, mass: Tensor, passed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """States of P questions as if each bank had one half-life: see there."""
        now, then = _summed(mass * passed), _summed(mass)
        mean = _summed(sums * passed[..., None]) / now.clamp(min=_LEAST_MASS)[..., None]
        return mean * then[..., None], then, now / then.clamp(min=_LEAST_MASS)


def kernel_bank(log: Surroundings, form: ModelSettings) -> BankKernel | None:
    """The half-lives and weights of a bank under ``model.kernel``; None = they are learned.

    Args:
        log: says when half is forgotten, and for how long the law must hold.
        form: the law, and the fewest half-lives.

    Raises:
        ConfigError: if the law cannot be followed.
    """
    if form.kernel == "exponential":
        return None
    half_s = float(np.exp(np.mean(np.log(log.half_lives_s))))
    return bank_of(form.kernel, half_s, horizon_of(log), form.n_half_lives)


def horizon_of(log: Surroundings) -> float:
    """Seconds for which a law must hold on a log."""
    return max(log.last_ts - log.first_ts, log.half_lives_s[-1])


def bank_of(kernel: str, half_s: float, horizon_s: float, fewest: int) -> BankKernel:
    """A law as a sum of exponentials whose weights add up to 1.

    Args:
        kernel: its name in ``LAWS``.
        half_s: seconds after which half is left.
        horizon_s: seconds over which it is followed, to ``recsys.decay.bank.MAX_ERROR``.
        fewest: half-lives to begin with; those that get no weight are left out.

    Raises:
        ConfigError: if no number of half-lives suffices.
    """
    law = LAWS[kernel](half_s)
    ends = _SHORTEST * half_s, min(2.0 * horizon_s, _LONGEST_S)
    for n in range(max(2, fewest), max(2, fewest) + _MOST):
        lives = np.geomspace(*ends, n)
        found = BankKernel(lives, fit_bank(law, horizon_s, lives.tolist()))
        if found.max_error(law, horizon_s) <= 0.5 * MAX_ERROR:  # scaling to 1 costs as much again
            used = found.weights > 0.0
            return BankKernel(lives[used], found.weights[used] / found.weights.sum())
    raise ConfigError(
        f"model.kernel = {kernel}",
        f"cannot be followed for {horizon_s:g} s where half is left after {half_s:g} s",
        "Use model.kernel=exponential",
    )


def as_banks_of_one(settings: Settings) -> Settings:
    """The settings of what reads a mixture: each bank has one half-life."""
    form = settings.model.model_copy(update={"n_half_lives": 1, "n_negative_half_lives": 1})
    return settings.model_copy(update={"model": form})


def _summed(values: Tensor) -> Tensor:
    """Sums over the half-lives of each of both banks: (P, 2n, ...) to (P, 2, ...)."""
    return values.reshape(len(values), 2, -1, *values.shape[2:]).sum(2)
