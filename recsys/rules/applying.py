"""Applying rules: candidates and their scores in, a slate's order out.

1. Filters and availability take candidates out.
2. Boosts multiply and add, then what is buried goes behind all others.
3. Pins take their places, whatever quotas say.
4. Quotas that ask for at least n reserve places; the rest is filled by score, and no place is given
   beyond an ``at_most``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.rules.compiled import BoundRule, BoundRules
from recsys.rules.filling import Demand, Demands, fill
from recsys.rules.predicate import Bools, Rows
from recsys.rules.schema import Boost, Bury, Pin, Quota

N_CANDIDATES = 500
"""Candidates, best first, that mixed rules are evaluated for."""
N_KEPT = 8
"""Best items of a pin or quota that stay candidates, however low their scores are."""
N_WANTED = 64
"""Items of a pin or quota that become candidates, whether they were found or not."""

Floats = npt.NDArray[np.floating[Any]]
Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Adjusted:
    """The m candidates that rules leave, best first."""

    places: Places
    """(m,) positions among the candidates that were given."""
    added: npt.NDArray[np.float32]
    """(m,) what boosts and buries add to the scores."""
    notes: tuple[str, ...]
    """Why nothing is left, in words."""


@dataclass(frozen=True)
class Placed:
    """A slate of m <= k items in order."""

    places: Places
    """(m,) positions among the candidates that were given."""
    pinned: Places
    """(m,) the place at which an item is pinned, from 1; 0 = it is not."""
    rules: list[tuple[str, ...]]
    """m times the ids of the rules that changed an item's score or place."""
    notes: tuple[str, ...]
    """What rules held back or could not do, in words."""


@dataclass(frozen=True)
class Applied(Placed):
    """Both."""

    added: npt.NDArray[np.float32]
    """(m,) as ``Adjusted.added``."""


def apply(
    bound: BoundRules, rows: Rows, scores: Floats, k: int, n_candidates: int = N_CANDIDATES
) -> Applied:
    """Make a slate of candidates.

    Args:
        bound: rules that count for the request.
        rows: (n,) distinct catalog rows.
        scores: (n,) comparable with each other.
        k: length of the slate; positive.
        n_candidates: how many of the best are looked at closely.

    Returns:
        At most k items; none, with a note that says so, where all are filtered.
    """
    near = shortlist(bound, rows, scores, n_candidates)
    left = adjust(bound, rows[near], scores[near])
    chosen = near[left.places]
    found = place(bound, rows[chosen], k)
    notes = left.notes
    if len(near) == 0 and len(rows) > 0:
        notes = (_all_filtered(bound, rows),)
    return Applied(
        places=chosen[found.places],
        pinned=found.pinned,
        rules=found.rules,
        notes=(*notes, *(() if len(chosen) == 0 else found.notes)),
        added=left.added[found.places],
    )


def adjust(bound: BoundRules, rows: Rows, scores: Floats) -> Adjusted:
    """Take out what is filtered, and change scores.

    Args:
        bound: rules that count for the request.
        rows: (n,) distinct catalog rows.
        scores: (n,) comparable with each other.
    """
    kept = np.ones(len(rows), np.bool_)
    for one in bound.rules:
        if one.compiled.hides:
            kept &= ~one.compiled.hidden(bound.holds(one, rows))
    left = np.flatnonzero(kept)
    values = scores[left].astype(np.float64)
    added = _added(bound, [bound.holds(one, rows[left]) for one in bound.rules], values)
    order = np.argsort(-(values + added), kind="stable")
    notes = [f"no time was left for all of rule {rule_id}" for rule_id in bound.late]
    if len(left) == 0 < len(rows):
        notes.append(_all_filtered(bound, rows))
    return Adjusted(left[order], added[order].astype(np.float32), tuple(notes))


def place(bound: BoundRules, rows: Rows, k: int) -> Placed:
    """Give places.

    Args:
        bound: rules that count for the request.
        rows: (n,) catalog rows that are not filtered, in the order that they should have.
        k: length of the slate; positive.
    """
    holds = [bound.holds(one, rows) for one in bound.rules]
    buried = np.zeros(len(rows), np.bool_)
    for one, where in zip(bound.rules, holds, strict=True):
        if isinstance(one.rule.action, Bury):
            buried |= where
    order = np.argsort(buried, kind="stable")
    holds = [where[order] for where in holds]
    filled = fill(_demands(bound, holds), len(rows), k)
    touched = _touched(bound, [where[filled.order] for where in holds], filled.rules)
    return Placed(order[filled.order], filled.pinned, touched, filled.notes)


