"""What goes over HTTP: requests and replies. Times are Unix seconds, UTC."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from serving.api.reason_schemas import ReasonOut, WithoutOut
from serving.api.statement_schemas import StatementOut

Time = Annotated[float | str, Field(examples=[1735689600.0, "2025-01-01T00:00:00Z"])]
"""Unix seconds, or ISO 8601 (without an offset it is UTC)."""

MAX_RANK = 2**31 - 1


class Request(BaseModel):
    """A request body: unknown fields, wrong types, NaN and infinities are refused."""

    model_config = ConfigDict(
        extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class EventIn(Request):
    """One event that a client saw."""

    user_id: str
    """Who acted."""
    kind: str
    """What was done: click, play, like, purchase, rating, search, ..."""
    item_id: str | None = None
    """On what; may be missing only for kinds that name no item."""
    ts: Time | None = None
    """When; default: now."""
    event_id: str | None = None
    """Unique per user: an id counts once. Default: a fresh one; then a retry counts twice."""
    value: float | None = None
    """A rating, or seconds of dwell."""
    text: str | None = None
    """The user's own words."""
    session_id: str | None = None
    """The visit that the event belongs to."""
    request_id: str | None = None
    """The slate that the event answers."""
    rank: Annotated[int, Field(ge=1, le=MAX_RANK)] | None = None
    """The position in that slate, from 1."""
    source: str | None = None
    """Pseudonymous origin."""


class EventsIn(Request):
    """Many events; a bad one is reported and does not hold up the others."""

    events: Annotated[list[EventIn], Field(min_length=1)]


class SessionItem(Request):
    """One item that an anonymous visitor touched."""

    item_id: str
    kind: str = "click"
    """What was done."""
    ts: Time | None = None
    """When; default: just now."""


class SessionIn(Request):
    """What an anonymous visitor did in this session; nothing of it is stored."""

    items: Annotated[list[str | SessionItem], Field(max_length=1_000)] = []
    """Items touched."""
    text: str | None = None
    """What the visitor is looking for, in words."""
    interests: str | Annotated[list[str], Field(max_length=32)] | None = None
    """What the visitor says of their taste: labels of interests or categories, or free text such
    as "slow-burn science fiction, no horror". What is not wished is left out."""
    k: Annotated[int, Field(ge=1)] = 10
    """Length of the slate."""
    as_of: Time | None = None
    """The moment that the slate is for; default: now."""
    exclude_seen: bool = True
    """Leave out the items of the session."""
    diversity: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    """How much unlike each other the items shall be; default: as the server is set."""
    explain: Literal["none", "reason", "full"] = "reason"
    """What is said about why: nothing, a reason for each item, or the effect of every event."""
    without: str | None = None
    """With ``full``: an item of the session, or the position of an event (0 is the latest), that
    a second slate goes without."""
    context: dict[str, Any] = {}
    """What rules may ask: ``context.NAME``, and under ``user`` the ``user.attributes``. These also
    say which segments the user is in, and ``user.follows`` (ids) whom they follow."""


class Rejected(BaseModel):
    """An event that was not taken."""

    index: int
    """Position in the request, from 0."""
    reason: str
    """A word for programs: bad_event, bad_id, bad_time, too_old, in_future, unknown_kind, ..."""
    detail: str
    """A sentence for people."""


class EventsReply(BaseModel):
    """All accepted events are durable; but for those pending they are in the user's next slate."""

    accepted: int
    duplicates: int
    pending: int
    """Accepted events that are no evidence of taste yet: their words are read within moments, or
    their item is unknown to the bundle."""
    rejected: list[Rejected]
    version: str
    """Give it as ``min_version`` to read your own writes under all circumstances."""


class SlateItemOut(BaseModel):
    """One place of a slate."""

    item_id: str
    title: str
    rank: int
    score: float
    """Comparable within one slate only."""
    parts: dict[str, float]
    """What the score is the sum of."""
    sources: list[str]
    """What found it: interest, trend, ...; ``all`` where the whole catalog was scored."""
    log_propensity: float | None = None
    """Where slates are drawn: log of the probability of the item here, given those before it."""
    rules: list[str] = Field(default_factory=list)
    """Ids of the business rules that changed the item's score or place; ``wish.WHAT.NODE`` is a
    wish of the user (``GET /v1/users/{id}/interests``)."""
    probability: float | None = None
    """The chance that the user chooses it next, by the ranking model; None = there is none."""
    reason: ReasonOut | None = None
    """None with ``explain=none``."""


