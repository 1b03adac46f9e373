"""How routes are reached, and reach what answers: by way of guard and stage."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from serving.auth.guard import AccessError, Deed, Guard
from serving.auth.routes import OPEN, scope_of
from serving.gateway import Gateway
from serving.stage import Stage


def stage_of(request: Request) -> Stage:
    """The stage of the application."""
    stage: Stage = request.app.state.stage
    return stage


def gateway_of(request: Request) -> Gateway:
    """The gateway that answers now."""
    return stage_of(request).front.gateway


async def _gate(request: Request) -> Gateway:  # FastAPI sends plain functions to a thread
    return gateway_of(request)


Gate = Annotated[Gateway, Depends(_gate)]


def check_whole(request: Request, prefix: bytes, suffix: bytes = b"") -> None:
    """Refuse an id that is not all of its path: ``/`` in an id is ``%2F``.

    So a misspelt route below a user or an item is never taken for somebody else's id.

    Raises:
        HTTPException: 404.
    """
    raw: bytes = request.scope.get("raw_path") or b""
    rest = raw.partition(b"?")[0].partition(prefix)[2]
    if b"/" in rest.removesuffix(suffix):
        raise HTTPException(404, "There is no such route. Write / in an id as %2F")


class StagedRoute(APIRoute):
    """A route that lets nobody in but by the guard, before anything of the request is read.

    It is gone through again where its front was retired on the way. Bodies are read once:
    ``read_json`` keeps what it read with the request.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, asked by way of guard and stage."""
        handler = super().get_route_handler()

        async def staged(request: Request) -> Response:
            return await stage_of(request).ask(lambda: handler(request))

        async def guarded(request: Request) -> Response:
            guard: Guard | None = request.app.state.guard
            if guard is None or self.path in OPEN:
                return await staged(request)
            return await _let_in(guard, request, self.path, staged)

        return guarded


async def _let_in(
    guard: Guard,
    request: Request,
    template: str,
    answer: Callable[[Request], Awaitable[Response]],
) -> Response:
    """An answer to a request that the guard lets in; what is to be noted is noted."""
    scope, status, caller = scope_of(request.method, template), 500, None
    try:
        caller = await guard.admit(request.headers.get("authorization"), scope)
        request.scope.setdefault("state", {})["caller"] = caller
        reply = await answer(request)
        status = reply.status_code
        return reply
    except AccessError as error:
        status = error.status
        raise HTTPException(error.status, error.detail, error.headers) from error
    finally:
        request_id = request.scope.get("state", {}).get("request_id", "")
        user_id = request.path_params.get("user_id")
        deed = Deed(f"{request.method} {template}", status, request_id, user_id)
        guard.tell(caller, scope, deed)


def new_router(**options: Any) -> APIRouter:
    """A router of such routes."""
    return APIRouter(route_class=StagedRoute, **options)