def shortlist(bound: BoundRules, rows: Rows, scores: Floats, n: int) -> Places:
    """Positions of the n best candidates that no bitmap hides, and of what pins and quotas need."""
    allowed = bound.allowed(rows)
    if len(rows) <= n:
        return np.flatnonzero(allowed)
    left = np.flatnonzero(allowed)
    cheap = [bound.cheap(one, rows[left]) & one.is_cheap for one in bound.rules]
    values = scores[left].astype(np.float64)
    order = np.argsort(-(values + _added(bound, cheap, values)), kind="stable")
    near = [order[:n]]
    for one in bound.rules:
        if _keeps(one) > 0:
            where = bound.cheap(one, rows[left])
            near.append(order[where[order]][: _keeps(one)])
    return np.sort(left[np.unique(np.concatenate(near))])


def wanted(bound: BoundRules) -> Rows:
    """Catalog rows that pins and quotas ask for, whether they are candidates or not."""
    asked = [one for one in bound.rules if one.is_asked and _keeps(one) > 0]
    bitmaps = [one.compiled.predicate.bitmap for one in asked]
    found = [np.flatnonzero(bitmap)[:N_WANTED] for bitmap in bitmaps if bitmap is not None]
    return np.unique(np.concatenate([*found, np.zeros(0, np.int64)]))


def _keeps(one: BoundRule) -> int:
    """How many of the items that a rule is about stay candidates, however low their scores."""
    action = one.rule.action
    if isinstance(action, Pin):
        return N_KEPT
    return max(N_KEPT, action.at_least) if isinstance(action, Quota) and action.at_least else 0


def _added(bound: BoundRules, holds: list[Bools], scores: Floats) -> npt.NDArray[np.float64]:
    """(n,) what boosts and buries add to scores."""
    times, plus = np.ones(len(scores)), np.zeros(len(scores))
    buried = np.zeros(len(scores), np.bool_)
    for one, where in zip(bound.rules, holds, strict=True):
        action = one.rule.action
        if isinstance(action, Bury):
            buried |= where
        elif isinstance(action, Boost) and action.multiply is not None:
            times[where] *= action.multiply
        elif isinstance(action, Boost):
            plus[where] += action.add or 0.0
    if len(scores) == 0:
        return plus
    spread = float(np.ptp(scores)) or 1.0
    added = np.where(scores >= 0, scores * (times - 1.0), scores * (1.0 / times - 1.0))
    added += spread * plus
    if buried.any() and not buried.all():
        boosted = scores + added
        gap = boosted[buried].max() - boosted[~buried].min() + 1e-3 * spread
        added[buried] -= max(gap, 0.0)
    return added


def _demands(bound: BoundRules, holds: list[Bools]) -> Demands:
    demands = Demands([], [], [])
    for one, where in zip(bound.rules, holds, strict=True):
        action = one.rule.action
        if isinstance(action, Pin):
            demands.pins.append(Demand(action.place, one.rule.id, where))
        elif isinstance(action, Quota) and action.at_most is not None:
            demands.at_most.append(Demand(action.at_most, one.rule.id, where))
        elif isinstance(action, Quota) and action.at_least is not None:
            demands.at_least.append(Demand(action.at_least, one.rule.id, where))
    return demands


def _touched(
    bound: BoundRules, holds: list[Bools], placing: list[str | None]
) -> list[tuple[str, ...]]:
    """The rules of each shown item: what gave it its place, then boosts and buries."""
    found: list[list[str]] = [[] if rule_id is None else [rule_id] for rule_id in placing]
    for one, where in zip(bound.rules, holds, strict=True):
        if isinstance(one.rule.action, Boost | Bury):
            for place in np.flatnonzero(where):
                found[place].append(one.rule.id)
    return [tuple(ids) for ids in found]


def _all_filtered(bound: BoundRules, rows: Rows) -> str:
    some = rows[:N_CANDIDATES]
    hiding = [
        one.rule.id
        for one in bound.rules
        if one.compiled.hides and one.compiled.hidden(bound.holds(one, some)).any()
    ]
    return f"all {len(rows)} candidates are filtered by the rules {', '.join(hiding)}"
