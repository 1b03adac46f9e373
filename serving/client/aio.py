"""The client for asyncio: the same methods, to be awaited."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable
from typing import Any, Concatenate, ParamSpec, Self

import httpx

from serving.client import routes
from serving.client.call import Call, Reply
from serving.client.errors import unreachable
from serving.client.headers import headers
from serving.client.own_writes import OwnWrites
from serving.client.retry import Attempts, RetryPolicy

P = ParamSpec("P")


def _method(
    build: Callable[P, Call[Reply]],
) -> Callable[Concatenate[AsyncHalflifeClient, P], Awaitable[Reply]]:
    @functools.wraps(build)
    async def method(self: AsyncHalflifeClient, /, *args: P.args, **kwargs: P.kwargs) -> Reply:
        return await self.send(build(*args, **kwargs))

    return method


class AsyncHalflifeClient:
    """Asks a service. Every method raises a leaf of ``RecsysError`` where there is no answer.

    Args:
        url: of the service.
        api_key: sent with every call; None = none is.
        policy: how patient to be.
        own_writes_s: seconds for which reads of a user ask for what was written of them here.
        transport: of httpx, for tests; None = the network.
    """

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        policy: RetryPolicy | None = None,
        own_writes_s: float = 60.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._http = httpx.AsyncClient(base_url=url, headers=headers(api_key), transport=transport)
        self._policy = RetryPolicy() if policy is None else policy
        self._own = OwnWrites(own_writes_s)

    event = _method(routes.event)
    events = _method(routes.events)
    recommend = _method(routes.recommend)
    recommend_session = _method(routes.recommend_session)
    profile = _method(routes.profile)
    interests = _method(routes.interests)
    wish = _method(routes.wish)
    forget_interest = _method(routes.forget_interest)
    similar = _method(routes.similar)
    item = _method(routes.item)
    items = _method(routes.items)
    put_item = _method(routes.put_item)
    patch_item = _method(routes.patch_item)
    delete_item = _method(routes.delete_item)
    write_items = _method(routes.write_items)
    trending = _method(routes.trending)
    search = _method(routes.search)
    latest = _method(routes.latest)
    popular = _method(routes.popular)
    graph = _method(routes.graph)
    rules = _method(routes.rules)
    put_rules = _method(routes.put_rules)
    roll_back_rules = _method(routes.roll_back_rules)
    dry_run_rules = _method(routes.dry_run_rules)
    health = _method(routes.health)

    async def send(self, call: Call[Reply]) -> Reply:
        """Make a call, again where that is of use, until the deadline.

        Raises:
            UnavailableError: if the service does not answer in time.
            RecsysError: the leaf that the service's refusal stands for.
        """
        attempts = Attempts(self._policy, call.is_repeatable, time.monotonic())
        request = call.request(self._own.token(call.reads))
        while True:
            failed = await self._try(request, attempts.timeout_s(time.monotonic()))
            if isinstance(failed, httpx.Response) and failed.is_success:
                reply = call.reply(failed)
                if len(call.writes) > 0:
                    self._own.wrote(call.writes, getattr(reply, "version", ""))
                return reply
            wait_s = attempts.wait_s(failed, time.monotonic()) if call.is_retried else None
            if wait_s is not None:
                await asyncio.sleep(wait_s)
            elif isinstance(failed, httpx.Response):
                return call.reply(failed)
            else:
                raise unreachable(call.thing, failed) from failed

    async def _try(
        self, request: dict[str, Any], timeout_s: float
    ) -> httpx.Response | httpx.TransportError:
        try:
            return await self._http.request(**request, timeout=timeout_s)
        except httpx.TransportError as error:
            return error

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
