"""Reasons: the one recent event that lifts an item most, else the fastest trend.

What an event adds to an item is the score with it minus the score without it. A zero-shot score is
a sum over events once the masses are given, so there the event's summand is taken,

    contribution_ij = a_j * (v_i . v_j) * sum_h w_h * 2^(-age_j / tau_h) / (mass_h(t) + m_0)

which costs no second query; the summands add up to the interest part. Of any other model the
profile is put together without the event, and asked again (``recsys.interest.contributions``).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.interest.contributions import contributions as added_by_each
from recsys.interest.contributions import without_each
from recsys.interest.model import FoldBatch
from recsys.interest.zero_shot import ZeroShot
from recsys.ranking import Floats, freshness
from recsys.shelf import Evidence, Shelf

Reason = dict[str, Any]
Rows = npt.NDArray[np.integer[Any]]


def explain(
    shelf: Shelf,
    evidence: Evidence,
    trend_features: Floats,
    as_of: float,
    rows: Rows,
    parts: dict[str, Floats],
) -> list[Reason]:
    """A reason for each of some items.

    Args:
        shelf: of the bundle.
        evidence: of the user.
        trend_features: (N, Ht) of all items.
        as_of: the moment.
        rows: (n,) the items.
        parts: ``interest`` (n,) and, if there is one, ``neighbours`` (n,) of these items, and
            ``trend`` (N,) of all.

    Returns:
        ``{"type": "because", "item_id", "title", "event_age_s"}`` where a recent event lifts the
        item at least as much as trend does, ``{"type": "trending", "half_life_s"}`` where trend
        does, else ``{"type": "cold"}``.
    """
    contribution = contributions(shelf, evidence, as_of, rows, trend_features)  # (n, R)
    taste = parts["interest"] if shelf.common is None else parts["interest"] - shelf.common[rows]
    if "neighbours" in parts:
        taste = taste + parts["neighbours"]
    trend = parts["trend"]
    typical = float(np.median(trend)) if len(rows) else 0.0
    lift = trend[rows].astype(np.float64) - typical  # only what stands out explains
    best_event = contribution.max(axis=1, initial=0.0)
    weighed = _weighed(shelf, evidence, trend_features, rows)
    is_rising = weighed.max(axis=1, initial=0.0) > 0
    reasons: list[Reason] = []
    for i in range(len(rows)):
        if best_event[i] > 0 and (taste[i] >= lift[i] or not is_rising[i]):
            reasons.append(_because(shelf, evidence, as_of, int(np.argmax(contribution[i]))))
        elif is_rising[i]:
            half_life_s = shelf.trend.half_lives_s[int(np.argmax(weighed[i]))]
            reasons.append({"type": "trending", "half_life_s": float(half_life_s)})
        else:
            reasons.append({"type": "cold"})
    return reasons


def contributions(
    shelf: Shelf, evidence: Evidence, as_of: float, rows: Rows, trend_features: Floats
) -> npt.NDArray[np.float64]:
    """(n, R) what each recent event adds to the score of each of some items.

    Of a zero-shot model it is what it adds to the interest part, at the masses that there are.
    """
    if len(evidence.recent_item) == 0:
        return np.zeros((len(rows), 0))
    if isinstance(shelf.model, ZeroShot):
        added = _summands(shelf, shelf.model, evidence, as_of, rows)
    elif evidence.banks is not None:
        added = _differences(shelf, evidence, as_of, rows, trend_features)
    else:
        added = np.zeros((len(rows), len(evidence.recent_item)))
    return added + _through_neighbours(shelf, evidence, as_of, rows)


def _summands(
    shelf: Shelf, model: ZeroShot, evidence: Evidence, as_of: float, rows: Rows
) -> npt.NDArray[np.float64]:
    item, settings, weights = evidence.recent_item, model.interest, model.weights
    age = np.maximum(0.0, as_of - np.asarray(evidence.recent_ts, np.float64))
    mass = np.zeros(len(weights.interest)) if evidence.mass_now is None else evidence.mass_now
    decay = np.exp2(-age[:, None] / np.array(settings.half_lives_s))  # (R, H)
    positive = decay @ (weights.interest / (mass + settings.confidence_mass))
    slow = np.exp2(-age[:, None] / np.array(settings.negative_half_lives_s))
    negative = slow @ (weights.negative / settings.confidence_mass)
    importance = np.asarray(evidence.recent_importance, np.float64)
    strength = importance * np.where(importance < 0, negative, positive)
    vectors = shelf.items.vectors
    cosines = vectors[rows].astype(np.float64) @ vectors[np.maximum(item, 0)].T
    result: npt.NDArray[np.float64] = cosines * np.where(item < 0, 0.0, strength)
    return result


def _differences(
    shelf: Shelf, evidence: Evidence, as_of: float, rows: Rows, trend_features: Floats
) -> npt.NDArray[np.float64]:
    assert evidence.banks is not None
    recent = FoldBatch(
        np.asarray(evidence.recent_item, np.int32),
        np.asarray(evidence.recent_ts, np.float64),
        evidence.recent_kind,
        np.asarray(evidence.recent_value, np.float64),
    )
    lives = (*shelf.interest.half_lives_s, *shelf.interest.negative_half_lives_s)
    each = without_each(shelf.model, shelf.items, evidence.banks, recent, lives)
    query = shelf.model.query(each, as_of)
    young = freshness(shelf.catalog.available_from[rows], as_of, shelf.trend.half_lives_s)
    return added_by_each(query, shelf.items.pick(rows), trend_features[rows], young)


def _through_neighbours(
    shelf: Shelf, evidence: Evidence, as_of: float, rows: Rows
) -> npt.NDArray[np.float64]:
    added = np.zeros((len(rows), len(evidence.recent_item)))
    if shelf.neighbours is None:
        return added
    known = np.flatnonzero(evidence.recent_item >= 0)
    item, ts = evidence.recent_item[known], evidence.recent_ts[known]
    worth = evidence.recent_importance[known]
    whole = shelf.neighbours.part(item, ts, as_of, worth)[rows]
    for place, event in enumerate(known):
        kept = np.arange(len(known)) != place
        left = shelf.neighbours.part(item[kept], ts[kept], as_of, worth[kept])[rows]
        added[:, event] = whole - left
    return added


def _weighed(shelf: Shelf, evidence: Evidence, trend_features: Floats, rows: Rows) -> Floats:
    """(n, Ht) what each half-life of the items' trend is to the user."""
    query, warm = evidence.query, shelf.items.warm[rows]
    weights = np.where(warm[:, None], query.warm_trend, query.cold_trend)
    weighed: Floats = trend_features[rows] * weights
    return weighed


def _because(shelf: Shelf, evidence: Evidence, as_of: float, event: int) -> Reason:
    row = int(evidence.recent_item[event])
    return {
        "type": "because",
        "item_id": shelf.catalog.item_ids[row],
        "title": shelf.catalog.label(row),
        "event_age_s": max(0.0, as_of - float(evidence.recent_ts[event])),
    }
