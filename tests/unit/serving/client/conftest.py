"""Clients of the routes in this process, over a transport that can be made to fail."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx
import pytest

from serving.api.routes import create_app
from serving.client import HalflifeClient, RetryPolicy
from serving.gateway import Gateway
from serving.stage import Stage

QUICK = RetryPolicy(deadline_s=5.0, first_wait_s=0.001)

Failure = int | tuple[int, dict[str, str]] | type[httpx.TransportError]


class Line(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """The routes of a gateway behind a bad line, for both forms of the client.

    A failure is a status (with headers), or an error of the transport; with ``late`` set it comes
    after the service has done its work.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._asgi = httpx.ASGITransport(create_app(Stage.of(gateway)))
        self.failures: list[Failure] = []
        self.is_late = False
        self.requests: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        found = asyncio.run(self.handle_async_request(request))
        return httpx.Response(found.status_code, headers=found.headers, content=found.content)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        failure = self.failures.pop(0) if self.failures else None
        if failure is None or self.is_late:
            reply = await self._asgi.handle_async_request(request)
            await reply.aread()
            if failure is None:
                return reply
        if isinstance(failure, type):
            raise failure("the line is cut")
        status, headers = failure if isinstance(failure, tuple) else (failure, {})
        return httpx.Response(status, headers=headers, json={"detail": "not now"})


@pytest.fixture
def line(gateway: Gateway) -> Line:
    return Line(gateway)


@pytest.fixture
def halflife(line: Line) -> Iterator[HalflifeClient]:
    with HalflifeClient("http://here", "secret", QUICK, transport=line) as client:
        yield client
