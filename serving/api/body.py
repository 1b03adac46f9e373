"""Request bodies: size counted as the bytes come in, JSON read with care."""

from __future__ import annotations

import json
from typing import Any

from fastapi import Request
from starlette.exceptions import HTTPException

from recsys.errors import EventError

JSON = "application/json"


async def read_json(request: Request, max_bytes: int) -> Any:
    """The JSON value of a body.

    The bytes are counted as they arrive, for ``Content-Length`` may lie.

    Raises:
        HTTPException: 415 where the request says that its body is something else, 413 for a body
            larger than ``max_bytes``, 400 for one that is no JSON.
    """
    said = request.headers.get("content-type", JSON).partition(";")[0].strip().lower()
    if said != JSON and not said.endswith("+json"):
        raise HTTPException(415, f"The body must be JSON. Send Content-Type: {JSON}")
    data = bytearray()
    async for chunk in request.stream():
        data.extend(chunk)
        if len(data) > max_bytes:
            raise HTTPException(413, f"The body is larger than {max_bytes} bytes")
    try:
        return json.loads(bytes(data))
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, f"The body is no JSON: {_place(error)}") from error


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
