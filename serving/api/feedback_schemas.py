"""What goes over HTTP with slate feedback."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from serving.api.schemas import MAX_RANK, Request, Time


class FeedbackEventIn(Request):
    """Something that the user did with a slate."""

    item_id: str
    """On what; it need not be of the slate."""
    kind: str
    """What was done: click, play, like, purchase, rating, dismiss, ..."""
    ts: Time | None = None
    """When; default: that of the feedback."""
    event_id: str | None = None
    """Unique per user: an id counts once."""
    value: float | None = None
    """A rating, or seconds of dwell."""
    text: str | None = None
    """The user's own words."""
    rank: Annotated[int, Field(ge=1, le=MAX_RANK)] | None = None
    """The position in the slate, from 1; default: that in ``shown``."""


class FeedbackIn(Request):
    """What of a slate a user saw, and what they did."""

    user_id: str
    """Who saw it."""
    shown: Annotated[list[str], Field(max_length=1_000, default_factory=list)]
    """Ids of the items that were shown, in the order of the slate."""
    events: Annotated[list[FeedbackEventIn], Field(max_length=1_000, default_factory=list)]
    """What was done."""
    ts: Time | None = None
    """When it was shown; default: now."""
    session_id: str | None = None
    """The visit that it belongs to."""
    source: str | None = None
    """Pseudonymous origin."""
