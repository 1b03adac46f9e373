"""Settings of the HTTP interface: what one request may ask of the service."""

from __future__ import annotations

from pydantic import PositiveFloat, PositiveInt

from recsys.section import Section


class ApiSettings(Section):
    """Bounds of single requests."""

    max_stream_bytes: PositiveInt = 256 << 20
    """Largest body of events as NDJSON, in bytes; it is never in memory as a whole."""
    max_line_bytes: PositiveInt = 64 << 10
    """Longest line of such a body, in bytes; a longer one is rejected and the rest goes on."""
    stream_batch: PositiveInt = 500
    """Events of such a body that are made durable together."""
    stream_idle_s: PositiveFloat = 5.0
    """Seconds without a byte of such a body after which it is given up."""
    max_rejected: PositiveInt = 100
    """Rejected lines that a reply names; the others are counted only."""
    max_users_per_request: PositiveInt = 100
    """Most users in one request for slates."""
    max_filters: PositiveInt = 64
    """Item filters of requests that stay compiled; each holds a bit or more per item."""
    filter_limit_s: PositiveFloat = 0.5
    """Seconds that a filter may take to go through the catalog the first time it is asked."""
    max_users: PositiveInt = 100_000
    """Users of a tenant up to which attributes can be written over HTTP; each write makes their
    whole table anew. With more, ``python -m pipelines.ingest`` writes them."""
    max_items: PositiveInt = 200_000
    """Items of a tenant up to which they can be written over HTTP, as for ``max_users``."""
    max_items_per_request: PositiveInt = 1_000
    """Most items that one request writes, or a page tells."""
    max_idempotency_keys: PositiveInt = 20_000
    """Latest idempotency keys of which a replica knows what they were sent with."""
