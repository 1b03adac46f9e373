"""What a gateway counts. The plain class says nothing; ``RayGatewayMeters`` tells Prometheus.

Labels are words from lists that stand in the code (routes, stages, outcomes): never an id, never
what a client sent.
"""

from __future__ import annotations

from typing import Literal

Stage = Literal["profile", "query", "candidates", "ranking", "rerank", "reasons"]
"""``profile``: a read of profiles from the pool, on any route. The others are what the slate
function does, in this order: narrow the catalog, find candidates, score, rerank, explain."""

Outcome = Literal["personal", "cold", "degraded"]
"""Of a slate: from a profile; of somebody unknown; without the profile, which was away."""


class GatewayMeters:
    """Hears everything and says nothing. Times are seconds."""

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """A request was answered; ``route`` is the template, never the path."""

    def stage(self, stage: Stage, seconds: float) -> None:
        """A stage of one slate is done."""

    def slate(self, outcome: Outcome) -> None:
        """A slate is made."""

    def events(self, accepted: int, duplicates: int, pending: int, erased: int) -> None:
        """A batch of events was acknowledged; ``pending`` ones are among the accepted."""

    def effect(self, seconds: float) -> None:
        """From a request's arrival until its events are durable and in their users' profiles.

        Told once for each acknowledged batch that has accepted events of which none is pending: a
        read that begins after this moment sees them.
        """

    def fresh(self, trend_age: float, bundle_age: float, profile_lag: float) -> None:
        """How old what slates are made from is now.

        Args:
            trend_age: since the moment up to which all acknowledged events are in the trend here.
            bundle_age: since the bundle was made.
            profile_lag: for how long there have been, without a pause, accepted events whose words
                are in no profile yet, as this gateway has seen it; 0 = there are none.
        """

    def encoded(self, n_texts: int, seconds: float) -> None:
        """The encoder answered this gateway."""


SILENT = GatewayMeters()
"""Shared by all that are told of no meters."""
