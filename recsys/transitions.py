"""Transitions: which items follow which decayed histories, in closed form.

    h(t)  = the user's latest items, each by  sum_l w_l 2^(-(t - t_j)/tau_l),  to length 1
    W     = argmin sum over choices |h W - onehot(chosen)|^2 + lambda |W|^2
          = (H'H + lambda I)^-1 H'Y
    part  = strength * log(1 + N max(h W, 0) / c)

A ridge regression from the history as of each choice to the choice itself (the linear models of
Steck 2019 and Choi et al. 2021 in continuous time). ``h W`` estimates a chance, so its logarithm is
what adds to a logit. It sees single pairs of items, which a few dimensions cannot hold.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from recsys.errors import DataError
from recsys.events import UNKNOWN_ITEM
from recsys.interest.beside import Events, ages_at

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Times = npt.NDArray[np.float64]

MIX = (1.0, 1.0 / 3.0, 1.0 / 30.0)
"""Weights of the shortest, the short and the long half-life of a history."""
N_FOLDS = 2
"""A user is trained beside transitions of the other users, so that none has seen the answers."""
_SMOOTH = 4.0
MIN_WEIGHT = 1e-3
"""A part of a history that weighs less is passed over."""


def untrained(
    counts: npt.NDArray[np.floating[Any]],
    half_lives_s: Sequence[float],
    n_recent: int,
    n_max: int,
) -> Transitions:
    """Transitions among the most frequent items, before anything is learned.

    Args:
        counts: (N,) positive events of each item.
        half_lives_s: shortest, short and long half-life of a history, seconds.
        n_recent: latest items that make a history.
        n_max: most items that take part.
    """
    order = np.argsort(-counts, kind="stable")[:n_max]
    items = np.sort(order[counts[order] > 0]).astype(np.int64)
    nothing = np.zeros((len(items), len(items)), np.float32)
    return Transitions(items, len(counts), nothing, tuple(half_lives_s), n_recent)


def fold_of(user_id: str) -> int:
    """Which fold a user belongs to; the same in every process."""
    return zlib.crc32(user_id.encode()) % N_FOLDS


@dataclass(frozen=True)
class Transitions:
    """W over the n most frequent items; a ``NeighbourPart``."""

    items: Ints
    """(n,) catalog rows, rising."""
    n_items: int
    """N."""
    weights: Floats
    """(n, n) W: from a row's item to a column's."""
    half_lives_s: tuple[float, ...]
    """The half-lives of a history."""
    n_recent: int
    """Latest items that make a history."""
    strength: float = 1.0

    def part(
        self,
        item: npt.NDArray[np.integer[Any]],
        ts: Times,
        as_of: float,
        importance: npt.NDArray[np.floating[Any]],
    ) -> Floats:
        """See ``recsys.interest.beside.NeighbourPart.part``."""
        out = np.zeros(self.n_items, np.float32)
        slots = self.slots[np.asarray(item[: self.n_recent], np.int64)]
        good = (slots >= 0) & (np.asarray(importance[: self.n_recent]) > 0.0)
        ages = np.maximum(as_of - np.asarray(ts[: self.n_recent])[good], 0.0)
        weight = history_weights(ages, self.half_lives_s)
        length = np.sqrt(np.square(weight).sum())
        if length == 0.0 or self.strength == 0.0:
            return out
        weight /= length
        chance = weight.astype(np.float32) @ self.weights[slots[good]]
        out[self.items] = np.float32(self.strength) * chance_feature(chance, self.n_items)
        return out

    def parts(
        self,
        events: Events,
        held: npt.NDArray[np.bool_],
        moments: Times,
        rows: npt.NDArray[np.integer[Any]],
    ) -> Floats:
        """See ``recsys.interest.beside.parts_of``."""
        item, ts, importance = events
        slots, asked = self.slots[item], self.slots[rows]
        good = (slots >= 0) & (np.asarray(importance) > 0.0)
        ages, which = ages_at(moments, ts)
        weight = history_weights(ages.ravel(), self.half_lives_s).reshape(ages.shape)[which]
        weight *= held & good & (np.cumsum(held, axis=1) <= self.n_recent)
        length = np.sqrt(np.square(weight).sum(axis=1, keepdims=True))
        weight /= np.where(length > 0.0, length, 1.0)
        near = self.weights[np.maximum(slots, 0)[:, None], np.maximum(asked, 0)]
        chance = (weight.astype(np.float32) @ near) * (asked >= 0)
        found: Floats = np.float32(self.strength) * chance_feature(chance, self.n_items)
        return found

    @cached_property
    def slots(self) -> Ints:
        """(N,) place of each catalog row among ``items``; -1 = none."""
        slots = np.full(self.n_items, -1, np.int64)
        slots[self.items] = np.arange(len(self.items))
        return slots

    def with_strength(self, strength: float) -> Transitions:
        """The same at another strength; never below 0."""
        return replace(self, strength=max(float(strength), 0.0))

    def to_tensors(self) -> dict[str, npt.NDArray[Any]]:
        """For a safetensors file; ``from_tensors`` reads it."""
        return {
            "items": self.items,
            "weights": self.weights,
            "half_lives_s": np.array(self.half_lives_s),
            "numbers": np.array([self.n_items, self.n_recent, self.strength]),
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, npt.NDArray[Any]]) -> Transitions:
        """The inverse of ``to_tensors``.

        Raises:
            DataError: if a tensor is missing.
        """
        missing = {"items", "weights", "half_lives_s", "numbers"} - set(tensors)
        if missing:
            raise DataError("transitions", f"lack {sorted(missing)}", "Publish the bundle again")
        n_items, n_recent, strength = tensors["numbers"].tolist()
        lives = tuple(tensors["half_lives_s"].tolist())
        return cls(
            tensors["items"], int(n_items), tensors["weights"], lives, int(n_recent), strength
        )


@dataclass(frozen=True)
class Pasts:
    """The histories of P moments, each of length 1."""

    bounds: Ints
    """(P + 1,) offsets."""
    slot: Ints
    """(K,) places in the items that take part."""
    weight: Floats
    """(K,)."""
    fold: Ints
    """(P,) fold of the user."""

    @property
    def arrays(self) -> tuple[Ints, Ints, Floats, Ints]:
        """All of it, as compiled code takes it."""
        return self.bounds, self.slot, self.weight, self.fold

    @property
    def counted(self) -> Floats:
        """(K,) the weights; 0 where ``chances`` passes over them."""
        return np.where(self.weight >= MIN_WEIGHT, self.weight, np.float32(0.0))

    def part(self, some: slice) -> Pasts:
        """A run of the moments."""
        bounds = self.bounds[some.start : some.stop + 1]
        where = slice(bounds[0], bounds[-1])
        return Pasts(bounds - bounds[0], self.slot[where], self.weight[where], self.fold[some])


def pasts(
    form: Transitions,
    events: tuple[npt.NDArray[Any], Times, npt.NDArray[Any]],
    moments: tuple[Ints, Ints, Times, Ints],
) -> Pasts:
    """The histories of some moments.

    Args:
        form: says which items take part, the half-lives and ``n_recent``.
        events: catalog rows (T,), times (T,) and signs (T,); events of sign 0 are passed over,
            those below 0 take a place but have no weight.
        moments: first and last known event (P,) each (-1 = none), time (P,), fold (P,).
    """
    item, ts, sign = events
    first, last, as_of, fold = moments
    slot = np.where(item == UNKNOWN_ITEM, -1, form.slots[np.maximum(item, 0)]).astype(np.int64)
    rates = np.log(2.0) / np.asarray(form.half_lives_s)
    bounds = np.zeros(len(last) + 1, np.int64)
    known = np.where(last >= 0, last - first + 1, 0)
    room = int(np.minimum(known, form.n_recent).sum())
    slots, weights = np.empty(room, np.int64), np.empty(room, np.float32)
    given = (slot, ts, np.asarray(sign, np.int8))
    _collect(given, (first, last, as_of), rates, form.n_recent, bounds, (slots, weights))
    return Pasts(bounds, slots[: bounds[-1]], weights[: bounds[-1]], np.asarray(fold, np.int64))


def chance_feature(chance: npt.NDArray[Any], n_items: int) -> Any:
    """The logit's share of estimated chances, 0 where a chance is not above 0."""
    return np.log1p(np.maximum(chance, 0.0) * np.float32(chance_scale(n_items)))


