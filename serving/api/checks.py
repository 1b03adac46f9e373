"""Checks of what clients send: ids, texts and times."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime

from recsys.errors import EventError

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")

EARLIEST_S = datetime(1, 1, 2, tzinfo=UTC).timestamp()
LATEST_S = datetime(9999, 12, 30, tzinfo=UTC).timestamp()


def check_id(name: str, value: str, max_bytes: int) -> str:
    """The id, if it is sound.

    Raises:
        EventError: if it is empty, too long, no Unicode text or holds control characters.
    """
    size = _size(name, value)
    if size == 0:
        raise EventError(name, "is empty", "Give an id")
    if size > max_bytes:
        raise EventError(name, f"is {size} bytes long", f"At most {max_bytes} are allowed")
    if _CONTROL.search(value) is not None:
        raise EventError(name, "holds control characters", "Ids are printable text")
    return value


def check_text(name: str, value: str, max_bytes: int) -> str:
    """The text, if it is sound.

    Raises:
        EventError: if it is too long or no Unicode text.
    """
    size = _size(name, value)
    if size > max_bytes:
        raise EventError(name, f"is {size} bytes long", f"At most {max_bytes} are allowed")
    return value


def parse_time(name: str, value: float | str) -> float:
    """Unix seconds of a time given as such, or in ISO 8601; UTC where no offset is given.

    Raises:
        EventError: if it is neither, or outside the years 1 to 9999.

    >>> parse_time("ts", "1970-01-01T00:01:00Z")
    60.0
    >>> parse_time("ts", "60")
    60.0
    """
    seconds = value if isinstance(value, (int, float)) else _from_text(name, value)
    try:
        seconds = float(seconds)
    except OverflowError:
        seconds = math.inf
    if not EARLIEST_S <= seconds <= LATEST_S:
        raise EventError(
            name, "is no time between the years 1 and 9999", "Unix seconds, not milliseconds"
        )
    return seconds


def _from_text(name: str, value: str) -> float:
    text = value.strip()
    if _NUMBER.fullmatch(text) is not None:
        return float(text)
    for candidate in (text, "+".join(text.rsplit(" ", 1))):  # "+" in a URL arrives as a blank
        try:
            moment = datetime.fromisoformat(candidate)
        except ValueError:
            continue
        try:
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except OverflowError:
            return math.inf
    raise EventError(name, "is no time", "Give Unix seconds or ISO 8601: 2025-01-01T00:00:00Z")


def _size(name: str, value: str) -> int:
    try:
        return len(value.encode())
    except UnicodeEncodeError as error:
        raise EventError(name, "is no Unicode text", "Send valid UTF-8") from error
