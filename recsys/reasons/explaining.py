"""Reasons: the recent events that lift an item most, else what was asked for, else the trend.

An item is there because of events where what they add (``recsys.reasons.effects``) is above zero
and the user's taste lifts it at least as much as its trend does.
"""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from recsys.ranking import Floats
from recsys.reasons.effects import Doubles, Histories, Scoring
from recsys.reasons.fading import halved_at
from recsys.reasons.wording import reason_text
from recsys.shelf import Evidence, Shelf

Explain = Literal["none", "reason", "full"]
"""How much is said: nothing, a reason for each item, or what every event adds to every item."""
EXPLAIN: tuple[str, ...] = get_args(Explain)

Reason = dict[str, Any]
Rows = npt.NDArray[np.integer[Any]]

MAX_NAMED = 3
"""Events that a reason names."""
NAMED_SHARE = 0.5
"""Share of the strongest effect that a further event must have to be named."""
MAX_LOOKED = 8
"""Events that are looked at for further ones to name; several may be of one item."""
_SAMPLE = 512


def explain(  # noqa: PLR0913, PLR0917 - what a slate was made of
    shelf: Shelf,
    evidence: Evidence,
    trend_features: Floats,
    as_of: float,
    rows: Rows,
    parts: dict[str, Floats],
    how: Explain = "reason",
) -> list[Reason | None]:
    """A reason for each of some items.

    Args:
        shelf: of the bundle.
        evidence: of the user.
        trend_features: (N, Ht) of all items.
        as_of: the moment.
        rows: (n,) the items.
        parts: ``interest`` (n,) and, if there is one, ``neighbours`` (n,) of these items, and
            ``trend`` (N,) of all.
        how: ``none`` gives None for each item and costs nothing.

    Returns:
        ``type`` and ``text`` of each; and where ``type`` is

        ``because``: ``events`` (of ``reason``, the one to three that add most, the strongest first;
        of ``full`` all, the newest first), ``fades_at`` (Unix seconds at which what the strongest
        adds will have halved; None = not within two years), and ``item_id``, ``title`` and
        ``event_age_s`` of the strongest;
        ``asked``: ``clauses``, what the user said to want that the item is of;
        ``trending``: ``half_life_s`` of the trend that lifts it most; ``cold``: nothing.

        An event is ``item_id``, ``title``, ``kind``, ``ts``, ``event_age_s``, ``position`` (0 = the
        latest) and ``effect``: the item's score minus its score without the event. Effects do not
        sum. With ``full`` they are given whatever the type.
    """
    if how == "none" or len(rows) == 0:
        return [None] * len(rows)
    scoring = Scoring(shelf, Histories(shelf, evidence), trend_features, as_of, rows)
    named = np.flatnonzero(np.asarray(evidence.recent_item)[: scoring.effects.shape[1]] >= 0)
    effects = scoring.effects[:, named]  # (n, R)
    best = effects.max(axis=1, initial=0.0)
    weighed = _weighed(shelf, evidence, trend_features, rows)
    is_rising = weighed.max(axis=1, initial=0.0) > 0
    is_taste = _tastes(shelf, rows, parts) >= _lifts(rows, parts["trend"])
    is_because = (best > 0) & (is_taste | ~is_rising)
    strongest = np.argsort(-effects, axis=1, kind="stable")[:, :MAX_LOOKED]
    lead = np.full(len(rows), -1, np.int64)
    if len(named) > 0:
        lead = np.where(is_because, named[strongest[:, 0]], -1)
    fades_at = halved_at(scoring, lead, best).tolist()
    places = named[strongest].tolist()
    added = np.take_along_axis(effects, strongest, axis=1).tolist()
    told = _Told(shelf, evidence, as_of)
    reasons: list[Reason | None] = []
    for i in range(len(rows)):
        if is_because[i]:
            reason = told.because(places[i], added[i], fades_at[i])
        else:
            rising = weighed[i] if is_rising[i] else None
            reason = _of_others(shelf, told.asked_for(int(rows[i])), rising)
        reason["text"] = reason_text(reason, as_of)
        if how == "full":
            reason["events"] = told.events(named.tolist(), effects[i].tolist())
        reasons.append(reason)
    return reasons


