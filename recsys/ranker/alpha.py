"""The share of the long taste in a user's own: ``w = alpha w_long + (1 - alpha) w_short``.

fixed       alpha = alpha_0
scheduled   alpha = 1 - (1 - alpha_0) 2^(-gap / tau)      the longer away, the more of the long
predicted   alpha = sigmoid(theta . profile)              profile: 1, log(1 + long mass),
                                                          log(1 + gap in days)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.errors import DataError
from recsys.ranker.options import AlphaKind, RankerSettings

Doubles = npt.NDArray[np.float64]

N_PROFILE = 3
_DAY_S = 86_400.0
_LONGEST_S = 365 * _DAY_S


@dataclass(frozen=True)
class Alpha:
    """How the share is found; ``alpha_0`` stands in the weights of the two tastes."""

    kind: AlphaKind = "fixed"
    theta: tuple[float, ...] = ()
    """(P,) of ``predicted``; else empty."""

    def __post_init__(self) -> None:
        wanted = N_PROFILE if self.kind == "predicted" else 0
        if len(self.theta) != wanted or not np.all(np.isfinite(self.theta)):
            problem = f"has theta {self.theta}, not {wanted} finite numbers"
            raise DataError(f"alpha {self.kind}", problem, "Publish the bundle again")

    def share(self, base: float, profile: Doubles, gap_s: Doubles, life_s: float) -> Doubles:
        """(V,) alpha.

        Args:
            base: ``alpha_0``.
            profile: (V, P).
            gap_s: (V,) seconds since the latest event.
            life_s: half-life of the short taste.
        """
        if self.kind == "fixed":
            return np.full(len(profile), base)
        if self.kind == "scheduled":
            return scheduled(base, gap_s, life_s)
        return logistic(profile @ np.array(self.theta))

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"kind": self.kind, "theta": list(self.theta)}

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Alpha:
        """The inverse of ``as_dict``."""
        return cls(found["kind"], tuple(float(x) for x in found["theta"]))


def scheduled(base: float, gap_s: Doubles, life_s: float) -> Doubles:
    """(V,) from ``base`` towards 1 as the gap grows.

    >>> scheduled(0.5, np.array([0.0, 3600.0]), 3600.0).tolist()
    [0.5, 0.75]
    """
    found: Doubles = 1.0 - (1.0 - base) * np.exp2(-gap_s / life_s)
    return found


def profiles(
    held: npt.NDArray[np.bool_], ts: Doubles, moments: Doubles, long_mass: Doubles
) -> tuple[Doubles, Doubles]:
    """What alpha is found by.

    Args:
        held: (V, R) events of each history.
        ts: (R,) Unix seconds.
        moments: (V,) Unix seconds.
        long_mass: (V,).

    Returns:
        ``profile`` (V, P) and ``gap_s`` (V,); without any event the gap is a year, its most.
    """
    latest = np.where(held, ts, -np.inf).max(axis=1, initial=-np.inf)
    gap_s = np.clip(moments - latest, 0.0, _LONGEST_S)
    ones = np.ones(len(gap_s))
    return np.stack([ones, np.log1p(long_mass), np.log1p(gap_s / _DAY_S)], axis=1), gap_s


def logistic(x: Doubles) -> Doubles:
    """1 / (1 + exp(-x))."""
    found: Doubles = 0.5 * (1.0 + np.tanh(0.5 * x))
    return found


def checked(options: RankerSettings) -> bool:
    """Whether both tastes are read, so that there is something to share."""
    return {"short_taste", "long_taste"} <= set(options.features)
