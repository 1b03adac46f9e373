"""Long replies in pages: how many entries, and where the next one begins."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated

from fastapi import Query

from recsys.errors import EventError

Limit = Annotated[int, Query(ge=1, le=100, description="Most entries of the reply.")]
Cursor = Annotated[str | None, Query(description="The ``next_cursor`` of the reply before.")]


def cursor_of(place: str) -> str:
    """What names a place to a client."""
    return base64.urlsafe_b64encode(place.encode()).decode().rstrip("=")


def place_of(cursor: str) -> str:
    """The place that a client names.

    Raises:
        EventError: if it is none that ``cursor_of`` made.

    >>> place_of(cursor_of("172"))
    '172'
    """
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        return base64.b64decode(padded, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise EventError("cursor", "is no cursor", "Send next_cursor as it came") from error
