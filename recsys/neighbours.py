"""Neighbours: a closed-form linear model from item to item, in whose fit and use evidence fades.

    score_i(t) = sum_e  w(t - t_e) a_e B[item_e, i]      w(age) = sum_h m_h 2^(-age / tau_h)
    B[j, i]    = - P[j, i] / P[i, i],  B[j, j] = 0       P = (G + l2 I)^-1   (EASE: Steck, 2019)
    G[j, i]    = sum over users  k(t_j - t_i)            k(d) = c + (1 - c) 2^(-|d| / tau)

``k`` is a positive-definite kernel, so G + l2 I has an inverse whatever the log: with ``c`` = 1 it
is EASE, below that two items are alike if the same people chose them at about the same time. Of a
user's events of one item the first counts. What is read at a moment is the user's latest events
themselves, so there is no state to keep. A fit costs n^3 multiplications and 8 n^2 bytes for the n
most frequent items (one core: 2,000 items 0.5 s and 32 MB, 4,000 items 2.5 s and 128 MB, 8,000
items 20 s and 512 MB) and the square of each user's items; all other items neither have neighbours
nor are any. On a log of 92 thousand products 8,000 items found no more than 2,000 did (NDCG@10
.0165 and .0166), and 200 neighbours of an item as much as all 2,000 (.0166 and .0163).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from scipy.linalg import lapack

from recsys.events import EventArrays
from recsys.interest.beside import Events, ages_at
from recsys.neighbour_reading import add, look_up
from recsys.settings import DAY_S

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

FOREVER_S = 1e13
"""A half-life that is none."""

_BLOCK = 256


@dataclass(frozen=True)
class NeighbourOptions:
    """How neighbours are fitted and used; ``recsys.evaluation.nearness`` chooses them by a log."""

    l2: float = 300.0
    """Pull of all entries of B towards 0; positive, in the unit of G: pairs of events."""
    pair_half_life_s: float = DAY_S
    """``tau`` of the fit, seconds."""
    pair_floor: float = 1.0
    """``c`` of the fit, in [0, 1]; 1 = the time between two events does not matter."""
    half_lives_s: tuple[float, ...] = (DAY_S, FOREVER_S)
    """``tau_h`` of the use, seconds."""
    mix: tuple[float, ...] = (1.0, 0.1)
    """``m_h``, at least 0."""
    max_items: int = 4_000
    """Most items with neighbours, the most frequent."""
    n_neighbours: int = 200
    """Neighbours kept of each item, the strongest of either sign."""
    max_user_items: int = 2_000
    """Items read of one user, the latest: what one user costs is the square of this."""

    def __post_init__(self) -> None:
        sizes = (self.max_items, self.n_neighbours, self.max_user_items)
        lives = (self.pair_half_life_s, *self.half_lives_s)
        if not self.l2 > 0 or not all(life > 0 for life in lives) or min(sizes) < 1:
            raise ValueError(f"l2, half-lives and counts must be positive: {self}")
        if not 0 <= self.pair_floor <= 1 or not all(m >= 0 for m in self.mix):
            raise ValueError(f"pair_floor must be in [0, 1], and mix at least 0: {self}")
        if len(self.mix) != len(self.half_lives_s):
            raise ValueError(f"{len(self.mix)} weights for {len(self.half_lives_s)} half-lives")


@dataclass(frozen=True)
class Neighbours:
    """Fitted neighbours of a catalog of N items; n of them have any. Never changed."""

    row: npt.NDArray[np.int32]
    """(N,) place of an item in ``offsets``; -1 = it has no neighbours."""
    offsets: Ints
    """(n + 1,) where each item's neighbours begin."""
    item: npt.NDArray[np.int32]
    """(L,) catalog row of each neighbour, ascending in one item."""
    value: Floats
    """(L,) B; finite."""
    half_lives_s: Doubles
    """(K,) seconds."""
    mix: Doubles
    """(K,) at least 0."""
    unit: float
    """The importance that counts as 1."""

    @classmethod
    def fit(
        cls,
        events: EventArrays,
        importance: npt.NDArray[np.floating[Any]],
        n_items: int,
        options: NeighbourOptions | None = None,
    ) -> Neighbours:
        """Fit to a log; the same log gives the same bytes.

        Args:
            events: T events; unknown items are passed over.
            importance: (T,) signed; events that are not above 0 are passed over.
            n_items: N.
            options: None = the defaults.

        Returns:
            Neighbours; of no event, one user or one item they may be few or none, and then
            ``part`` is zero.
        """
        options = NeighbourOptions() if options is None else options
        counted = first_events(events, importance > 0)
        frequency = np.bincount(events.item[counted], minlength=n_items)[:n_items]
        chosen = np.sort(np.argsort(-frequency, kind="stable")[: options.max_items])
        chosen = chosen[frequency[chosen] > 0]
        row = np.full(n_items, -1, np.int32)
        row[chosen] = np.arange(len(chosen))
        kept = counted[row[events.item[counted]] >= 0]
        bounds = np.searchsorted(events.user[kept], np.arange(len(events.user_ids) + 1))
        gram = np.zeros((len(chosen), len(chosen)))
        kernel = (options.pair_half_life_s, options.pair_floor, options.max_user_items)
        _pairs(gram, bounds, row[events.item[kept]], events.ts[kept], kernel)
        offsets, near, value = _strongest(_inverse(gram, options.l2), options.n_neighbours)
        lives, mix = (np.array(part, np.float64) for part in (options.half_lives_s, options.mix))
        positive = importance[importance > 0]
        unit = float(positive.mean()) if len(positive) else 1.0
        return cls(row, offsets, chosen[near].astype(np.int32), value, lives, mix, unit)

    def part(
        self,
        item: npt.NDArray[np.integer[Any]],
        ts: Doubles,
        as_of: float,
        importance: npt.NDArray[np.floating[Any]],
    ) -> Floats:
        """Scores of all items from a user's events; see ``NeighbourPart.part``.

        Args:
            item: (n,) catalog rows, none unknown; in any order, any number.
            ts: (n,) Unix seconds; later ones than ``as_of`` count as of that moment.
            as_of: the moment, Unix seconds.
            importance: (n,) signed; events that are not above 0 are passed over.

        Returns:
            (N,) float32.
        """
        out = np.zeros(len(self.row), np.float32)
        age = np.maximum(as_of - np.asarray(ts, np.float64), 0.0)
        weight = self._weight(age, importance)
        rows = self.row[item]
        add(out, rows, weight, (self.offsets, self.item, self.value))
        return out

    def parts(
        self,
        events: Events,
        held: npt.NDArray[np.bool_],
        moments: Doubles,
        rows: npt.NDArray[np.integer[Any]],
    ) -> Floats:
        """See ``recsys.interest.beside.parts_of``."""
        item, ts, importance = events
        near = np.zeros((len(item), len(rows)), np.float32)
        wanted = np.asarray(rows, np.int32)
        look_up(near, self.row[item], wanted, (self.offsets, self.item, self.value))
        ages, which = ages_at(moments, ts)
        found: Floats = (held * self._weight(ages, importance)[which]) @ near
        return found

    def _weight(self, age_s: Doubles, importance: npt.NDArray[np.floating[Any]]) -> Floats:
        """What events (n,) of these ages, (n,) or (M, n), count for."""
        worth = np.maximum(np.asarray(importance, np.float64), 0.0) / self.unit
        weight = worth * (np.exp2(-age_s[..., None] / self.half_lives_s) @ self.mix)
        return weight.astype(np.float32)

    def used(self, half_lives_s: tuple[float, ...], mix: tuple[float, ...]) -> Neighbours:
        """The same neighbours, used with other half-lives and weights."""
        lives, weights = np.array(half_lives_s, np.float64), np.array(mix, np.float64)
        return replace(self, half_lives_s=lives, mix=weights)

    def weighed(self, weight: float) -> Neighbours:
        """The same neighbours with every score multiplied by ``weight``, at least 0.

        Raises:
            ValueError: if it is below 0 or not finite.
        """
        if not 0 <= weight < np.inf:
            raise ValueError(f"weight = {weight} must be at least 0 and finite")
        return replace(self, mix=self.mix * weight)

    def to_tensors(self) -> dict[str, npt.NDArray[Any]]:
        """Name -> array; ``from_tensors`` reads it."""
        names = ("row", "offsets", "item", "value", "half_lives_s", "mix")
        return {**{name: getattr(self, name) for name in names}, "unit": np.array([self.unit])}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, npt.NDArray[Any]]) -> Neighbours:
        """The inverse of ``to_tensors``.

        Raises:
            KeyError: if a tensor is missing.
            ValueError: if the tensors do not fit each other.
        """
        row = np.asarray(tensors["row"], np.int32)
        offsets = np.asarray(tensors["offsets"], np.int64)
        item, value = np.asarray(tensors["item"], np.int32), np.asarray(tensors["value"], "f4")
        lives, mix = (np.asarray(tensors[name], np.float64) for name in ("half_lives_s", "mix"))
        unit = np.asarray(tensors["unit"], np.float64)
        sound = (
            len(offsets) > 0
            and offsets[0] == 0
            and bool(np.all(np.diff(offsets) >= 0))
            and offsets[-1] == len(item) == len(value)
            and lives.shape == mix.shape
            and unit.shape == (1,)
            and unit[0] > 0
            and bool(np.all(lives > 0))
        )
        if not sound or not _inside(row, len(offsets) - 1, -1) or not _inside(item, len(row), 0):
            raise ValueError("tensors of neighbours do not fit each other")
        return cls(row, offsets, item, value, lives, mix, float(unit[0]))


