"""Errors over HTTP: ours and the framework's, all as ``application/problem+json``."""

from __future__ import annotations

import logging
import math
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from recsys.errors import (
    ConflictError,
    DataError,
    LedgerError,
    NotFoundError,
    RecsysError,
    UnavailableError,
)
from serving.api.schemas import Problem

log = logging.getLogger(__name__)

PROBLEM_JSON = "application/problem+json"

STATUS: tuple[tuple[type[RecsysError], HTTPStatus], ...] = (
    (NotFoundError, HTTPStatus.NOT_FOUND),
    (DataError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (ConflictError, HTTPStatus.CONFLICT),
    (UnavailableError, HTTPStatus.SERVICE_UNAVAILABLE),
    (LedgerError, HTTPStatus.SERVICE_UNAVAILABLE),
)
"""The first class that fits decides; anything else is a 500."""


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Error replies, for the OpenAPI entries of routes."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {PROBLEM_JSON: {"schema": Problem.model_json_schema()}},
        }
        for status in statuses
    }


DOCUMENTED = documented(400, 401, 403, 404, 408, 413, 415, 422, 429, 503)
"""The error replies of every route, for its OpenAPI entry."""


def problem(status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """An error reply."""
    body = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail)
    return JSONResponse(body.model_dump(), status, headers, media_type=PROBLEM_JSON)


def of_error(error: RecsysError) -> JSONResponse:
    """The reply that one of our errors becomes."""
    for kind, status in STATUS:
        if isinstance(error, kind):
            retry_s = getattr(error, "retry_after_s", 1.0)
            is_away = status is HTTPStatus.SERVICE_UNAVAILABLE
            headers = {"Retry-After": str(max(1, math.ceil(retry_s)))} if is_away else None
            return problem(status, _detail(error), headers)
    log.error("unexpected error", exc_info=error)
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "The server failed; its log says why")


def _detail(error: RecsysError) -> str:
    """What a client may know: a ledger's error names paths of the server."""
    if isinstance(error, LedgerError):
        log.error("the ledger refused", exc_info=error)
        return "Not all events could be made durable. Retry; those with an event_id count once"
    return str(error)


def install(app: FastAPI) -> None:
    """Make an application answer every error this way."""

    @app.exception_handler(RecsysError)
    async def ours(_: Request, error: RecsysError) -> JSONResponse:
        return of_error(error)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"{place}: {first['msg']}")

    @app.exception_handler(HTTPException)
    async def framework(_: Request, error: HTTPException) -> JSONResponse:
        return problem(error.status_code, str(error.detail), dict(error.headers or {}))

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> JSONResponse:
        request_id = request.scope.get("state", {}).get("request_id", "")
        log.error("unexpected error", exc_info=error, extra={"request_id": request_id})
        detail = f"The server failed; its log says why (request {request_id})"
        return problem(HTTPStatus.INTERNAL_SERVER_ERROR, detail)
