"""The slate: the best candidates in order, each with the parts of its score and a reason.

The reason of an item that interest lifts is the one recent event that lends it most,

    contribution_ij = a_j * (v_i . v_j) * sum_h w_h * 2^(-age_j / tau_h) / (mass_h(t) + m_0)

which is exactly the event's share of the score ``u . v_i``; else it is the fastest trend.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.catalog import Catalog
from recsys.ranking import Floats, RankingWeights, interest_part, parts, top_k, trend_part
from recsys.settings import InterestSettings, TrendSettings

Reason = dict[str, Any]

N_NEAREST = 100


def _none() -> npt.NDArray[np.int64]:
    return np.zeros(0, np.int64)


def _no_times() -> npt.NDArray[np.float64]:
    return np.zeros(0, np.float64)


@dataclass(frozen=True)
class Shelf:
    """What every slate of one bundle is made from."""

    catalog: Catalog
    vectors: Floats
    """(N, D) item vectors; a zero row = no text."""
    weights: RankingWeights
    interest: InterestSettings
    trend: TrendSettings

    @cached_property
    def category_names(self) -> list[str]:
        """The C distinct categories, sorted."""
        return sorted({name for names in self.catalog.categories for name in names})

    @cached_property
    def category_rows(self) -> list[npt.NDArray[np.int64]]:
        """For each item the positions of its categories in ``category_names``."""
        position = {name: i for i, name in enumerate(self.category_names)}
        return [
            np.array(sorted({position[name] for name in names}), np.int64)
            for names in self.catalog.categories
        ]

    @cached_property
    def category_shares(self) -> npt.NDArray[np.float64]:
        """(C,) share of all category labels of the catalog."""
        counts = np.zeros(len(self.category_names))
        for rows in self.category_rows:
            counts[rows] += 1.0
        shares: npt.NDArray[np.float64] = counts / max(counts.sum(), 1.0)
        return shares


@dataclass(frozen=True)
class Evidence:
    """What one profile says at ``as_of``; the default is somebody who is not known."""

    u: Floats
    """(D,) the unnormalised query."""
    mass_now: Floats | None = None
    """(H,) positive mass of each half-life at ``as_of``; None = a fresh, empty profile."""
    recent_item: npt.NDArray[np.integer[Any]] = field(default_factory=_none)
    """(R,) rows of the catalog; negative = unknown."""
    recent_ts: npt.NDArray[np.float64] = field(default_factory=_no_times)
    """(R,) Unix seconds."""
    recent_importance: npt.NDArray[np.floating[Any]] = field(default_factory=_no_times)
    """(R,) signed: negative evidence is below 0."""
    seen: npt.NDArray[np.integer[Any]] = field(default_factory=_none)
    """Rows of items that the user has touched."""


@dataclass(frozen=True)
class SlateItem:
    """One place of a slate."""

    row: int
    item_id: str
    title: str
    rank: int
    score: float
    parts: dict[str, float]
    reason: Reason


@dataclass(frozen=True)
class Slate:
    """An ordered answer, true at ``as_of``."""

    as_of: float
    items: list[SlateItem]


@dataclass(frozen=True)
class SlateOptions:
    """What a caller may choose."""

    k: int = 10
    exclude_seen: bool = True
    candidates: npt.NDArray[np.integer[Any]] | None = None
    """Rows to choose from; None = the whole catalog, exactly."""


def make_slate(
    shelf: Shelf, evidence: Evidence, trend_features: Floats, as_of: float, options: SlateOptions
) -> Slate:
    """Score candidates, drop what may not be shown, keep the best and explain them.

    Args:
        shelf: of the bundle.
        evidence: the profile at ``as_of``.
        trend_features: (N, Ht) log(1 + decayed popularity) at ``as_of``, of the whole catalog.
        as_of: Unix seconds.
        options: length, seen filter, candidates.

    Returns:
        At most ``k`` items, best first; of equal scores the lower catalog row first.
    """
    chosen, allowed = _candidates(shelf, evidence, trend_features, as_of, options)
    rows = slice(None) if options.candidates is None else chosen  # a slice copies nothing
    found = parts(evidence.u, shelf.vectors[rows], trend_features[rows], shelf.weights)
    scores = found["interest"] + found["trend"]
    best = top_k(scores, allowed, options.k)
    reasons = explain(shelf, evidence, trend_features, as_of, chosen[best])
    return Slate(
        as_of,
        [
            SlateItem(
                row=int(chosen[i]),
                item_id=shelf.catalog.item_ids[chosen[i]],
                title=shelf.catalog.label(int(chosen[i])),
                rank=place + 1,
                score=float(scores[i]),
                parts={name: float(values[i]) for name, values in found.items()},
                reason=reason,
            )
            for place, (i, reason) in enumerate(zip(best, reasons, strict=True))
        ],
    )


def eligible(shelf: Shelf, trend_features: Floats, as_of: float) -> npt.NDArray[np.bool_]:
    """(N,) items that can be had at ``as_of`` and of which anything is known: text or an event."""
    known = shelf.catalog.has_text | trend_features.any(axis=1)
    result: npt.NDArray[np.bool_] = shelf.catalog.available(as_of) & known
    return result


def explain(
    shelf: Shelf,
    evidence: Evidence,
    trend_features: Floats,
    as_of: float,
    rows: npt.NDArray[np.integer[Any]],
) -> list[Reason]:
    """A reason for each of some items.

    Returns:
        ``{"type": "because", "item_id", "title", "event_age_s"}`` where a recent event lifts the
        item at least as much as trend does, ``{"type": "trending", "half_life_s"}`` where trend
        does, else ``{"type": "cold"}``.
    """
    contribution = contributions(shelf, evidence, as_of, rows)  # (n, R)
    interest = interest_part(evidence.u, shelf.vectors[rows])
    trend = trend_part(trend_features[rows], shelf.weights)
    typical = float(np.median(trend_part(trend_features, shelf.weights))) if len(rows) else 0.0
    reasons = []
    for i, row in enumerate(rows):
        lift = float(trend[i]) - typical  # only what stands out explains
        has_event = contribution.shape[1] > 0 and contribution[i].max() > 0
        if has_event and (interest[i] >= lift or trend[i] <= 0):
            reasons.append(_because(shelf, evidence, as_of, int(np.argmax(contribution[i]))))
        elif trend[i] > 0:
            reasons.append(_trending(shelf, trend_features[row]))
        else:
            reasons.append({"type": "cold"})
    return reasons


def contributions(
    shelf: Shelf, evidence: Evidence, as_of: float, rows: npt.NDArray[np.integer[Any]]
) -> npt.NDArray[np.float64]:
    """(n, R) what each recent event adds to the interest part of each item."""
    item = evidence.recent_item
    if len(item) == 0:
        return np.zeros((len(rows), 0))
    settings, weights = shelf.interest, shelf.weights
    age = np.maximum(0.0, as_of - np.asarray(evidence.recent_ts, np.float64))
    mass = np.zeros(len(weights.interest)) if evidence.mass_now is None else evidence.mass_now
    decay = np.exp2(-age[:, None] / np.array(settings.half_lives_s))  # (R, H)
    positive = decay @ (weights.interest / (mass + settings.confidence_mass))
    slow = np.exp2(-age[:, None] / np.array(settings.negative_half_lives_s))
    negative = slow @ (weights.negative / settings.confidence_mass)
    importance = np.asarray(evidence.recent_importance, np.float64)
    strength = importance * np.where(importance < 0, negative, positive)
    cosines = shelf.vectors[rows].astype(np.float64) @ shelf.vectors[np.maximum(item, 0)].T
    result: npt.NDArray[np.float64] = cosines * np.where(item < 0, 0.0, strength)
    return result


def interests(
    shelf: Shelf, u: Floats, n_nearest: int = N_NEAREST, limit: int = 10
) -> list[tuple[str, float]]:
    """What a query is about: categories that stand out among the items nearest to it.

    Returns:
        ``[(category, weight)]``, heaviest first; weights are positive and sum to 1. Empty when
        the query or the categories are.
    """
    names = shelf.category_names
    if len(names) == 0 or not np.any(u):
        return []
    scores = interest_part(u, shelf.vectors)
    near = top_k(scores, shelf.vectors.any(axis=1) & (scores > 0), n_nearest)
    counts = np.zeros(len(names))
    for place in near:
        counts[shelf.category_rows[place]] += 1.0
    excess = counts / max(counts.sum(), 1.0) - shelf.category_shares
    best = [int(i) for i in np.argsort(-excess, kind="stable")[:limit] if excess[i] > 0]
    total = float(sum(excess[i] for i in best))
    return [(names[i], float(excess[i]) / total) for i in best]


def _candidates(
    shelf: Shelf, evidence: Evidence, trend_features: Floats, as_of: float, options: SlateOptions
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Rows in catalog order, and which of them may be shown."""
    allowed = eligible(shelf, trend_features, as_of)
    if options.exclude_seen and len(evidence.seen) > 0:
        allowed[evidence.seen[evidence.seen >= 0]] = False
    if options.candidates is None:
        return np.arange(len(allowed)), allowed
    wanted = options.candidates[options.candidates >= 0]
    chosen = np.unique(wanted).astype(np.int64)
    return chosen, allowed[chosen]


def _because(shelf: Shelf, evidence: Evidence, as_of: float, event: int) -> Reason:
    row = int(evidence.recent_item[event])
    return {
        "type": "because",
        "item_id": shelf.catalog.item_ids[row],
        "title": shelf.catalog.label(row),
        "event_age_s": max(0.0, as_of - float(evidence.recent_ts[event])),
    }


def _trending(shelf: Shelf, features: Floats) -> Reason:
    """The half-life at which the item's weighted trend is strongest."""
    strongest = int(np.argmax(features * shelf.weights.trend))
    return {"type": "trending", "half_life_s": float(shelf.trend.half_lives_s[strongest])}
