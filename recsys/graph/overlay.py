"""Where one user is in the interest graph: a short and a long mass of each interest.

    mass_ah(t) = sum over events j of node a of importance_j 2^(-(t - t_j)/tau_h)    h: short, long
    weight_a   = (short_a + long_a) / 2

The additive state of profiles, kept apart by node. It is put together from the recent events that a
profile holds anyway (``interest.n_recent``), not stored: exact for users with no more events than
that. What older events would add is left out, so of users with longer histories the long mass is
that of their latest events.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from recsys.graph.interest_graph import InterestGraph
from recsys.graph.options import GraphSettings
from recsys.shelf import Evidence

Masses = npt.NDArray[np.float64]
Drift = Literal["appeared", "growing", "steady", "fading", "died"]

LEAST_WEIGHT = 0.05
"""An interest that weighs less is dead: a twentieth of a click of this moment."""
MOVED = 0.05
"""Share of its weight by which an interest must have moved to grow or to fade."""
_N_HALVINGS = 60


@dataclass(frozen=True)
class Overlay:
    """One user's A interests, true at ``as_of``."""

    as_of: float
    """Unix seconds."""
    short: Masses
    """(A,) mass of positive evidence at the short half-life."""
    long: Masses
    """(A,) the same at the long one."""
    against: Masses
    """(A,) mass of negative evidence at the long half-life; it is no part of the weight."""
    n_events: npt.NDArray[np.int64]
    """(A,) events of positive evidence."""
    options: GraphSettings
    """The half-lives."""

    @property
    def weight(self) -> Masses:
        """(A,) what each interest weighs; one click of this moment weighs 1."""
        return (self.short + self.long) / 2.0

    @property
    def shares(self) -> Masses:
        """(A,) the weights as shares of 1; zeros where there is no interest."""
        total = self.weight.sum()
        return self.weight / total if total > 0.0 else self.weight

    def after(self, seconds: npt.NDArray[np.float64] | float) -> Masses:
        """(A,) what each interest will weigh so many seconds on, if nothing happens."""
        short = self.short * np.exp2(-np.asarray(seconds) / self.options.short_half_life_s)
        return (
            short + self.long * np.exp2(-np.asarray(seconds) / self.options.long_half_life_s)
        ) / 2

    @property
    def half_in_s(self) -> Masses:
        """(A,) seconds in which each weight halves, if nothing happens; NaN = there is none."""
        low = np.zeros(len(self.short))
        high = np.full(len(self.short), self.options.longest_s)
        for _ in range(_N_HALVINGS):
            middle = (low + high) / 2.0
            is_more = self.after(middle) > self.weight / 2.0
            low, high = np.where(is_more, middle, low), np.where(is_more, high, middle)
        return np.where(self.weight > 0.0, high, np.nan)


def overlay(evidence: Evidence, graph: InterestGraph, as_of: float) -> Overlay:
    """One user's interests at a moment.

    Args:
        evidence: recent events, in any order; those after ``as_of``, and those of items in no
            node, are passed over.
        graph: of the same catalog.
        as_of: Unix seconds.
    """
    item, ts = evidence.recent_item, evidence.recent_ts
    importance = np.asarray(evidence.recent_importance, np.float64)
    node = np.where(item >= 0, np.append(graph.node, -1)[item], -1)
    kept = np.flatnonzero((node >= 0) & (ts <= as_of))
    order = kept[np.lexsort((importance[kept], node[kept], ts[kept]))]  # sums in one order
    at, age, signed = node[order], as_of - ts[order], importance[order]
    good, options = np.maximum(signed, 0.0), graph.options

    def mass(importance: Masses, half_life_s: float) -> Masses:
        left = importance * np.exp2(-age / half_life_s)
        return np.bincount(at, weights=left, minlength=len(graph)).astype(np.float64)

    return Overlay(
        as_of=as_of,
        short=mass(good, options.short_half_life_s),
        long=mass(good, options.long_half_life_s),
        against=mass(good - signed, options.long_half_life_s),
        n_events=np.bincount(at[signed > 0.0], minlength=len(graph)).astype(np.int64),
        options=options,
    )


def drift(before: Overlay, after: Overlay) -> list[Drift]:
    """(A,) what became of each interest between two moments of one user.

    It has ``appeared`` or ``died`` where its weight crossed ``LEAST_WEIGHT``; it is ``growing`` or
    ``fading`` where it moved by more than ``MOVED`` of what it was. Both moments are read in closed
    form from the same events; what had not happened yet at the earlier one does not count there.
    """
    pairs = zip(before.weight.tolist(), after.weight.tolist(), strict=True)
    return [_drift(was, now) for was, now in pairs]


def direction(evidence: Evidence, graph: InterestGraph, now: Overlay) -> list[Drift]:
    """(A,) ``drift`` over one short half-life: where each interest is going.

    Interests that were dead before and are dead now have ``died``, too.
    """
    before = overlay(evidence, graph, now.as_of - graph.options.short_half_life_s)
    found = drift(before, now)
    return ["died" if w < LEAST_WEIGHT else d for d, w in zip(found, now.weight, strict=True)]


def _drift(was: float, now: float) -> Drift:
    if (was < LEAST_WEIGHT) != (now < LEAST_WEIGHT):
        return "appeared" if was < LEAST_WEIGHT else "died"
    if abs(now - was) <= MOVED * was:
        return "steady"
    return "growing" if now > was else "fading"
