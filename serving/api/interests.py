"""The routes of the interest graph."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import Depends, Path, Query, Request
from pydantic import ValidationError

from recsys.errors import EventError
from serving.api.body import read_json
from serving.api.errors import DOCUMENTED
from serving.api.graph_schemas import GraphReply, InterestsReply, WishIn, WishReply
from serving.api.parameters import AsOf, UserId
from serving.api.standing import gateway_of, new_router
from serving.gateway import Gateway
from serving.interests import InterestDesk
from serving.wishes import FORGOTTEN, changes_of

router = new_router(responses=DOCUMENTED)

Since = Annotated[
    str | None, Query(description="An earlier moment; each interest says what became of it.")
]
Interest = Annotated[str, Path(description="Label of the interest, or number of its node.")]
Edges = Annotated[int, Query(description="Most edges, from 0 to 2,000.")]


async def _desk(request: Request) -> InterestDesk:
    gateway: Gateway = gateway_of(request)
    return gateway.interests


Desk = Annotated[InterestDesk, Depends(_desk)]


@router.get("/v1/users/{user_id:id}/interests")
async def interests(
    desk: Desk, user_id: UserId, as_of: AsOf = None, since: Since = None
) -> InterestsReply:
    """Which interests of the graph a user has as of a moment, and what becomes of them."""
    return await desk.of_user(user_id, as_of, since)


@router.patch(
    "/v1/users/{user_id:id}/interests/{interest:id}",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/WishIn"}}},
        }
    },
)
async def patch_interest(
    request: Request, desk: Desk, user_id: UserId, interest: Interest
) -> WishReply:
    """Mute, boost or pin one interest: it counts from the user's next slate on.

    The wish is kept for later bundles, by the interest's label and direction.
    """
    gateway: Gateway = gateway_of(request)
    body = await read_json(request, gateway.settings.serving.max_body_bytes)
    try:
        told = WishIn.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "body"
        raise EventError(place, first["msg"]) from error
    return await desk.wish(user_id, interest, changes_of(told))


@router.delete("/v1/users/{user_id:id}/interests/{interest:id}")
async def delete_interest(desk: Desk, user_id: UserId, interest: Interest) -> WishReply:
    """Forget one interest: what the user did up to now does not count for it any more.

    Nothing of it is shown before the user turns to it again, and what else was wished of it is
    taken back. Of events that are older than those a profile keeps one by one the traces fade by
    themselves (``is_whole``). The events stay in the record; ``python -m pipelines.erase`` erases.
    """
    return await desk.wish(user_id, interest, FORGOTTEN)


@router.get("/v1/graph")
async def graph(desk: Desk, edges: Edges = 100) -> GraphReply:
    """The interests of the catalog by name, and the strongest edges between them."""
    return await asyncio.to_thread(desk.graph, edges)
