"""Reasons and durations in words for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_TRENDS = ((3 * 86_400.0, "Trending now"), (60 * 86_400.0, "Popular of late"))
_UNITS = (("day", 86_400.0), ("hour", 3_600.0), ("minute", 60.0))


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


def reason_text(reason: Mapping[str, Any]) -> str:
    """One line for a reason of ``recsys.slate``.

    >>> reason_text({"type": "trending", "half_life_s": 86_400.0})
    'Trending now (half-life 1 day)'
    >>> reason_text({"type": "trending", "half_life_s": 30 * 86_400.0})
    'Popular of late (half-life 30 days)'
    """
    if reason["type"] == "because":
        return f"Because of {reason['title']}, {duration(reason['event_age_s'])} ago"
    if reason["type"] == "trending":
        half_life_s = reason["half_life_s"]
        words = next(
            (text for limit, text in _TRENDS if half_life_s <= limit), "A favourite of all"
        )
        return f"{words} (half-life {duration(half_life_s)})"
    return "From the catalog"
