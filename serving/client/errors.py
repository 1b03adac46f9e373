"""From a reply that is no success to the error of ``recsys.errors`` that it stands for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from recsys.errors import (
    ConflictError,
    DataError,
    EventError,
    NotFoundError,
    RecsysError,
    RuleError,
    UnavailableError,
)
from serving.client.retry import retry_after_s


class AccessError(RecsysError):
    """The API key is missing, unknown, or may not do this."""


KINDS: Mapping[int, type[RecsysError]] = {
    400: DataError,
    401: AccessError,
    403: AccessError,
    404: NotFoundError,
    409: ConflictError,
    413: DataError,
    422: EventError,
}


def error_of(thing: str, response: httpx.Response) -> RecsysError:
    """The error that a reply is; its text has the server's words and the request's id.

    Args:
        thing: what was asked, without ids.
        response: of status 400 or above, read.
    """
    status = response.status_code
    request_id = response.headers.get("X-Request-ID")
    remedy = "" if request_id is None else f"The server's log knows it as request {request_id}"
    problem = f"{status} {_detail(response)}"
    if status in {429, 502, 503, 504}:
        return UnavailableError(thing, problem, remedy, retry_after_s(response) or 1.0)
    kind = RuleError if status == 422 and "/v1/rules" in thing else KINDS.get(status, RecsysError)
    return kind(thing, problem, remedy)


def unreachable(thing: str, error: httpx.TransportError) -> UnavailableError:
    """The error of a connection that failed."""
    return UnavailableError(thing, f"{type(error).__name__}: {error}", "Is the service up?")


def _detail(response: httpx.Response) -> str:
    try:
        body: Any = response.json()
    except ValueError:
        return response.reason_phrase
    return str(body.get("detail", "")) if isinstance(body, dict) else response.reason_phrase
