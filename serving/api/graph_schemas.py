"""What goes over HTTP about interests: the graph, and where a user is in it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from serving.api.schemas import RecentOut


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
    direction: Literal["rising", "steady", "falling", "gone"]
    """Whether the user comes back more or less often than in the last months."""
    forecast: ForecastOut
    change: Literal["appears", "grows", "steady", "fades", "dies"] | None = None
    """What became of it since ``since``; null where that was not asked."""
    n_events: int
    """Recent events of positive evidence."""
    events: list[RecentOut]
    """The latest of them, at most three."""


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
