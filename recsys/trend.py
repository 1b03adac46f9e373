"""Trend: decayed popularity of items at several half-lives, exact as of any later moment.

    mass_ij(t) = sum over events e of item i of  weight_e * 2^(-(t - t_e)/tau_j)

The same additive state as a profile, with items for keys and no vectors. Masses are kept as of a
fixed moment, the base: an event after it enters with a weight above 1. So adding touches only the
items of the events, and nothing is swept until the base is moved, every ``_REBASE_HALF_LIVES`` of
the shortest half-life. Items are found by an open hash table: a small batch costs what is in it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from recsys.trend_index import NO_ENTRY, add_counts, add_masses, latest_counted, rehash

Times = npt.NDArray[np.float64]
Mass = npt.NDArray[np.float64]
Items = npt.NDArray[np.int32]

_MIN_ITEMS = 16
_REBASE_HALF_LIVES = 200.0
"""A mass may grow to 2^200 times the number of events: far below the 2^1023 of a double."""


def trend_features(mass: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float32]:
    """Decayed masses (..., Ht) as features: log(1 + mass), float32. Online and offline alike."""
    features: npt.NDArray[np.float32] = np.log1p(mass.astype(np.float32, copy=False))
    return features


class TrendState:
    """Sparse decayed popularity: only items with events take memory.

    Args:
        half_lives_s: (Ht,) seconds.

    >>> state = TrendState([10.0])
    >>> state.add(np.array([1, 1]), np.array([0.0, 10.0]), np.array([1.0, 1.0]))
    >>> state.at(20.0, n_items=2).tolist()
    [[0.0], [0.75]]
    """

    def __init__(self, half_lives_s: Sequence[float] | Times) -> None:
        self.half_lives_s = np.asarray(half_lives_s, np.float64)
        self._items: Items = np.zeros(_MIN_ITEMS, np.int32)
        self._held: Mass = np.zeros((_MIN_ITEMS, len(self.half_lives_s)))
        self._slots = np.full(2 * _MIN_ITEMS, NO_ENTRY, np.int32)
        self._n = 0
        self._base = -np.inf
        self._t_ref = -np.inf

    def __len__(self) -> int:
        """Number of items with events."""
        return self._n

    @property
    def items(self) -> Items:
        """(n,) items with events, in rising order."""
        return np.sort(self._items[: self._n])

    @property
    def t_ref(self) -> float:
        """Unix seconds of the latest event; ``-inf`` where there is none."""
        return self._t_ref

    @property
    def mass(self) -> Mass:
        """(n, Ht) masses of ``items`` as of ``t_ref``."""
        order = np.argsort(self._items[: self._n])
        found: Mass = self._held[order] * self._decay(self._t_ref)
        return found

    def add(
        self,
        item_index: npt.NDArray[np.integer[Any]],
        ts: Times,
        weight: npt.NDArray[np.floating[Any]],
    ) -> None:
        """Count events, in any order.

        Args:
            item_index: (T,) position in the catalog; ``UNKNOWN_ITEM`` is passed over.
            ts: (T,) Unix seconds, finite.
            weight: (T,) at least 0; an event of weight 0 is passed over.
        """
        items = np.ascontiguousarray(item_index, np.int32)
        weights = np.ascontiguousarray(weight, np.float64)
        latest = latest_counted(items, ts, weights)
        if latest == -np.inf:
            return
        self._move_base(latest)
        self._reserve(len(items))
        index = (self._slots, self._items, self._held)
        self._n = add_counts(index, self._n, items, ts - self._base, weights, self.half_lives_s)

    def merge(self, other: TrendState) -> None:
        """Add another state's events to this one, in place.

        Raises:
            ValueError: if the half-lives differ.
        """
        if not np.array_equal(self.half_lives_s, other.half_lives_s):
            raise ValueError(
                f"trends of half-lives {self.half_lives_s} and {other.half_lives_s} do not merge"
            )
        if len(other) > 0:
            self._move_base(other.t_ref)
            self._reserve(len(other))
            index = (self._slots, self._items, self._held)
            mass = other._held[: other._n] * other._decay(self._base)
            self._n = add_masses(index, self._n, other._items[: other._n], mass)

    def at(self, as_of: float, n_items: int) -> npt.NDArray[np.float32]:
        """Masses as of a moment.

        Args:
            as_of: Unix seconds; before ``t_ref`` it counts as ``t_ref``.
            n_items: N; items from N on are left out.

        Returns:
            (N, Ht) float32.
        """
        dense = np.zeros((n_items, len(self.half_lives_s)), np.float32)
        if len(self) > 0:
            items = self._items[: self._n]
            known = items < n_items
            decay = self._decay(max(as_of, self._t_ref))
            dense[items[known]] = self._held[: self._n][known] * decay
        return dense

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """``item`` (n,) rising, ``mass`` (n, Ht) as of ``t_ref`` (1,), ``half_lives_s`` (Ht,)."""
        return {
            "item": self.items,
            "mass": self.mass,
            "t_ref": np.array([self._t_ref]),
            "half_lives_s": self.half_lives_s.copy(),
        }

    @classmethod
    def from_columns(cls, columns: Mapping[str, npt.NDArray[Any]]) -> TrendState:
        """The inverse of ``columns``."""
        state = cls(columns["half_lives_s"])
        items = np.array(columns["item"], np.int32)
        mass = np.array(columns["mass"], np.float64).reshape(len(items), len(state.half_lives_s))
        state._base = state._t_ref = float(columns["t_ref"][0])
        state._reserve(len(items))
        state._n = add_masses((state._slots, state._items, state._held), 0, items, mass)
        return state

    def _decay(self, to: float) -> Mass:
        """(Ht,) factors that bring masses from the base to a moment."""
        if not np.isfinite(self._base):
            return np.ones(len(self.half_lives_s))
        factors: Mass = np.exp2((self._base - to) / self.half_lives_s)
        return factors

    def _move_base(self, latest: float) -> None:
        """Take ``latest`` into ``t_ref``; move the base where it has become too old."""
        if len(self) == 0 and not np.isfinite(self._base):
            self._base = latest
        elif (latest - self._base) / self.half_lives_s.min() > _REBASE_HALF_LIVES:
            self._held[: self._n] *= self._decay(latest)
            self._base = latest
        self._t_ref = max(self._t_ref, latest)

    def _reserve(self, n_more: int) -> None:
        """Make room for so many more items."""
        needed = self._n + n_more
        if needed > len(self._items):
            more = max(needed, len(self._items) * 3 // 2) - len(self._items)
            self._items = np.concatenate([self._items, np.zeros(more, np.int32)])
            self._held = np.concatenate([self._held, np.zeros((more, self._held.shape[1]))])
        if 2 * needed > len(self._slots):
            self._slots = np.full(1 << (2 * needed).bit_length(), NO_ENTRY, np.int32)
            rehash(self._slots, self._items[: self._n])


class TrendReplay:
    """Trend as it was at each of many rising moments, for evaluation.

    Args:
        item: (T,) position in the catalog; ``UNKNOWN_ITEM`` is passed over.
        ts: (T,) Unix seconds, sorted.
        weight: (T,) at least 0.
        n_items: N.
        half_lives_s: (Ht,) seconds.

    Raises:
        ValueError: if ``ts`` is not sorted.
    """

    def __init__(
        self,
        item: npt.NDArray[np.integer[Any]],
        ts: Times,
        weight: npt.NDArray[np.floating[Any]],
        n_items: int,
        half_lives_s: Sequence[float],
    ) -> None:
        if len(ts) > 1 and np.any(np.diff(ts) < 0.0):
            raise ValueError("trend is replayed over events sorted by time")
        self._item = np.ascontiguousarray(item, np.int64)
        self._ts = np.ascontiguousarray(ts, np.float64)
        self._weight = np.ascontiguousarray(weight, np.float64)
        self._half_lives_s = np.asarray(half_lives_s, np.float64)
        self._mass = np.zeros((n_items, len(self._half_lives_s)))
        self._base = float(ts[0]) if len(ts) else 0.0
        self._now = -np.inf
        self._n_counted = 0

    def advance_to(self, ts: float) -> None:
        """Count every event before ``ts``; an event at ``ts`` itself is not in the past yet.

        Raises:
            ValueError: if ``ts`` is before an earlier call's.
        """
        if ts < self._now:
            raise ValueError(f"trend was advanced to {self._now}; it cannot go back to {ts}")
        self._now = ts
        end = int(np.searchsorted(self._ts, ts, side="left"))
        while self._n_counted < end:
            shortest = self._half_lives_s.min()
            limit = self._base + _REBASE_HALF_LIVES * shortest
            stop = min(end, int(np.searchsorted(self._ts, limit, side="right")))
            _count(
                self._mass,
                self._item[self._n_counted : stop],
                self._ts[self._n_counted : stop] - self._base,
                self._weight[self._n_counted : stop],
                self._half_lives_s,
            )
            self._n_counted = stop
            if stop < end:
                self._mass *= np.exp2((self._base - self._ts[stop]) / self._half_lives_s)
                self._base = float(self._ts[stop])

    def mass(self) -> npt.NDArray[np.float32]:
        """(N, Ht) float32 masses as of the moment of the last ``advance_to``."""
        if self._n_counted == 0:
            return np.zeros(self._mass.shape, np.float32)
        decay = np.exp2((self._base - self._now) / self._half_lives_s)
        return (self._mass * decay).astype(np.float32)

    def features(self) -> npt.NDArray[np.float32]:
        """(N, Ht) float32 ``trend_features`` as of the moment of the last ``advance_to``."""
        return trend_features(self.mass())


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _count(
    mass: Mass,
    item: npt.NDArray[np.int64],
    since_base_s: Times,
    weight: Times,
    half_lives_s: Times,
) -> None:
    """Add T events to dense masses (N, Ht)."""
    rates = math.log(2.0) / half_lives_s
    for t in range(item.shape[0]):
        if item[t] >= 0 and weight[t] > 0.0:
            for j in range(rates.shape[0]):
                mass[item[t], j] += weight[t] * math.exp(since_base_s[t] * rates[j])