class _Told:
    """A user's events as they are told."""

    def __init__(self, shelf: Shelf, evidence: Evidence, as_of: float) -> None:
        self._shelf, self._evidence, self._as_of = shelf, evidence, as_of
        self._events: dict[int, dict[str, Any]] = {}

    def asked_for(self, row: int) -> list[str]:
        """The wished clauses of what the user says whose topics an item is of."""
        said = self._evidence.told.statement
        if said is None:
            return []
        return [one.text for one in said.of(True) if row in one.rows][:MAX_NAMED]

    def because(self, places: list[int], effect: list[float], fades_at: float) -> Reason:
        """The reason that some events are, the strongest first."""
        chosen: dict[int, int] = {}
        for n, place in enumerate(places):
            if len(chosen) == MAX_NAMED or effect[n] < NAMED_SHARE * effect[0]:
                break
            chosen.setdefault(int(self._evidence.recent_item[place]), n)
        kept = list(chosen.values())
        events = self.events([places[n] for n in kept], [effect[n] for n in kept])
        return {
            "type": "because",
            **{name: events[0][name] for name in ("item_id", "title", "event_age_s")},
            "events": events,
            "fades_at": fades_at if math.isfinite(fades_at) else None,
        }

    def events(self, places: list[int], effect: list[float]) -> list[dict[str, Any]]:
        """Events with what they add to one item."""
        told = zip(places, effect, strict=True)
        return [{**self._event(place), "effect": added} for place, added in told]

    def _event(self, place: int) -> dict[str, Any]:
        if place not in self._events:
            evidence, catalog = self._evidence, self._shelf.catalog
            row, ts = int(evidence.recent_item[place]), float(evidence.recent_ts[place])
            self._events[place] = {
                "item_id": catalog.item_ids[row],
                "title": catalog.label(row),
                "kind": evidence.recent_kind[place],
                "ts": ts,
                "event_age_s": max(0.0, self._as_of - ts),
                "position": place,
            }
        return self._events[place]


def _of_others(shelf: Shelf, clauses: list[str], rising: Floats | None) -> Reason:
    """The reason of an item that no event explains; ``rising`` (Ht,) is its trend if it has one."""
    if len(clauses) > 0:
        return {"type": "asked", "clauses": clauses}
    if rising is None:
        return {"type": "cold"}
    half_life_s = shelf.trend.half_lives_s[int(np.argmax(rising))]
    return {"type": "trending", "half_life_s": float(half_life_s)}


def _tastes(shelf: Shelf, rows: Rows, parts: dict[str, Floats]) -> Floats:
    """(n,) what is the user's own in the scores of items."""
    taste = parts["interest"] if shelf.common is None else parts["interest"] - shelf.common[rows]
    return taste + parts["neighbours"] if "neighbours" in parts else taste


def _lifts(rows: Rows, trend: Floats) -> Doubles:
    """(n,) by how much the trend of items stands out: only that explains anything."""
    sample = trend[:: max(1, len(trend) // _SAMPLE)]  # the middle of many is that of some
    middle = np.partition(sample, len(sample) // 2)[len(sample) // 2]
    lift: Doubles = trend[rows].astype(np.float64) - float(middle)
    return lift


def _weighed(shelf: Shelf, evidence: Evidence, trend_features: Floats, rows: Rows) -> Floats:
    """(n, Ht) what each half-life of the items' trend is to the user."""
    query, warm = evidence.query, shelf.items.warm[rows]
    weights = np.where(warm[:, None], query.warm_trend, query.cold_trend)
    weighed: Floats = trend_features[rows] * weights
    return weighed
