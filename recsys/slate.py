"""The slate: the best candidates in order, each with the parts of its score and a reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.ranking import Floats, fresh_part, interest_part, top_k, total, trend_part
from recsys.reasons import Reason, explain
from recsys.shelf import Evidence, Shelf, neighbour_part


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
    trend = trend_part(evidence.query, shelf.items.warm, trend_features)
    found = {
        "interest": interest_part(evidence.query.vectors[0], shelf.items.vectors[rows]),
        "trend": trend[rows],
    }
    born, lives = shelf.catalog.available_from, shelf.trend.half_lives_s
    fresh = fresh_part(evidence.query, born, as_of, lives)
    if fresh is not None:
        found["fresh"] = fresh[rows]
    near = neighbour_part(shelf, evidence, as_of)
    if near is not None:
        found["neighbours"] = near[rows]
    scores = total(found)
    best = top_k(scores, allowed, options.k)
    told = {**{name: values[best] for name, values in found.items()}, "trend": trend}
    reasons = explain(shelf, evidence, trend_features, as_of, chosen[best], told)
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
