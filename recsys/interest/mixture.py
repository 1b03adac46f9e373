"""A law of forgetting that is no exponential, as it is folded and read.

    law(t)     ~  sum_h w_h 2^(-t / tau_h)                        fixed half-lives and weights
    a_jh       =  w_h a_j                                         one importance for each bank
    S, mass(t) =  sum_h 2^(-gap / tau_h) (S_h, mass_h)            one taste for each bank

So the fold stays the one additive fold, at any number of half-lives; what reads a state sees each
bank as if it had one half-life that forgets by that law.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

LEAST_MASS = np.float32(1e-12)
"""Mass below which a taste is none: it keeps quotients finite."""
LEAST_LEFT = 1e-30
"""Share of a mass that counts as the least that can be left."""


@dataclass(frozen=True)
class Mixture:
    """The law of both banks, that of positive and that of negative evidence."""

    weights: Floats
    """(n,) of the half-lives of a bank; their sum is 1."""

    def importance(self, of_banks: Floats) -> Floats:
        """(T, 2n) importance in each half-life, from that (T, 2) in each bank."""
        spread: Floats = of_banks[:, :, None] * self.weights
        return spread.reshape(len(of_banks), -1)

    def as_one(self, sums: Floats, mass: Floats, passed: Floats) -> tuple[Floats, Floats, Floats]:
        """States of B users as if each bank had one half-life.

        Args:
            sums: (B, 2n, D) as of the last event.
            mass: (B, 2n) as of the last event.
            passed: (B, 2n) share of each half-life that is left now.

        Returns:
            Sums (B, 2, D) at the mass of the last event, with the mean of now; mass (B, 2) as of
            the last event; and the share (B, 2) of it that is left now.
        """
        now, then = self._summed(mass * passed), self._summed(mass)
        mean = self._summed(sums * passed[..., None]) / np.maximum(now, LEAST_MASS)[..., None]
        left = np.asarray(now / np.maximum(then, LEAST_MASS), np.float32)
        return np.asarray(mean * then[..., None], np.float32), then, left

    def _summed(self, values: Floats) -> Floats:
        found: Floats = values.reshape(len(values), 2, len(self.weights), *values.shape[2:]).sum(2)
        return found
