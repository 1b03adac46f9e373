"""What goes over HTTP about interests: the graph, and where a user is in it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from serving.api.schemas import RecentOut, Request

Drift = Literal["appeared", "growing", "steady", "fading", "died"]


class WishIn(Request):
    """What shall be of one interest; fields that are left out stay as they are."""

    mute: bool | None = None
    """Nothing of it is shown, and its events do not weigh."""
    boost: Annotated[float, Field(ge=0.1, le=10.0)] | None = None
    """Scores of its items times this (below 0: divided by it); null = no more."""
    pin: bool | None = None
    """At least one place of every slate is its, if there is anything of it to show."""


class WishOut(BaseModel):
    """What a user wants of one interest."""

    node: int | None
    """In the graph of this bundle; null = it has no such interest, and the wish waits."""
    label: str
    """Of that node; where there is none, as it was called when it was spoken of last."""
    mute: bool
    boost: float | None
    pin: bool
    forgotten_at: float | None
    """Unix seconds: evidence up to then does not count, and nothing of it is shown before the user
    turned to it again. null = it was never deleted."""
    is_active: bool
    """False: this bundle has no such interest."""


class WishReply(BaseModel):
    """A wish is durable, and counts from the user's next slate on."""

    user_id: str
    wish: WishOut
    version: str
    """Give it as ``min_version`` to see the wish under all circumstances."""


class ForecastOut(BaseModel):
    """What an interest will weigh if nothing happens."""

    after_1d: float
    after_7d: float
    after_30d: float
    half_at: float
    """Unix seconds when it will weigh half of what it does now."""


class UserInterestOut(BaseModel):
    """One interest of a user."""

    node: int
    """Its number in the graph of this bundle; another bundle numbers anew."""
    label: str
    weight: float
    """What it weighs now; one click of this moment weighs 1."""
    share: float
    """Of all interests; they sum to 1."""
    short: float
    """Mass at the short half-life: the last days."""
    long: float
    """Mass at the long half-life: the last months."""
    against: float
    """Mass of negative evidence at the long half-life; it is no part of the weight."""
    half_life_s: float
    """Seconds in which the weight halves from now on."""
    direction: Drift
    """Where it is going: what became of it within one short half-life. It has ``appeared`` or
    ``died`` where its weight crossed 0.05 (a twentieth of a click of this moment), and is
    ``growing`` or ``fading`` where it moved by more than 5%."""
    forecast: ForecastOut
    change: Drift | None = None
    """The same since ``since``; null where that was not asked."""
    n_events: int
    """Recent events of positive evidence."""
    events: list[RecentOut]
    """The latest of them, at most three."""
    wish: WishOut | None = None
    """What the user wants of it; null = nothing was said."""


class AdjacentOut(BaseModel):
    """An interest that the user's interests lead to."""

    node: int
    label: str
    activation: float
    """Share of all activation, that of the user's own interests included."""


class InterestsReply(BaseModel):
    """A user's interests as of a moment, the strongest first."""

    user_id: str
    as_of: float
    since: float | None
    profile_version: str
    cold_start: bool
    """True: nothing is known of the user."""
    is_whole: bool
    """False: there are older events than the profile keeps one by one; they are not in here."""
    short_half_life_s: float
    long_half_life_s: float
    interests: list[UserInterestOut]
    adjacent: list[AdjacentOut]
    """Interests without evidence that these lead to, at most five."""
    wishes: list[WishOut]
    """All that the user wishes, of other interests and of forgotten ones too."""


class NodeOut(BaseModel):
    """One interest of the catalog."""

    node: int
    label: str
    words: list[str]
    """What the label is made of."""
    word_shares: list[float]
    """Of its items, the share that has each word."""
    n_items: int
    mass: float
    """Decayed number of positive events of all users."""


class EdgeOut(BaseModel):
    """From one interest to another."""

    source: int
    target: int
    passages: float
    """Decayed number of times that a user went this way."""
    weight: float
    """Share of what follows the source more often than chance would have."""


class GraphReply(BaseModel):
    """The interest graph of the served bundle."""

    bundle_id: str
    as_of: float
    """Unix seconds that masses and passages are decayed to: the latest event of the bundle."""
    edge_half_life_s: float
    nodes: list[NodeOut]
    edges: list[EdgeOut]
    """The strongest, by passages, of those beyond chance."""
