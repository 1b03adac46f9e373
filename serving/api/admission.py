"""Too many requests at once: what is above the limit is told to come again, and costs nothing.

Without a limit all would wait for all, and each would be late. Serve has its own limit behind this
one, for what does not come to a replica at all; its reply has no problem document.
"""

from __future__ import annotations

from http import HTTPStatus

from serving.api.errors import problem
from serving.auth.routes import OPEN
from serving.observability.middleware import App, Message, Receive, Send

RETRY_AFTER_S = 1


class Admission:
    """ASGI middleware: answers at most so many requests at once.

    Args:
        app: that answers.
        limit: requests at once; what balancers look at does not count.
    """

    def __init__(self, app: App, limit: int) -> None:
        self._app, self._limit = app, limit
        self._n_ongoing = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one connection."""
        if scope["type"] != "http" or scope["path"] in OPEN:
            await self._app(scope, receive, send)
            return
        if self._n_ongoing >= self._limit:
            detail = f"{self._limit} requests are being answered. Come again later"
            headers = {"Retry-After": str(RETRY_AFTER_S)}
            await problem(HTTPStatus.TOO_MANY_REQUESTS, detail, headers)(scope, receive, send)
            return
        self._n_ongoing += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._n_ongoing -= 1
