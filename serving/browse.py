"""Views of the catalog that need no profile: items like an item, and what is trending."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.bundle import Bundle
from recsys.eligibility import eligible
from recsys.errors import EventError, NotFoundError
from recsys.ranking import Floats, interest_part, top_k, trend_part
from recsys.shelf import Shelf
from recsys.trend import trend_features
from serving.api.schemas import SimilarItem, SimilarReply, TrendingItem, TrendingReply

Rows = npt.NDArray[np.int64]


def similar_items(bundle: Bundle, shelf: Shelf, item_id: str, k: int, as_of: float) -> SimilarReply:
    """Available items nearest to one; none for an item without text.

    Raises:
        NotFoundError: if the catalog has no such item.
    """
    row = shelf.catalog.index.get(item_id)
    if row is None:
        raise NotFoundError("item", "does not exist", "It may come with the next bundle")
    vector = shelf.items.directions[row]
    if not vector.any():
        return SimilarReply(item_id=item_id, items=[])
    rows, found = nearest(bundle, shelf, vector, as_of, k, but=row)
    items = [
        SimilarItem(rank=place + 1, score=float(score), **_named(shelf, int(i)))
        for place, (i, score) in enumerate(zip(rows, found, strict=True))
    ]
    return SimilarReply(item_id=item_id, items=items)


def nearest(
    bundle: Bundle, shelf: Shelf, direction: Floats, as_of: float, k: int, but: int | None = None
) -> tuple[Rows, Floats]:
    """Available items whose directions are nearest to one; the index of a large catalog finds them.

    Args:
        bundle: with the index.
        shelf: of it.
        direction: (D,) of length 1.
        as_of: Unix seconds.
        k: how many.
        but: the row of an item that is left out; None = none is.

    Returns:
        (n,) rows and cosines, best first.
    """
    directions = shelf.items.directions
    allowed = shelf.catalog.available(as_of) & directions.any(axis=1)
    if but is not None:
        allowed[but] = False
    if len(shelf.catalog) < bundle.settings.retrieval.exact_below:
        scores = interest_part(direction, directions)
        rows = top_k(scores, allowed, k)
        return rows, scores[rows]
    near = bundle.index.search(direction[None], 4 * k + 1)[0][0]
    near = near[(near >= 0) & allowed[np.maximum(near, 0)]]
    scores = interest_part(direction, directions[near])  # the index knows no directions
    best = np.argsort(-scores, kind="stable")[:k]
    return near[best], scores[best]


def trending_items(
    shelf: Shelf,
    mass: npt.NDArray[np.float32],
    as_of: float,
    k: int,
    half_life_s: float | None,
) -> tuple[list[float], list[TrendingItem]]:
    """What is popular now.

    Args:
        shelf: of the bundle.
        mass: (N, Ht) decayed numbers of events.
        as_of: Unix seconds.
        k: how many.
        half_life_s: at which half-life of the bank; None = weighted as in slates.

    Returns:
        The bank, and the items.

    Raises:
        EventError: if the bank has no such half-life.
    """
    bank = list(shelf.trend.half_lives_s)
    features = trend_features(mass)
    scores = _trend_scores(shelf, mass, features, bank, half_life_s)
    rows = top_k(scores, eligible(shelf, features, as_of) & (scores > 0), k)
    return bank, [
        TrendingItem(
            rank=place + 1,
            score=float(scores[row]),
            mass=[float(m) for m in mass[row]],
            **_named(shelf, int(row)),
        )
        for place, row in enumerate(rows)
    ]


def _trend_scores(
    shelf: Shelf,
    mass: npt.NDArray[np.float32],
    features: npt.NDArray[np.float32],
    bank: list[float],
    half_life_s: float | None,
) -> npt.NDArray[np.float32]:
    if half_life_s is not None:
        if half_life_s not in bank:
            known = ", ".join(f"{h:.0f}" for h in bank)
            raise EventError("half_life_s", "is not in the bank", f"One of {known}")
        return np.ascontiguousarray(mass[:, bank.index(half_life_s)])
    if shelf.nobody.uses_trend.any():
        return trend_part(shelf.nobody, shelf.items.warm, features)
    return np.ascontiguousarray(features.sum(axis=1))  # slates of this bundle use no trend


def trending_reply(
    as_of: float, trend_as_of: float | None, found: tuple[list[float], list[TrendingItem]]
) -> TrendingReply:
    """The reply to what ``trending_items`` found."""
    bank, items = found
    return TrendingReply(as_of=as_of, trend_as_of=trend_as_of, half_lives_s=bank, items=items)


def _named(shelf: Shelf, row: int) -> dict[str, Any]:
    return {"item_id": shelf.catalog.item_ids[row], "title": shelf.catalog.label(row)}
