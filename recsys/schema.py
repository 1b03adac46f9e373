"""The canonical schema, version 1: what an event, an item and a user are.

Parquet, Arrow and the ledger speak these columns; a changed column is a new ``SCHEMA_VERSION``.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple, NewType

import pyarrow as pa

SCHEMA_VERSION = 1

UserId = NewType("UserId", str)
ItemId = NewType("ItemId", str)

DEFAULT_TENANT = "default"
TIMESTAMP = pa.timestamp("us", tz="UTC")

EVENTS = pa.schema(
    [
        pa.field("tenant", pa.string(), nullable=False),
        pa.field("event_id", pa.string(), nullable=False),
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("item_id", pa.string()),  # null only for kinds that name no item (search)
        pa.field("kind", pa.string(), nullable=False),
        pa.field("ts", TIMESTAMP, nullable=False),
        pa.field("seq", pa.int64(), nullable=False),  # position in the source
        pa.field("ingested_at", TIMESTAMP, nullable=False),
        pa.field("value", pa.float64()),  # a rating, or seconds of dwell
        pa.field("text", pa.string()),  # the user's own words
        pa.field("session_id", pa.string()),
        pa.field("request_id", pa.string()),  # the slate that it answers
        pa.field("rank", pa.int32()),  # position in that slate, from 1
        pa.field("source", pa.string()),  # pseudonymous origin, for abuse control
    ],
    metadata={"schema": "halflife.events", "version": str(SCHEMA_VERSION)},
)

ITEMS = pa.schema(
    [
        pa.field("tenant", pa.string(), nullable=False),
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("title", pa.string()),
        pa.field("text", pa.string()),
        pa.field("categories", pa.list_(pa.string())),
        pa.field("image_uri", pa.string()),
        pa.field("audio_uri", pa.string()),
        pa.field("available_from", TIMESTAMP),
        pa.field("available_until", TIMESTAMP),
        pa.field("created_at", TIMESTAMP),
        pa.field("attributes", pa.map_(pa.string(), pa.string())),
    ],
    metadata={"schema": "halflife.items", "version": str(SCHEMA_VERSION)},
)

USERS = pa.schema(
    [
        pa.field("tenant", pa.string(), nullable=False),
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("attributes", pa.map_(pa.string(), pa.string())),
        pa.field("follows", pa.list_(pa.string())),
    ],
    metadata={"schema": "halflife.users", "version": str(SCHEMA_VERSION)},
)


class Event(NamedTuple):
    """One event as plain values, in the order of ``EVENTS``; times are Unix seconds, UTC."""

    tenant: str
    event_id: str
    user_id: str
    item_id: str | None
    kind: str
    ts: float
    seq: int
    ingested_at: float
    value: float | None = None
    text: str | None = None
    session_id: str | None = None
    request_id: str | None = None
    rank: int | None = None
    source: str | None = None


def microseconds(seconds: float) -> int:
    """Unix seconds as whole microseconds, the resolution of every stored time.

    >>> microseconds(1.5)
    1500000
    """
    return round(seconds * 1e6)


def partition_of(tenant: str, user_id: str, n_partitions: int) -> int:
    """The partition that owns a user: the same on every machine, process and version.

    BLAKE2b over ``tenant NUL user_id``; never Python's ``hash``, which is salted per process.

    >>> partition_of("default", "u1", 64)
    52
    """
    digest = hashlib.blake2b(f"{tenant}\0{user_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % n_partitions
