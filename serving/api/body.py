"""Request bodies: size counted as the bytes come in, JSON read with care."""

from __future__ import annotations

import json
from typing import Any

from fastapi import Request
from starlette.exceptions import HTTPException

from recsys.errors import EventError

JSON = "application/json"
KEPT = "halflife.body"
OTHERS = frozenset({"application/xml", "application/pdf", "application/zip", "application/gzip"})
OTHER_KINDS = ("audio/", "font/", "image/", "multipart/", "text/", "video/")


async def read_json(request: Request, max_bytes: int) -> Any:
    """The JSON value of a body.

    The bytes are counted as they arrive, for ``Content-Length`` may lie, and kept with the request,
    which may be answered in two attempts.

    Raises:
        HTTPException: 415 where the request says that its body is something else, 413 for a body
            larger than ``max_bytes``, 400 for one that is no JSON.
    """
    if _is_other(request.headers.get("content-type", JSON)):
        raise HTTPException(415, f"The body must be JSON. Send Content-Type: {JSON}")
    try:
        return json.loads(await _bytes_of(request, max_bytes))
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, f"The body is no JSON: {_place(error)}") from error


async def _bytes_of(request: Request, max_bytes: int) -> bytes:
    kept: bytes | None = request.scope.get(KEPT)
    if kept is None:
        data = bytearray()
        async for chunk in request.stream():
            data.extend(chunk)
            if len(data) > max_bytes:
                raise HTTPException(413, f"The body is larger than {max_bytes} bytes")
        kept = request.scope[KEPT] = bytes(data)
    return kept


def _is_other(content_type: str) -> bool:
    """Whether a type is clearly not JSON.

    ``curl -d`` says ``application/x-www-form-urlencoded`` whatever it sends, and others say plain
    text or nothing at all: their bodies are read, and refused where they are no JSON.

    >>> _is_other("application/x-www-form-urlencoded"), _is_other("Text/HTML; charset=utf-8")
    (False, True)
    """
    said = content_type.partition(";")[0].strip().lower()
    if said == "text/plain" or said.endswith("json"):
        return said.endswith("ndjson")
    return said in OTHERS or said.endswith("+xml") or said.startswith(OTHER_KINDS)


def parse_json(name: str, text: str) -> Any:
    """The JSON value of a parameter.

    Raises:
        EventError: if it is none.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        problem = f"is no JSON: {_place(error)}"
        raise EventError(name, problem, 'Send an object: {"country": "DE"}') from error


def _place(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at character {error.pos}"
    return "too deep" if isinstance(error, RecursionError) else "no UTF-8 text"
