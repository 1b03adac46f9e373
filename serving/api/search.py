"""Routes that find items without a slate."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from serving.api.errors import DOCUMENTED
from serving.api.parameters import AsOf, ItemId
from serving.api.schemas import SimilarReply, TrendingReply
from serving.api.search_schemas import LatestReply, SearchReply
from serving.api.standing import Gate, new_router
from serving.searching import latest, popular, search, similar, trending

router = new_router(responses=DOCUMENTED)

Words = Annotated[str, Query(description="What is looked for.", examples=["slow-burn thriller"])]
Whose = Annotated[str | None, Query(description="Whose taste has a say in the order.")]
Personal = Annotated[
    float,
    Query(ge=0.0, le=10.0, description="How much of a say: 0 = the words alone, 1 = as much."),
]
Many = Annotated[int, Query(description="How many, from 1 to serving.max_k.")]


@router.get("/v1/search")
async def search_items(
    gateway: Gate, q: Words, user_id: Whose = None, k: Many = 10, personal: Personal = 0.5
) -> SearchReply:
    """Items whose text is near to words; with a user, what they like stands before what is as near.

    A search is told of here, and is no event. One that shall count for the profile is sent as an
    event of the kind ``search``.
    """
    return await search(gateway, q, user_id, k, personal)


@router.get("/v1/items/{item_id:id}/similar")
async def similar_to(gateway: Gate, item_id: ItemId, k: Many = 10) -> SimilarReply:
    """Items whose text is like an item's."""
    return await similar(gateway, item_id, k)


@router.get("/v1/trending")
async def trending_items(
    gateway: Gate, k: Many = 10, half_life_s: float | None = None, as_of: AsOf = None
) -> TrendingReply:
    """What everybody turns to, at one half-life of the bank or as weighted in slates."""
    return await trending(gateway, k, half_life_s, as_of)


@router.get("/v1/latest")
async def latest_items(gateway: Gate, k: Many = 10) -> LatestReply:
    """Items that came last, newest first."""
    return latest(gateway, k)


@router.get("/v1/popular")
async def popular_items(gateway: Gate, k: Many = 10) -> TrendingReply:
    """What everybody ever turned to; what they turn to now is ``/v1/trending``."""
    return await popular(gateway, k)
