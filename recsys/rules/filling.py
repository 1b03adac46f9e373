"""Filling the places of a slate: pins first, then what quotas reserve, then by score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recsys.rules.predicate import Bools

Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Demand:
    """What a pin or a quota asks for."""

    number: int
    """A place from 1, or how many."""
    rule_id: str
    about: Bools
    """(n,) the candidates that it is about."""


@dataclass(frozen=True)
class Demands:
    """All of them, each list by falling priority."""

    pins: list[Demand]
    at_most: list[Demand]
    at_least: list[Demand]


@dataclass(frozen=True)
class Filled:
    """The slate: m <= k candidates."""

    order: Places
    """(m,) positions among the candidates."""
    pinned: Places
    """(m,) the place asked for by a pin; 0 = none."""
    rules: list[str | None]
    """m times the rule that gave the item its place; None = its score did."""
    notes: tuple[str, ...]


def fill(demands: Demands, n: int, k: int) -> Filled:
    """Fill k places from n candidates.

    Args:
        demands: a pin takes the best that it is about; quotas count what is pinned, and never
            drop it.
        n: candidates, best first.
        k: places.
    """
    pinned, notes = _pinned(demands.pins, k)
    filling = _Filling(n, k, demands.at_most)
    for candidate, _ in pinned.values():
        filling.take(candidate)
    reserved: dict[int, str] = {}
    for quota in demands.at_least:
        missing = quota.number - int(quota.about[filling.taken].sum())
        found = filling.take_best(quota.about, missing)
        reserved |= dict.fromkeys(found, quota.rule_id)
        if len(found) < missing:
            there = quota.number - missing + len(found)
            notes.append(f"rule {quota.rule_id} wants at least {quota.number}, there are {there}")
    filling.take_best(np.ones(n, np.bool_), k)
    n_blocked = int(filling.blocked.sum())
    if len(filling.taken) < min(n, k) and n_blocked > 0:
        names = ", ".join(quota.rule_id for quota in demands.at_most)
        notes.append(f"the quotas {names} hold {n_blocked} candidates back")
    return _in_order(filling.taken, pinned, reserved, notes, k)


class _Filling:
    """Candidates that were taken, within the quotas that set a maximum."""

    def __init__(self, n: int, k: int, at_most: list[Demand]) -> None:
        self.taken: list[int] = []
        self.blocked = np.zeros(n, np.bool_)
        """(n,) those that are not taken and cannot be any more."""
        self._k = k
        self._quotas = [(quota.number, quota.about) for quota in at_most]
        self._block()

    def take(self, candidate: int) -> None:
        self.taken.append(candidate)
        self._quotas = [(left - int(about[candidate]), about) for left, about in self._quotas]
        self._block()

    def take_best(self, about: Bools, wanted: int) -> list[int]:
        """Take the best of some, as many as are wanted, fit and are within the quotas."""
        found: list[int] = []
        for candidate in np.flatnonzero(about & ~self.blocked).tolist():
            if len(found) >= wanted or len(self.taken) >= self._k:
                break
            if not self.blocked[candidate] and candidate not in self.taken:
                self.take(candidate)
                found.append(candidate)
        return found

    def _block(self) -> None:
        spent = [about for left, about in self._quotas if left <= 0]
        if len(spent) == 0:
            return
        for about in spent:
            self.blocked |= about
        self.blocked[self.taken] = False
        self._quotas = [(left, about) for left, about in self._quotas if left > 0]


def _pinned(pins: list[Demand], k: int) -> tuple[dict[int, tuple[int, str]], list[str]]:
    """Place from 1 -> candidate and rule; and what could not be pinned, in words."""
    found: dict[int, tuple[int, str]] = {}
    notes: list[str] = []
    for pin in pins:
        if pin.number > k:
            continue
        taken = [candidate for candidate, _ in found.values()]
        free = [one for one in np.flatnonzero(pin.about)[: len(taken) + 1] if one not in taken]
        if len(free) == 0:
            notes.append(f"rule {pin.rule_id} pins nothing: it fits no candidate that may be shown")
        elif pin.number in found:
            holder = found[pin.number][1]
            notes.append(f"rule {pin.rule_id} pins nothing: {holder} has place {pin.number}")
        else:
            found[pin.number] = (int(free[0]), pin.rule_id)
    return found, notes


def _in_order(
    taken: list[int],
    pinned: dict[int, tuple[int, str]],
    reserved: dict[int, str],
    notes: list[str],
    k: int,
) -> Filled:
    """By score, with the pinned at their places; those that come too early for theirs go last."""
    fixed = {candidate for candidate, _ in pinned.values()}
    shown: list[tuple[int, int, str | None]] = [
        (one, 0, reserved.get(one) if one >= k else None) for one in sorted({*taken} - fixed)
    ]
    for place in sorted(pinned):
        candidate, rule_id = pinned[place]
        shown.insert(place - 1, (candidate, place, rule_id))
    return Filled(
        order=np.array([one for one, _, _ in shown], np.int64),
        pinned=np.array([place for _, place, _ in shown], np.int64),
        rules=[rule_id for _, _, rule_id in shown],
        notes=tuple(notes),
    )
