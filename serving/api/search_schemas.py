"""What goes over HTTP of searches and of what is new."""

from __future__ import annotations

from pydantic import BaseModel


class FoundItem(BaseModel):
    """An item that words found."""

    item_id: str
    title: str
    rank: int
    score: float
    relevance: float
    """The cosine of words and item; what the score has beside it is the user's taste."""


class SearchReply(BaseModel):
    """What words found."""

    as_of: float
    is_personal: bool
    """Whether somebody's taste had a say."""
    items: list[FoundItem]


class LatestItem(BaseModel):
    """An item that came lately."""

    item_id: str
    title: str
    rank: int
    available_from: float


class LatestReply(BaseModel):
    """What came last. Times are Unix seconds."""

    as_of: float
    items: list[LatestItem]