def first_events(events: EventArrays, counts: npt.NDArray[np.bool_]) -> Ints:
    """Offsets, ascending, of each user's first event of each item among those that count (T,)."""
    known = np.flatnonzero(counts & (events.item >= 0))
    width = int(events.item.max(initial=0)) + 1
    key = events.user[known].astype(np.int64) * width + events.item[known]
    firsts: Ints = known[np.sort(np.unique(key, return_index=True)[1])]
    return firsts


def _inside(values: npt.NDArray[Any], stop: int, start: int) -> bool:
    return len(values) == 0 or bool(values.min() >= start and values.max() < stop)


def _inverse(gram: Doubles, l2: float) -> Doubles:
    """(n, n) inverse of ``gram`` + l2 I, both triangles; works in place on the lower one."""
    if len(gram) == 0:
        return gram
    gram[np.diag_indices(len(gram))] += l2
    factor, failed = lapack.dpotrf(gram.T, lower=0, overwrite_a=1)  # a view: LAPACK reads columns
    assert failed == 0, "a positive-definite kernel has an inverse"
    inverse: Doubles = lapack.dpotri(factor, lower=0, overwrite_c=1)[0].T
    for start in range(0, len(inverse), _BLOCK):
        stop = min(start + _BLOCK, len(inverse))
        inverse[start:stop, stop:] = inverse[stop:, start:stop].T
        square = inverse[start:stop, start:stop]
        square[:] = np.tril(square) + np.tril(square, -1).T
    return inverse


