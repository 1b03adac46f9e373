"""Finding items without asking for a slate: by words, likeness, age, or what everybody turns to."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from recsys.bundle import Bundle
from recsys.encoder.projection import unit_rows
from recsys.errors import EventError
from recsys.ranking import Floats, interest_part
from recsys.shelf import Shelf
from serving.api.checks import check_id
from serving.api.schemas import SimilarReply, TrendingReply
from serving.api.search_schemas import FoundItem, LatestItem, LatestReply, SearchReply
from serving.asking import check_k
from serving.browse import nearest, similar_items, trending_items, trending_reply

if TYPE_CHECKING:
    from serving.gateway import Gateway

N_NEAR = 500
"""Items nearest to the words, which the profile may put into another order."""


async def search(
    gateway: Gateway, text: str, user_id: str | None, k: int, personal: float
) -> SearchReply:
    """Items that are near to words, those that a user likes before others.

    ``score = relevance + personal * spread * z``: the cosine of words and item; and of the N_NEAR
    best, by how many standard deviations the item is to the user's taste, on the scale of the
    cosines.

    Args:
        gateway: that answers now.
        text: the words.
        user_id: whose taste counts; None = nobody's.
        k: how many.
        personal: weight of the taste; 0 = the words alone.

    Raises:
        EventError: if an argument is unsound, the words are none, or the bundle has no encoder.
        UnavailableError: if the encoder or the profile is away.
    """
    check_k(gateway.settings, k)
    as_of, taste = gateway.now(), None
    vectors = await gateway.newcomers.text_vector(text)
    if vectors is None:
        raise EventError("q", "has no words", "Give some")
    if user_id is not None and personal > 0.0:
        check_id("user_id", user_id, gateway.settings.data.max_id_bytes)
        (view,) = await gateway.pool.read([user_id], as_of, {})
        as_of, taste = view.as_of, view.query.vectors[0] if view.is_known else None
    asked: Floats = unit_rows(gateway.bundle.projection.project(vectors))[0]
    given = (gateway.bundle, gateway.slates.shelf, asked, taste, as_of, k, personal)
    found = await asyncio.to_thread(_found, *given)
    return SearchReply(as_of=as_of, is_personal=taste is not None, items=found)


def _found(  # noqa: PLR0913, PLR0917 - who asks for what, of which catalog
    bundle: Bundle,
    shelf: Shelf,
    asked: Floats,
    taste: Floats | None,
    as_of: float,
    k: int,
    personal: float,
) -> list[FoundItem]:
    rows, relevance = nearest(bundle, shelf, asked, as_of, max(N_NEAR, k))
    score = relevance.astype(np.float64)
    if taste is not None and len(rows) > 1:
        score += personal * score.std() * _z(interest_part(taste, shelf.items.vectors[rows]))
    best = np.argsort(-score, kind="stable")[:k]
    return [
        FoundItem(
            item_id=shelf.catalog.item_ids[int(rows[place])],
            title=shelf.catalog.label(int(rows[place])),
            rank=rank + 1,
            score=float(score[place]),
            relevance=float(relevance[place]),
        )
        for rank, place in enumerate(best)
    ]


def _z(values: Floats) -> npt.NDArray[np.float64]:
    spread = float(values.std())
    away: npt.NDArray[np.float64] = values.astype(np.float64) - float(values.mean())
    return away / spread if spread > 0.0 else away


def latest(gateway: Gateway, k: int) -> LatestReply:
    """What came last, newest first; items that were always there did not come.

    Raises:
        EventError: if ``k`` is unsound.
    """
    check_k(gateway.settings, k)
    catalog, as_of = gateway.bundle.catalog, gateway.now()
    came = np.flatnonzero(catalog.available(as_of) & np.isfinite(catalog.available_from))
    newest = came[np.argsort(-catalog.available_from[came], kind="stable")[:k]].tolist()
    items = [
        LatestItem(
            item_id=catalog.item_ids[row],
            title=catalog.label(row),
            rank=place + 1,
            available_from=float(catalog.available_from[row]),
        )
        for place, row in enumerate(newest)
    ]
    return LatestReply(as_of=as_of, items=items)


async def similar(gateway: Gateway, item_id: str, k: int) -> SimilarReply:
    """Items like an item.

    Raises:
        EventError: if an argument is unsound.
        NotFoundError: if the catalog has no such item.
    """
    check_k(gateway.settings, k)
    check_id("item_id", item_id, gateway.settings.data.max_id_bytes)
    given = (gateway.bundle, gateway.slates.shelf, item_id, k, gateway.now())
    return await asyncio.to_thread(similar_items, *given)


async def trending(
    gateway: Gateway, k: int, half_life_s: float | None, asked: float | str | None
) -> TrendingReply:
    """What everybody turns to.

    Raises:
        EventError: if an argument is unsound.
    """
    check_k(gateway.settings, k)
    as_of, trend = gateway.as_of(asked), gateway.slates.trend
    given = (gateway.slates.shelf, trend.mass(as_of), as_of, k, half_life_s)
    found = await asyncio.to_thread(trending_items, *given)
    return trending_reply(as_of, trend.as_of, found)


async def popular(gateway: Gateway, k: int) -> TrendingReply:
    """What everybody ever turned to: the trend at its longest half-life.

    Raises:
        EventError: if ``k`` is unsound.
    """
    return await trending(gateway, k, max(gateway.slates.shelf.trend.half_lives_s), None)
