"""The routes of the console. It is open to all: what it shows it asks the API for, as you do."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import RedirectResponse

from serving.console.assets import PAGE, asset

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""Nothing inline, nothing from elsewhere."""
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept-Encoding",
    "X-Content-Type-Options": "nosniff",
}

router = APIRouter(include_in_schema=False)


def mount_console(app: FastAPI) -> None:
    """Serve the console at ``/console``. Its links are relative: it works below any prefix."""
    app.include_router(router)


@router.get("/console")
async def console(request: Request) -> Response:
    """The page."""
    return await _reply(request, PAGE)


@router.get("/console/")
@router.get(f"/console/{PAGE}")
async def console_below() -> Response:
    """To the page, whose relative links count from one level higher."""
    return RedirectResponse("../console", status_code=308)


@router.get("/console/{name}")
async def console_file(request: Request, name: str) -> Response:
    """What the page consists of."""
    return await _reply(request, name)


async def _reply(request: Request, name: str) -> Response:
    found = await asyncio.to_thread(asset, name)
    headers = {**HEADERS, "Cache-Control": found.cache_control, "ETag": found.etag}
    if found.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if "gzip" not in request.headers.get("accept-encoding", ""):
        body = await asyncio.to_thread(found.read)
        return Response(body, headers=headers, media_type=found.media_type)
    headers["Content-Encoding"] = "gzip"
    return Response(found.zipped, headers=headers, media_type=found.media_type)
