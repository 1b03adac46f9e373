"""What is told of why an item is in a slate. Times are Unix seconds, UTC."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class EventEffectOut(BaseModel):
    """What one recent event of the user adds to the score of an item."""

    item_id: str
    title: str
    kind: str
    ts: float
    event_age_s: float
    position: int
    """Among the user's recent events; 0 is the latest."""
    effect: float
    """The item's score minus its score had the event not happened, everything else being equal:
    trend, births, what was seen and what is
    known beside events are held fixed. Effects of several events do not sum."""


class ReasonOut(BaseModel):
    """Why an item is in a slate."""

    type: Literal["because", "asked", "trending", "cold"]
    text: str
    """In English, days in UTC."""
    events: list[EventEffectOut] = Field(default_factory=list)
    """Of type ``because`` the one to three events that add most, the strongest first. With
    ``explain=full``, whatever the type, all recent events, the latest first."""
    fades_at: float | None = None
    """Unix seconds at which what the strongest event adds will have halved if nothing else
    happens; None = not within two years, or no event."""
    item_id: str | None = None
    """Of the strongest event, as are the next two."""
    title: str | None = None
    event_age_s: float | None = None
    clauses: list[str] = Field(default_factory=list)
    """Of type ``asked`` what the user said that the item is of."""
    half_life_s: float | None = None
    """Of the trend that lifts the item most."""


class WithoutOut(BaseModel):
    """The event that a counterfactual slate goes without."""

    position: int
    """Among the user's recent events; 0 is the latest."""
    item_id: str
    title: str
    kind: str
    ts: float
