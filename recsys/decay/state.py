"""The additive decayed state of one key, slow and obvious: the reference of ``recsys.decay.fold``.

S_h(t) = sum_j a_jh 2^(-(t - t_j)/tau_h) v_j        mass_h(t) = sum_j a_jh 2^(-(t - t_j)/tau_h)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


class Evidence(NamedTuple):
    """One event's part in a state."""

    ts: float
    """Unix seconds."""
    importance: Array
    """(H,) at least 0."""
    vector: Array
    """(D,) of norm at most 1."""


class AdditiveState:
    """Decayed sums (H, D) and mass (H,), kept as of the latest event.

    Args:
        half_lives_s: (H,) seconds.
        n_dims: D.

    >>> state = AdditiveState([10.0], n_dims=1)
    >>> state.add(Evidence(0.0, np.array([1.0]), np.array([1.0])))
    >>> state.at(10.0).mass.tolist(), state.at(10.0).mean().round(9).tolist()
    ([0.5], [[1.0]])
    """

    def __init__(self, half_lives_s: Sequence[float] | Array, n_dims: int) -> None:
        self.half_lives_s = np.asarray(half_lives_s, np.float64)
        self.sums = np.zeros((len(self.half_lives_s), n_dims))
        self.mass = np.zeros(len(self.half_lives_s))
        self.t_ref = -np.inf

    @classmethod
    def fold(
        cls, events: Iterable[Evidence], half_lives_s: Sequence[float] | Array, n_dims: int
    ) -> AdditiveState:
        """The state of events, in any order."""
        state = cls(half_lives_s, n_dims)
        for event in events:
            state.add(event)
        return state

    def add(self, event: Evidence) -> None:
        """Fold one event; a late one is decayed to ``t_ref``, a newer one moves ``t_ref``."""
        moved = self.at(max(self.t_ref, event.ts))
        weight = event.importance * self._left(moved.t_ref - event.ts)
        self.sums = moved.sums + weight[:, None] * event.vector
        self.mass = moved.mass + weight
        self.t_ref = moved.t_ref

    def at(self, as_of: float) -> AdditiveState:
        """The state as of a moment; before ``t_ref`` it counts as ``t_ref``."""
        state = AdditiveState(self.half_lives_s, self.sums.shape[1])
        state.t_ref = max(as_of, self.t_ref)
        left = self._left(state.t_ref - self.t_ref) if np.isfinite(self.t_ref) else 0.0
        state.mass = self.mass * left
        state.sums = self.sums * np.reshape(left, (-1, 1))
        return state

    def merge(self, other: AdditiveState) -> AdditiveState:
        """The state of this one's events and the other's together.

        Raises:
            ValueError: if the half-lives differ.
        """
        if not np.array_equal(self.half_lives_s, other.half_lives_s):
            raise ValueError("states of different half-lives do not merge")
        t_ref = max(self.t_ref, other.t_ref)
        mine, theirs = self.at(t_ref), other.at(t_ref)
        mine.sums += theirs.sums
        mine.mass += theirs.mass
        return mine

    def without(self, event: Evidence) -> AdditiveState:
        """The state less one event, by subtraction: an optimisation of ``refolded``.

        Raises:
            ValueError: if the event is the latest, or if most of some half-life's mass is its own:
                then what is left would be rounding error. Use ``refolded``.
        """
        weight = event.importance * self._left(self.t_ref - event.ts)
        if event.ts >= self.t_ref or np.any(weight > 0.5 * self.mass):
            raise ValueError("the event is too much of the state to subtract: refold the others")
        state = self.at(self.t_ref)
        state.sums -= weight[:, None] * event.vector
        state.mass -= weight
        return state

    def mean(self, eps: float = 1e-12) -> Array:
        """(H, D) the taste; it does not change with time alone."""
        return np.asarray(self.sums / (self.mass + eps)[:, None])

    def confidence(self, as_of: float, confidence_mass: float) -> Array:
        """(H,) in [0, 1): how sure the taste still is; one half at ``confidence_mass``."""
        mass = self.at(as_of).mass
        return np.asarray(mass / (mass + confidence_mass))

    def _left(self, age_s: float) -> Array:
        return np.asarray(np.exp2(-age_s / self.half_lives_s))


def refolded(
    events: Sequence[Evidence], retracted: int, half_lives_s: Sequence[float] | Array
) -> AdditiveState:
    """The state of events without one of them: exact, whatever the event was.

    Args:
        events: all events held, from the recent ring, or else from ledger and archive.
        retracted: position of the one that is to be forgotten.
        half_lives_s: (H,) seconds.
    """
    kept = [event for place, event in enumerate(events) if place != retracted]
    return AdditiveState.fold(kept, half_lives_s, len(events[retracted].vector))
