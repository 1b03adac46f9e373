"""What a gateway tells of drift: how many interests of users appeared, grew, faded and died.

A user is looked at when a slate or the interests are asked for, and compared with the look before;
at the first look, with one short half-life earlier. So what happened between two looks counts once
in each gateway. Metrics name no user and no interest.
"""

from __future__ import annotations

from collections import Counter as Counts
from collections import OrderedDict
from collections.abc import Mapping

from ray.util.metrics import Counter

from recsys.graph.interest_graph import InterestGraph
from recsys.graph.overlay import drift, overlay
from recsys.shelf import Evidence

MAX_USERS = 20_000
"""Users whose last look is remembered, the latest ones."""
REST_S = 60.0
"""Seconds between two looks at a user: nobody drifts faster, and a look takes as long as a part of
a slate. Nothing is lost by it, for the next look is compared with the last."""


class DriftMeters:
    """Hears everything and says nothing."""

    def __init__(self) -> None:
        self.looked: OrderedDict[str, float] = OrderedDict()
        """User -> moment of the last look. Gateways come and go with the catalog; this stays."""

    def drifted(self, counts: Mapping[str, int]) -> None:
        """So many interests appeared, are growing, are fading, or died (``overlay.Drift``)."""


class RayDriftMeters(DriftMeters):
    """``halflife_interest_drift_total{drift="appeared" | "growing" | "fading" | "died"}``."""

    def __init__(self) -> None:
        super().__init__()
        text = "Interests of users by what became of them between two looks of a gateway"
        self._counter = Counter("halflife_interest_drift_total", text, ("drift",))

    def drifted(self, counts: Mapping[str, int]) -> None:
        """See ``DriftMeters``."""
        for name, n in counts.items():
            self._counter.inc(n, {"drift": name})


class DriftWatch:
    """Compares each look at a user with the one before.

    Args:
        graph: of the bundle; None = nothing is watched.
        meters: told of what is found.
    """

    def __init__(self, graph: InterestGraph | None, meters: DriftMeters) -> None:
        self._graph, self._meters = graph, meters

    def look(self, user_id: str, evidence: Evidence, as_of: float) -> None:
        """Look at a user whose last look is ``REST_S`` ago; others are left for a later one."""
        graph, looked = self._graph, self._meters.looked
        if graph is None or len(evidence.recent_item) == 0:
            return
        before = looked.get(user_id, as_of - graph.options.short_half_life_s)
        if as_of - before < REST_S:
            return
        looked[user_id] = as_of
        looked.move_to_end(user_id)
        if len(looked) > MAX_USERS:
            looked.popitem(last=False)
        was, now = (overlay(evidence, graph, at) for at in (before, as_of))
        counts: Counts[str] = Counts(drift(was, now))
        del counts["steady"]
        self._meters.drifted(counts)
