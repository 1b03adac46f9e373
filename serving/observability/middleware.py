"""One log line, one count and one id for each request: ASGI, without a task or a copy of a body.

The line has the route's template, never the path, for user ids stand in paths. The id is that of
the header ``X-Request-ID`` if it is sound, else a fresh one; the reply has it too. (A slate's own
``request_id``, which impressions refer to, is another: a batch of slates has many.)
"""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from serving.observability.meters import SILENT, GatewayMeters
from serving.observability.request import Clock, RequestNote, begin, end
from serving.observability.tracing import spans_are_on, tell_span

log = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

HEADER = b"x-request-id"
METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
UNMATCHED = "unmatched"
"""The route of a path that is none."""

_SOUND = re.compile(rb"[A-Za-z0-9._:+=-]{1,128}")


class RequestLog:
    """ASGI middleware: notes each request, logs it and counts it.

    Args:
        app: that answers.
        meters: told of each request.
        returns_id: whether the reply gets the header; False where a proxy before it adds it.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        app: App,
        meters: GatewayMeters = SILENT,
        returns_id: bool = True,
        clock: Clock = time.perf_counter,
    ) -> None:
        self._app, self._meters, self._clock = app, meters, clock
        self._returns_id = returns_id

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = request_id_of(scope)
        note = RequestNote(self._meters, self._clock, request_id, self._clock())
        scope.setdefault("state", {})["request_id"] = request_id
        status = 500  # what becomes of a request whose handler raises

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if spans_are_on():  # FastAPI's own span of the request ends with the reply
                    tell_span(self._fields(scope, note, status))
                if self._returns_id:
                    own = (HEADER, request_id.encode())
                    message["headers"] = [*message.get("headers", ()), own]
            await send(message)

        token = begin(note)
        try:
            await self._app(scope, receive, noted)
        finally:
            end(token)
            self._tell(scope, note, status)

    def _tell(self, scope: Message, note: RequestNote, status: int) -> None:
        fields = self._fields(scope, note, status)
        seconds = self._clock() - note.started
        self._meters.request(fields["http_route"], fields["method"], status, seconds)
        log.info("request", extra=fields)

    def _fields(self, scope: Message, note: RequestNote, status: int) -> dict[str, Any]:
        seconds = self._clock() - note.started
        fields = {
            "method": scope["method"] if scope["method"] in METHODS else "OTHER",
            "http_route": getattr(scope.get("route"), "path", UNMATCHED),
            "status": status,
            "took_ms": round(1e3 * seconds, 2),
            "request_id": note.request_id,
            "caller": caller_name(scope),
        }
        if note.stages:
            fields["stages_ms"] = {name: round(1e3 * s, 2) for name, s in note.stages.items()}
        if note.outcome is not None:
            fields["slate"] = note.outcome
        return fields


def request_id_of(scope: Message) -> str:
    """The id that came with a request, if it is sound; else a fresh one."""
    for name, value in scope["headers"]:
        if name == HEADER and _SOUND.fullmatch(value) is not None:
            return str(value, "ascii")
    return uuid.uuid4().hex


def caller_name(scope: Message) -> str | None:
    """The name of the key or token that the request came with; None = nobody was asked."""
    name = getattr(scope.get("state", {}).get("caller"), "name", None)
    return None if name is None else str(name)