def chance_scale(n_items: int) -> float:
    """What chances are multiplied by, so that an even one is small."""
    return n_items / _SMOOTH


def history_weights(ages_s: Times, half_lives_s: Sequence[float]) -> Times:
    """(n,) weights of events by their age in seconds."""
    lives = np.asarray(half_lives_s)
    weights: Times = np.exp2(-np.asarray(ages_s)[:, None] / lives) @ np.array(MIX[: len(lives)])
    return weights


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _collect(
    events: Any, moments: Any, rates: Times, n_recent: int, bounds: Ints, out: Any
) -> None:
    slot, ts, sign = events
    first, last, as_of = moments
    n = 0
    for p in range(last.shape[0]):
        begin, seen, square = n, 0, 0.0
        e = last[p]
        while last[p] >= 0 and e >= first[p] and seen < n_recent:
            seen += sign[e] != 0
            if sign[e] > 0 and slot[e] >= 0:
                weight, age = 0.0, max(as_of[p] - ts[e], 0.0)
                for h in range(rates.shape[0]):
                    weight += MIX[h] * np.exp(-age * rates[h])
                out[0][n], out[1][n] = slot[e], weight
                square += weight * weight
                n += 1
            e -= 1
        if square > 0.0:  # else all of it has faded to nothing
            for k in range(begin, n):
                out[1][k] /= np.sqrt(square)
        bounds[p + 1] = n


@numba.njit(nogil=True, cache=True, fastmath=True)  # type: ignore[untyped-decorator]
def chances(pasts: Any, weights: Floats, candidate_slot: Ints, out: Floats) -> None:
    """Add ``h W`` of P moments to out (P, C); weights is (folds, n, n), slots (C,) or -1."""
    bounds, slot, weight, fold = pasts
    total = np.empty(weights.shape[2], np.float32)
    for p in range(out.shape[0]):
        total[:] = 0.0
        for a in range(bounds[p], bounds[p + 1]):
            if weight[a] >= MIN_WEIGHT:
                row, share = weights[fold[p], slot[a]], weight[a]
                for i in range(total.shape[0]):
                    total[i] += share * row[i]
        for c in range(out.shape[1]):
            if candidate_slot[c] >= 0:
                out[p, c] += total[candidate_slot[c]]
