"""The routes of the interest graph."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request

from serving.api.errors import DOCUMENTED
from serving.api.graph_schemas import GraphReply, InterestsReply
from serving.api.parameters import AsOf, UserId
from serving.gateway import Gateway
from serving.interests import InterestDesk

router = APIRouter(responses=DOCUMENTED)

Since = Annotated[
    str | None, Query(description="An earlier moment; each interest says what became of it.")
]
Edges = Annotated[int, Query(description="Most edges, from 0 to 2,000.")]


def _desk(request: Request) -> InterestDesk:
    gateway: Gateway = request.app.state.gateway
    return gateway.interests


Desk = Annotated[InterestDesk, Depends(_desk)]


@router.get("/v1/users/{user_id:id}/interests")
async def interests(
    desk: Desk, user_id: UserId, as_of: AsOf = None, since: Since = None
) -> InterestsReply:
    """Which interests of the graph a user has as of a moment, and what becomes of them."""
    return await desk.of_user(user_id, as_of, since)


@router.get("/v1/graph")
async def graph(desk: Desk, edges: Edges = 100) -> GraphReply:
    """The interests of the catalog by name, and the strongest edges between them."""
    return await asyncio.to_thread(desk.graph, edges)
