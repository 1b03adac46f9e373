"""What goes over HTTP of single items."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from serving.api.schemas import Request, Time

MAX_CATEGORIES = 64
MAX_ATTRIBUTES = 64

Attributes = Annotated[dict[str, str | None], Field(max_length=MAX_ATTRIBUTES)]


class ItemIn(Request):
    """What shall be known of an item; with PATCH, what is left out stays and null takes away."""

    title: str | None = None
    text: str | None = None
    """What the encoder reads of it, beside the title and the categories."""
    categories: Annotated[list[str], Field(max_length=MAX_CATEGORIES)] | None = None
    """General before special."""
    image_uri: str | None = None
    audio_uri: str | None = None
    available_from: Time | None = None
    """From when it is recommended; null = always."""
    available_until: Time | None = None
    """Until when, exclusive; null = for ever."""
    created_at: Time | None = None
    attributes: Attributes | None = None
    """By name, as business rules read them; with PATCH, null takes one away."""


class ItemOfMany(ItemIn):
    """One item among many."""

    item_id: str


class ItemsIn(Request):
    """Items that are written together: all of them, or none."""

    items: Annotated[list[ItemOfMany], Field(default_factory=list)]
    """Each as a whole, as with PUT."""
    delete: Annotated[list[str], Field(default_factory=list)]
    """Ids of items to take away; unknown ones are passed over."""


class ItemReply(BaseModel):
    """What is known of an item. Times are Unix seconds."""

    item_id: str
    title: str | None
    text: str | None
    categories: list[str]
    image_uri: str | None
    audio_uri: str | None
    available_from: float | None
    available_until: float | None
    created_at: float | None
    attributes: dict[str, str]


class ItemsReply(BaseModel):
    """A page of items, by id."""

    items: list[ItemReply]
    next_cursor: str | None
    """Give it as ``cursor`` for what follows; null = that is all."""


class WrittenReply(BaseModel):
    """A change that is durable. Slates know it moments later."""

    item_ids: list[str]
    """What was written."""
    deleted: list[str]
    """What was taken away."""
    others_look_within_s: float
    """Seconds until every replica has looked for it; then a new text is encoded."""