def _strongest(inverse: Doubles, n_kept: int) -> tuple[Ints, npt.NDArray[np.int64], Floats]:
    """Offsets (n + 1,), places and values of the strongest entries in each row of B."""
    n = len(inverse)
    n_kept = min(n_kept, max(n - 1, 0))
    places, values = np.zeros((n, n_kept), np.int64), np.zeros((n, n_kept), np.float32)
    diagonal = np.diag(inverse).copy()
    for start in range(0, n, _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, n))
        block = (-inverse[rows] / diagonal).astype(np.float32)
        block[np.arange(len(rows)), rows] = 0.0
        best = np.argsort(-np.abs(block), axis=1, kind="stable")[:, :n_kept]
        places[rows] = np.sort(best, axis=1)
        values[rows] = np.take_along_axis(block, places[rows], axis=1)
    held = values != 0.0
    offsets = np.concatenate([[0], np.cumsum(held.sum(axis=1))]).astype(np.int64)
    return offsets, places[held], values[held]


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _pairs(gram: Doubles, bounds: Ints, row: npt.NDArray[Any], ts: Doubles, kernel: Any) -> None:
    """Add each user's pairs of items to the lower triangle."""
    half_life_s, floor, max_user_items = kernel
    for user in range(len(bounds) - 1):
        stop = bounds[user + 1]
        start = max(bounds[user], stop - max_user_items)
        for a in range(start, stop):
            for b in range(start, a + 1):
                weight = 1.0
                if floor < 1.0:
                    weight = floor + (1.0 - floor) * 2.0 ** (-(ts[a] - ts[b]) / half_life_s)
                high, low = row[a], row[b]
                if high < low:
                    high, low = low, high
                gram[high, low] += weight
