"""What goes over HTTP of single users."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field

from serving.api.schemas import Request

MAX_ATTRIBUTES = 64
MAX_FOLLOWS = 1_000


class UserIn(Request):
    """What shall be known of a user."""

    attributes: Annotated[
        dict[str, str | None], Field(max_length=MAX_ATTRIBUTES, default_factory=dict)
    ]
    """By name; with PATCH, null takes one away."""
    follows: Annotated[list[str] | None, Field(max_length=MAX_FOLLOWS)] = None
    """Ids of the users whom they follow; with PATCH, null leaves those that are known."""


class UserReply(BaseModel):
    """What is known of a user. Of somebody unknown it is nothing, and no error."""

    user_id: str
    is_known: bool
    """Whether there are events, attributes or follows of them."""
    attributes: dict[str, str]
    follows: list[str]
    n_events: int
    latest_event: float | None
    """Unix seconds; null = none."""
    profile_version: str
    """Of the profile; as ``min_version`` it asks for at least that."""
    as_of: float
    """Unix seconds."""


class AttributesReply(BaseModel):
    """What is known of a user beside events, once a change is durable."""

    user_id: str
    attributes: dict[str, str]
    follows: list[str]
    elsewhere_within_s: float
    """Seconds until all replicas know it; the one that answers does."""


class ErasedReply(BaseModel):
    """An erasure that has begun: nobody is served from the user's past any more."""

    receipt: dict[str, Any]
    """Signed; `python -m pipelines.erase --verify` checks it. It names the user by pseudonym, and
    under ``left`` the places that the job has to look through."""
    done: list[str]
    """What is done now."""
    left: list[str]
    """What is not."""
    shards_forget_within_s: float
    """Seconds until running shards have let the user go, and a reload."""
    finish: str
    """The command that finishes it, with the user's id for U."""


class ExportReply(BaseModel):
    """Everything that store and ledger hold about a user."""

    tenant: str
    user_id: str
    as_of: float
    """Unix seconds."""
    erased_until: float | None
    """Unix seconds up to which they were erased; null = never."""
    events: list[dict[str, Any]]
    """Times in Unix seconds."""
    profiles: list[dict[str, Any]]
    """One per bundle."""
    attributes: dict[str, Any] | None
    n_followers: int
    quarantine: list[dict[str, Any]]
    """Rows of theirs that were refused."""
