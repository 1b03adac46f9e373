"""Version tokens: how far a read must have got to see a write, opaque to clients."""

from __future__ import annotations

import re
from collections.abc import Mapping

from recsys.errors import EventError

MAX_CHARS = 4_096

_TOKEN = re.compile(r"(\d{1,9}\.\d{1,18})(-\d{1,9}\.\d{1,18})*")


def format_versions(versions: Mapping[int, int]) -> str:
    """A token of ledger sequences by partition.

    >>> format_versions({3: 17, 1: 2})
    '1.2-3.17'
    """
    return "-".join(f"{partition}.{version}" for partition, version in sorted(versions.items()))


def parse_versions(token: str | None) -> dict[int, int]:
    """The inverse of ``format_versions``; None and the empty token ask for nothing.

    Raises:
        EventError: if it is no token.
    """
    if token is None or token == "":
        return {}
    if len(token) > MAX_CHARS or _TOKEN.fullmatch(token) is None:
        raise EventError("min_version", "is no version token", "Send what /v1/events returned")
    pairs = (pair.split(".") for pair in token.split("-"))
    return {int(partition): int(version) for partition, version in pairs}