class CounterfactualOut(BaseModel):
    """The slate as it would be had one event not happened; it was shown to nobody."""

    without: WithoutOut
    items: list[SlateItemOut]
    """From the profile folded without the event. Trend and what was seen are held fixed, so the
    event's own item does not come back."""


class SlateReply(BaseModel):
    """A slate, best first."""

    request_id: str
    """Send it with the impressions and clicks that answer this slate."""
    user_id: str | None
    as_of: float
    """The moment that the slate is true at."""
    trend_as_of: float | None
    """All users' events acknowledged before this moment are in the trend; None = none yet."""
    profile_version: str | None
    degraded: bool
    """True: the profile could not be read; this is trend alone."""
    cold_start: bool
    """True: nothing is known of the user."""
    unknown_items: list[str] = Field(default_factory=list)
    """Items of the request that the catalog lacks."""
    statement: StatementOut | None = None
    """How the ``interests`` of the request were understood; null = there were none."""
    rules_version: str | None = None
    """Version of the business rules that the slate obeys; null = there are none."""
    reason: str | None = None
    """Why there are fewer items than were asked for, or that the user muted all that they are
    interested in, so that this is what is trending; null = neither."""
    explained_from: Literal["held", "record"] | None = None
    """What effects and counterfactual were folded from: ``record`` = the user's whole history,
    exactly; ``held`` = the recent events and the profile, exact to rounding where these are all
    there are. None = nothing was explained."""
    counterfactual: CounterfactualOut | None = None
    """With ``without``."""
    items: list[SlateItemOut]


class HalfLifeOut(BaseModel):
    """What one half-life of a profile holds."""

    half_life_s: float
    mass: float
    """Decayed sum of the importance of all events."""
    confidence: float
    """mass / (mass + m_0), in [0, 1)."""


class InterestOut(BaseModel):
    """One interest."""

    label: str
    weight: float
    """Share of all interests; they sum to 1."""


class RecentOut(BaseModel):
    """One recent event."""

    item_id: str | None
    title: str | None
    kind: str
    ts: float
    importance: float
    """Below 0: negative evidence."""


class ProfileReply(BaseModel):
    """A profile as of a moment."""

    user_id: str
    as_of: float
    last_event_at: float | None
    n_events: int
    profile_version: str
    cold_start: bool
    query: list[float]
    """(D,) what slates are asked with now; its length is how sure the profile still is."""
    more_queries: list[list[float]] = []
    """Further query vectors, where the model has several: the nearest one scores an item."""
    half_lives: list[HalfLifeOut]
    interests: list[InterestOut]
    recent: list[RecentOut]


class SimilarItem(BaseModel):
    """An item like another one."""

    item_id: str
    title: str
    rank: int
    score: float
    """Cosine of the two item vectors."""


class SimilarReply(BaseModel):
    """Items like one item; empty where it has no text."""

    item_id: str
    items: list[SimilarItem]


class TrendingItem(BaseModel):
    """A popular item."""

    item_id: str
    title: str
    rank: int
    score: float
    mass: list[float]
    """Decayed number of events per half-life."""


class TrendingReply(BaseModel):
    """What everybody turns to."""

    as_of: float
    trend_as_of: float | None
    half_lives_s: list[float]
    items: list[TrendingItem]


class ShardOut(BaseModel):
    """One shard of the profile pool."""

    name: str
    n_partitions: int
    n_users: int
    n_events: int
    recovery_s: float
    n_standby: int = 0
    """Partitions of other shards of which it keeps a copy."""


class HealthReply(BaseModel):
    """Whether everything that an answer needs is there."""

    status: Literal["ok", "degraded"]
    tenant: str
    bundle_id: str
    n_items: int
    n_users: int
    trend_as_of: float | None
    shards: list[ShardOut]


class Problem(BaseModel):
    """An error, as RFC 9457 has it (``application/problem+json``)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
