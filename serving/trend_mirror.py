"""The gateway's own copy of the trend: read without a hop, decayed to the request's moment."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from recsys.trend import TrendState, trend_features
from serving.pool.messages import TrendUpdate

Read = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
"""Mass and features."""

N_MOMENTS = 2
"""Moments that are kept: that of now, and that of a user whose last event is newer."""


class TrendMirror:
    """Trend of all items, as new as the last update.

    Args:
        half_lives_s: (Ht,) the trend's bank.
        n_items: N, items of the catalog.
    """

    def __init__(self, half_lives_s: Sequence[float], n_items: int) -> None:
        self._half_lives_s = tuple(half_lives_s)
        self._n_items = n_items
        self._state = TrendState(self._half_lives_s)
        self._held: dict[tuple[int, float], Read] = {}
        self.version = 0
        """Of the board; 0 = nothing pulled yet."""
        self._as_of = -math.inf

    @property
    def as_of(self) -> float | None:
        """All events acknowledged before this Unix second are in; None = cannot be said yet."""
        return self._as_of if math.isfinite(self._as_of) else None

    def apply(self, update: TrendUpdate) -> None:
        """Take an update in; slates that are being made in other threads keep what they read."""
        if update.is_full or len(update.parts) > 0:
            fresh = TrendState(self._half_lives_s)
            state = fresh if update.is_full else copy.deepcopy(self._state)
            for columns in update.parts:
                state.merge(TrendState.from_columns(columns))
            self._state = state
        self.version = update.version
        self._as_of = update.as_of

    def mass(self, as_of: float) -> npt.NDArray[np.float32]:
        """(N, Ht) decayed numbers of events; a moment before the last event counts as that."""
        return self._read(as_of)[0]

    def features(self, as_of: float) -> npt.NDArray[np.float32]:
        """(N, Ht) ``trend_features`` at a moment; not to be changed, for others have them too."""
        return self._read(as_of)[1]

    def _read(self, as_of: float) -> Read:
        """Mass and features; of the last moments that were asked for they are kept."""
        key, held = (self.version, as_of), self._held
        found = held.get(key)
        if found is None:
            mass = self._state.at(as_of, self._n_items)
            found = mass, trend_features(mass)
            kept = list(held.items())[-(N_MOMENTS - 1) :]
            self._held = {**dict(kept), key: found}  # as a whole: other threads read it
        return found
