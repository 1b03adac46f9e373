"""What stands in the headers of every call."""

from __future__ import annotations


def headers(api_key: str | None) -> dict[str, str]:
    """The headers of a client with a key, or without."""
    return {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
