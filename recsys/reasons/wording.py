"""Reasons and durations in English, for people; programs read the fields beside the text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

DID: Mapping[str, str] = {
    "view": "looked at {}",
    "click": "opened {}",
    "play": "played {}",
    "like": "liked {}",
    "save": "saved {}",
    "share": "shared {}",
    "cart": "put {} in your cart",
    "purchase": "bought {}",
    "rating": "rated {}",
    "comment": "commented on {}",
    "search": "searched for {}",
    "skip": "skipped {}",
    "dislike": "disliked {}",
    "dismiss": "dismissed {}",
}
"""What a user did, by event kind."""
DID_SOMETHING = "turned to {}"
"""What a user did in any other kind."""

DAY_S = 86_400.0
_TRENDS = ((3 * DAY_S, "Trending now"), (60 * DAY_S, "Popular of late"))
_UNITS = (("day", DAY_S), ("hour", 3_600.0), ("minute", 60.0))
_WEEK = timedelta(days=7)
_YEAR = timedelta(days=300)
_FAR_S = (6 * DAY_S, 28 * DAY_S, 300 * DAY_S)
"""Below the first a day is called by its name, then by its date, its month, its month and year."""


def duration(seconds: float) -> str:
    """A duration in its largest unit.

    >>> duration(7200.0), duration(90_000.0), duration(12.0)
    ('2 hours', '1 day', 'moments')
    """
    for name, size in _UNITS:
        if seconds >= size:
            count = round(seconds / size)
            return f"{count:,} {name}{'' if count == 1 else 's'}"
    return "moments"


def reason_text(reason: Mapping[str, Any], as_of: float) -> str:
    """One line for a reason of ``explain``.

    Args:
        reason: ``type``, and what stands beside it.
        as_of: the moment of the slate, Unix seconds; days are those of UTC.

    >>> reason_text({"type": "trending", "half_life_s": 86_400.0}, 0.0)
    'Trending now (half-life 1 day)'
    >>> reason_text({"type": "trending", "half_life_s": 30 * 86_400.0}, 0.0)
    'Popular of late (half-life 30 days)'
    >>> reason_text({"type": "asked", "clauses": ["crime", "science fiction"]}, 0.0)
    'Because you asked for crime and science fiction'
    >>> events = [{"title": "Alien", "kind": "play", "ts": 0.0},
    ...           {"title": "Up", "kind": "play", "ts": 86_400.0}]
    >>> reason = {"type": "because", "events": events, "fades_at": 5 * 86_400.0}
    >>> reason_text(reason, 3 * 86_400.0)
    'Because you played Alien and Up this week; fades by Tuesday'
    """
    if reason["type"] == "because":
        fades = fading(reason["fades_at"], as_of)
        return f"Because you {deeds(reason['events'], as_of)}{fades}"
    if reason["type"] == "asked":
        return f"Because you asked for {listed(reason['clauses'])}"
    if reason["type"] == "trending":
        half_life_s = reason["half_life_s"]
        words = next(
            (text for limit, text in _TRENDS if half_life_s <= limit), "A favourite of all"
        )
        return f"{words} (half-life {duration(half_life_s)})"
    return "From the catalog"


def deeds(events: Sequence[Mapping[str, Any]], as_of: float) -> str:
    """What a user did, and when; what was done alike is said once.

    >>> deeds([{"title": "A", "kind": "like", "ts": 0.0}], 0.0)
    'liked A today'
    """
    whens = [when(event["ts"], as_of) for event in events]
    if len(set(whens)) > 1 and set(whens) <= {"today", "yesterday", "this week"}:
        whens = ["this week"] * len(whens)
    titles: dict[tuple[str, str], list[str]] = {}
    for event, moment in zip(events, whens, strict=True):
        did = DID.get(event["kind"], DID_SOMETHING)
        titles.setdefault((did, moment), []).append(event["title"])
    said = [f"{did.format(listed(names))} {moment}" for (did, moment), names in titles.items()]
    return listed(said)


def listed(words: Sequence[str]) -> str:
    """Words as a list.

    >>> listed(["A"]), listed(["A", "B"]), listed(["A", "B", "C"])
    ('A', 'A and B', 'A, B and C')
    """
    return " and ".join([*([", ".join(words[:-1])] if len(words) > 1 else []), words[-1]])


@lru_cache(4_096)  # the items of a slate have the same few reasons
def when(ts: float, as_of: float) -> str:
    """When something was.

    >>> when(0.0, 3_600.0), when(0.0, 3 * 86_400.0), when(0.0, 50 * 86_400.0)
    ('today', 'this week', 'in January')
    """
    then, now = _date(min(ts, as_of)), _date(as_of)
    days = (now.date() - then.date()).days
    if days <= 1:
        return "today" if days == 0 else "yesterday"
    if now - then < _WEEK:
        return "this week"
    if (then.year, then.month) == (now.year, now.month):
        return "this month"
    return f"in {then:%B}" if now - then < _YEAR else f"in {then:%B %Y}"


def fading(fades_at: float | None, as_of: float) -> str:
    """When it will be half of what it is; nothing where that is years away.

    >>> fading(600.0, 0.0), fading(86_000.0, 0.0), fading(100 * 86_400.0, 0.0), fading(None, 0.0)
    ('; fades within the hour', '; fades today', '; fades by April', '')
    """
    if fades_at is None:
        return ""
    if fades_at - as_of < 3_600.0:
        return "; fades within the hour"
    day, today = int(fades_at // DAY_S), int(as_of // DAY_S)
    if day - today <= 1:
        return "; fades today" if day == today else "; fades by tomorrow"
    return f"; fades by {_named(day, today, _far(fades_at - as_of))}"


def _far(seconds: float) -> int:
    """How many of the limits of ``_FAR_S`` a duration is not below."""
    return sum(seconds >= limit for limit in _FAR_S)


@lru_cache(4_096)  # to name a day takes longer than to explain an item
def _named(day: int, today: int, far: int) -> str:
    """What people call a day to come; days since 1970."""
    then, now = _date(day * DAY_S), _date(today * DAY_S)
    if far == 0:
        return f"{then:%A}"
    if far == 1 or (then.year, then.month) == (now.year, now.month):
        return f"{then.day} {then:%B}"
    return f"{then:%B}" if far == 2 else f"{then:%B %Y}"


def _date(seconds: float) -> datetime:
    """Unix seconds as a moment in UTC, within the years that there are."""
    return datetime.fromtimestamp(min(max(seconds, -6e10), 2.5e11), UTC)
