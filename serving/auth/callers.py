"""Callers: who asks, and what they may."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Scope = Literal["recommend", "ingest", "catalog", "privacy", "admin"]

SCOPES: tuple[Scope, ...] = get_args(Scope)


@dataclass(frozen=True)
class Caller:
    """Whoever showed a key or a token."""

    name: str
    """Of the key or token, for logs and limits; it gives nothing away."""
    tenant: str
    scopes: frozenset[str]
    requests_per_s: float | None = None
    """None = as the settings say."""
