"""The item's side: an item has a decayed profile too, of what those asked for who chose it.

    S_i(t)  = sum over choices e of item i before t of  2^(-(t - t_e)/tau) w_e,   |w_e| <= 1
    m_i(t)  = the same sum without w
    part_i  = strength * max_q u_q . S_i(t) / (m_i(t) + prior)

``w_e`` is the direction of the chooser's query just before the choice, ``u`` the query of whoever
is asked for now. The state is additive over choices, as a user's is; but a choice's ``w`` depends
on the chooser's history, so an event that comes late leaves the ``w`` of later choices as they
were. The state holds the user's own earlier choices of an item, too: it is blind to who chose.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.errors import ConfigError
from recsys.events import UNKNOWN_ITEM, EventArrays
from recsys.interest.model import InterestModel, ItemTable, TextTable
from recsys.interest.replay import ReplayQueries, ends_before, replay
from recsys.settings import InterestSettings
from recsys.training.options import ModelSettings

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

_REBASE_HALF_LIVES = 200.0


def check_no_item_side(model: ModelSettings) -> None:
    """No bundle can hold item profiles yet: nothing online keeps them.

    Raises:
        ConfigError: if the settings ask for them.
    """
    if model.item_profile:
        raise ConfigError(
            "setting model.item_profile = true",
            "is for measurements alone: no part of the service keeps profiles of items",
            "Leave it out; `python -m tests.benchmarks quality --parts ablation` measures it",
        )


@dataclass(frozen=True)
class ItemSideOptions:
    """How loud item profiles are, and how they fade."""

    half_life_s: float
    """Seconds in which a choice halves; positive."""
    strength: float
    """Factor of the part in a score."""
    prior: float = 1.0
    """Mass of choices that say nothing, so that a first choice is not believed outright."""


@dataclass(frozen=True)
class Takers:
    """T choices, and what those asked for who made them."""

    item: npt.NDArray[np.int32]
    """(T,) catalog rows."""
    ts: Doubles
    """(T,) Unix seconds, rising."""
    vectors: Floats
    """(T, D) of length 1, or 0 where nothing was known of the user."""


class ItemSideState:
    """Profiles of N items, additive: choices may come in any order, states merge.

    Args:
        n_items: N.
        n_dims: D.
        options: half-life, strength and prior.
    """

    def __init__(self, n_items: int, n_dims: int, options: ItemSideOptions) -> None:
        self.options = options
        self._sums: Doubles = np.zeros((n_items, n_dims))
        self._mass: Doubles = np.zeros(n_items)
        self._base = -np.inf

    def add(self, item: npt.NDArray[np.integer[Any]], ts: Doubles, vectors: Floats) -> None:
        """Count choices: (T,) catalog rows, (T,) Unix seconds, (T, D) as ``Takers.vectors``."""
        if len(item) == 0:
            return
        self._move_base(float(ts.max()))
        weight = np.exp2((ts - self._base) / self.options.half_life_s)
        np.add.at(self._mass, item, weight)
        np.add.at(self._sums, item, vectors * weight[:, None])

    def merge(self, other: ItemSideState) -> None:
        """Add another state's choices to this one, in place.

        Raises:
            ValueError: if the half-lives differ.
        """
        if other.options.half_life_s != self.options.half_life_s:
            raise ValueError("item profiles of different half-lives do not merge")
        if np.isfinite(other._base):
            self._move_base(other._base)
            left = np.exp2((other._base - self._base) / self.options.half_life_s)
            self._mass += other._mass * left
            self._sums += other._sums * left

    def part(self, vectors: Floats, as_of: float) -> Floats:
        """What each item has of one user.

        Args:
            vectors: (Q, D) what the user asks for, of which the nearest counts.
            as_of: Unix seconds, not before the latest choice.

        Returns:
            (N,) float32; 0 for an item that nobody chose.
        """
        if not np.isfinite(self._base):
            return np.zeros(len(self._mass), np.float32)
        left = np.exp2((self._base - as_of) / self.options.half_life_s)
        near = (self._sums @ vectors.T.astype(np.float64)).max(axis=1) * left
        loud = self.options.strength / (self._mass * left + self.options.prior)
        found: Floats = (near * loud).astype(np.float32)
        return found

    def _move_base(self, latest: float) -> None:
        """Keep sums as of a moment that is not too far before the latest choice."""
        if not np.isfinite(self._base):
            self._base = latest
        elif (latest - self._base) / self.options.half_life_s > _REBASE_HALF_LIVES:
            left = np.exp2((self._base - latest) / self.options.half_life_s)
            self._mass *= left
            self._sums *= left
            self._base = latest


class ItemSideReplay:
    """Item profiles as they were at each of many rising moments.

    Args:
        takers: everybody's choices.
        n_items: N.
        options: half-life, strength and prior.
    """

    def __init__(self, takers: Takers, n_items: int, options: ItemSideOptions) -> None:
        self._takers = takers
        self._state = ItemSideState(n_items, takers.vectors.shape[1], options)
        self._now, self._n_counted = -np.inf, 0

    def advance_to(self, ts: float) -> None:
        """Count every choice before ``ts``; one at ``ts`` itself is not in the past yet.

        Raises:
            ValueError: if ``ts`` is before an earlier call's.
        """
        if ts < self._now:
            raise ValueError(f"item profiles are at {self._now}; they cannot go back to {ts}")
        some = slice(self._n_counted, int(np.searchsorted(self._takers.ts, ts, side="left")))
        taken = self._takers
        self._state.add(taken.item[some], taken.ts[some], taken.vectors[some])
        self._now, self._n_counted = ts, some.stop

    def part(self, vectors: Floats) -> Floats:
        """(N,) ``ItemSideState.part`` as of the moment of the last ``advance_to``."""
        return self._state.part(vectors, self._now)


def takers_of(
    events: EventArrays,
    positive: npt.NDArray[np.bool_],
    model: InterestModel,
    items: ItemTable,
    interest: InterestSettings,
    texts: TextTable | None = None,
) -> Takers:
    """All choices of a log, each with what its user asked for strictly before it.

    Args:
        events: the log; memory is T x D floats for its choices.
        positive: (T,) which events are choices.
        model: what events are to a query.
        items: N items.
        interest: the half-lives of the banks.
        texts: what the events' words are; None = words are passed over.
    """
    chosen = np.flatnonzero(positive & (events.item != UNKNOWN_ITEM))
    chosen = chosen[np.argsort(events.ts[chosen], kind="stable")]
    user, ts = events.user[chosen], events.ts[chosen]
    moments = ReplayQueries(user, ends_before(events, user, ts), ts)
    query = replay(events, moments, model, items, interest, texts)
    return Takers(events.item[chosen], ts, directions_of(query.vectors))


def directions_of(vectors: Floats) -> Floats:
    """(B, D) directions of the means of query vectors (B, Q, D); 0 where a mean is 0."""
    mean = vectors.mean(axis=1)
    norm = np.linalg.norm(mean, axis=1, keepdims=True)
    found: Floats = (mean / np.where(norm > 0.0, norm, 1.0)).astype(np.float32)
    return found
