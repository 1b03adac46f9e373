"""What goes over HTTP about business rules."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field

from recsys.rules.schema import Rule
from serving.api.schemas import Request, SessionIn, SlateReply, Time


class RulesIn(Request):
    """A whole set of rules."""

    rules: list[Rule]
    """All of them: what is not here is gone."""
    expected_version: str | None
    """The version that you have read; null = there were never any rules."""


class RollbackIn(Request):
    """Back to an earlier version."""

    expected_version: str | None
    """The version that you have read."""
    version: str | None = None
    """Which; null = the one that counted before the present one."""


class DryRunIn(Request):
    """Rules that do not count yet, and somebody who would see them: a user or a session."""

    rules: list[Rule]
    """A whole set, in place of the one that counts."""
    user_id: str | None = None
    session: SessionIn | None = None
    """An anonymous visitor; then the fields below stand in it."""
    k: Annotated[int, Field(ge=1)] = 10
    """Length of the slate."""
    as_of: Time | None = None
    """The moment that the slate is for; default: now."""
    exclude_seen: bool = True
    context: dict[str, Any] = Field(default_factory=dict)
    """As of a session."""


class TurnOut(BaseModel):
    """A version that was made the current one."""

    version: str
    at: float
    """Unix seconds."""


class WarningOut(BaseModel):
    """Something about rules that is sound, and hardly meant."""

    rules: list[str]
    """Ids."""
    text: str


class RulesReply(BaseModel):
    """The rules that count."""

    version: str | None
    """null = there were never any."""
    rules: list[Rule]
    warnings: list[WarningOut]
    """Rules that cannot have their way: of two, filters win over pins, pins over quotas, quotas
    over boosts and burying."""
    history: list[TurnOut]
    """Which version counted since when, newest first."""


class ChangeOut(BaseModel):
    """One item that is not where it was."""

    item_id: str
    before: int | None
    """Its rank; null = it was not shown."""
    after: int | None
    """Its rank; null = it is not shown any more."""
    rules: list[str]
    """Ids of the rules that are about it; none = others made room, or took it."""


class DryRunReply(BaseModel):
    """What rules would change of one slate."""

    before: SlateReply
    """Under the rules that count."""
    after: SlateReply
    """Under those that were sent."""
    changes: list[ChangeOut]
    """What goes out, then what comes in or moves, from the top."""
    warnings: list[WarningOut]
