"""Events as NDJSON: lines are taken while they come in, a batch at a time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from recsys.errors import RecsysError
from serving.api.errors import PROBLEM_JSON, of_error, problem
from serving.api.events import BAD_EVENT
from serving.api.idempotency import KeysSeen, with_ids
from serving.api.lines import lines_of
from serving.api.schemas import EventsReply, Rejected
from serving.api.stream_schemas import StreamReply
from serving.gateway import Gateway
from serving.versions import format_versions, parse_versions

NDJSON = "application/x-ndjson"
TOO_LONG = "too_long"
DEADLINE = 0.9
"""Share of ``serving.request_timeout_s`` that a stream may take. Past all of it the proxy gives the
request up, and nobody would say how far it came."""


def is_stream(request: Request) -> bool:
    """Whether a request says that its body is NDJSON."""
    said: str = request.headers.get("content-type", "")
    return said.partition(";")[0].strip().lower() in {NDJSON, "application/ndjson"}


async def post_stream(
    request: Request, gateway: Gateway, keys: KeysSeen, key: str | None
) -> JSONResponse:
    """Take the events of a body; a failure says how far it came."""
    taking = _Taking(gateway, keys, key)
    limits = gateway.settings.serving.api
    lines = lines_of(
        request.stream(), limits.max_line_bytes, limits.max_stream_bytes, limits.stream_idle_s
    )
    limit_s = DEADLINE * gateway.settings.serving.request_timeout_s
    try:
        async with asyncio.timeout(limit_s):
            await taking.all_of(lines)
    except TimeoutError:
        late = f"The stream took longer than {limit_s:g} s. Send the rest in another"
        return _broken(problem(408, late), taking.reply)
    except RecsysError as error:
        return _broken(of_error(error), taking.reply)
    except HTTPException as error:
        return _broken(problem(error.status_code, str(error.detail)), taking.reply)
    except ClientDisconnect:
        return _broken(problem(400, "The client went away"), taking.reply)
    return JSONResponse(taking.reply.model_dump(), HTTPStatus.ACCEPTED)


def _broken(reply: JSONResponse, progress: StreamReply) -> JSONResponse:
    """A problem, with the progress made."""
    content = {**json.loads(bytes(reply.body)), "progress": progress.model_dump()}
    headers = {name: reply.headers[name] for name in ("retry-after",) if name in reply.headers}
    return JSONResponse(content, reply.status_code, headers, media_type=PROBLEM_JSON)


class _Taking:
    """One stream on its way in."""

    def __init__(self, gateway: Gateway, keys: KeysSeen, key: str | None) -> None:
        serving = gateway.settings.serving
        self._gateway, self._keys, self._key = gateway, keys, key
        self._size = min(serving.api.stream_batch, serving.max_events_per_request)
        self._max_rejected = serving.api.max_rejected
        self._versions: dict[int, int] = {}
        self.reply = StreamReply()

    async def all_of(self, lines: AsyncIterator[bytes | None]) -> None:
        """Take all lines, ``_size`` of them at a time."""
        batch: list[bytes | None] = []
        async for line in lines:
            batch.append(line)
            if len(batch) == self._size:
                await self._take(batch)
                batch = []
        await self._take(batch)

    async def _take(self, batch: list[bytes | None]) -> None:
        start = self.reply.n_lines
        if self._key is not None:
            content = b"\n".join(b"" if line is None else line for line in batch)
            self._keys.check(self._key, content, start)
        events, places, rejected = [], [], []
        for place, line in enumerate(batch, start):
            if line is not None and line.strip() == b"":
                continue
            try:
                events += with_ids([_parsed(line)], self._key, place)
                places.append(place)
            except _LineError as error:
                rejected.append(Rejected(index=place, reason=error.args[0], detail=error.args[1]))
        if len(events) > 0:
            told = await self._gateway.post_events(events)
            rejected += [
                one.model_copy(update={"index": places[one.index]}) for one in told.rejected
            ]
            self._count(told)
        self._reject(rejected)
        self.reply.n_lines += len(batch)

    def _count(self, told: EventsReply) -> None:
        reply = self.reply
        reply.accepted += told.accepted
        reply.duplicates += told.duplicates
        reply.pending += told.pending
        for partition, version in parse_versions(told.version).items():
            self._versions[partition] = max(version, self._versions.get(partition, 0))
        reply.version = format_versions(self._versions)

    def _reject(self, rejected: list[Rejected]) -> None:
        self.reply.n_rejected += len(rejected)
        room = self._max_rejected - len(self.reply.rejected)
        self.reply.rejected += sorted(rejected, key=lambda one: one.index)[:room]


class _LineError(Exception):
    """A line that holds no event: a word for programs, a sentence for people."""


def _parsed(line: bytes | None) -> Any:
    if line is None:
        raise _LineError(TOO_LONG, "The line is too long. Shorten the event's text")
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _LineError(BAD_EVENT, "The line is no JSON. Send an event a line") from error
