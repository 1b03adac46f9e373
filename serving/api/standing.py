"""How routes reach what answers, and ask again where it was replaced meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.routing import APIRoute

from serving.gateway import Gateway
from serving.stage import Stage


def stage_of(request: Request) -> Stage:
    """The stage of the application."""
    stage: Stage = request.app.state.stage
    return stage


def gateway_of(request: Request) -> Gateway:
    """The gateway that answers now."""
    return stage_of(request).front.gateway


Gate = Annotated[Gateway, Depends(gateway_of)]


class StagedRoute(APIRoute):
    """A route that is gone through again where its front was retired on the way.

    Bodies are read once: ``read_json`` keeps what it read with the request.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, asked by way of the stage."""
        handler = super().get_route_handler()

        async def staged(request: Request) -> Response:
            return await stage_of(request).ask(lambda: handler(request))

        return staged


def new_router(**options: Any) -> APIRouter:
    """A router of such routes."""
    return APIRouter(route_class=StagedRoute, **options)
