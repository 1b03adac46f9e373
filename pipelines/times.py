"""Times as people write them on a command line."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from recsys.errors import ConfigError

_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")


def parse_time(text: str) -> float:
    """Unix seconds, or an ISO date or time (UTC where it names no zone), as Unix seconds.

    Raises:
        ConfigError: if it is neither.

    >>> parse_time("1970-01-02")
    86400.0
    """
    if _NUMBER.fullmatch(text.strip()) is not None:
        return float(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(
            f"time {text!r}", "is no time", "Write 2024-05-01T12:00:00Z, or Unix seconds"
        ) from error
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
