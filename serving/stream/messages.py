"""Messages of a topic: each is one event as ``POST /v1/events`` takes it, or poison with a reason.

What a message becomes depends on the message alone and not on when it is read, so that a message
that is delivered again is the same event: an event without id is named after its place, and one
without time happened when the message was sent.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, NamedTuple

from recsys.errors import EventError
from recsys.ingestion.quarantine import MALFORMED
from recsys.schema import Event
from recsys.settings import DataSettings
from serving.api.events import BAD_EVENT, EventReader, RefusedEventError

TOO_LARGE = "too_large"
REFUSED = "refused"
"""The pool itself does not take the event."""


class Place(NamedTuple):
    """One partition of a topic."""

    topic: str
    partition: int

    @property
    def source(self) -> str:
        """Its name in the quarantine and in event ids."""
        return f"kafka:{self.topic}:{self.partition}"


@dataclass(frozen=True, slots=True)
class Message:
    """One message."""

    place: Place
    offset: int
    value: bytes | None
    sent_at: float | None = None
    """Unix seconds by the producer's or the broker's clock; None = not told."""

    @property
    def next_offset(self) -> int:
        """Where reading goes on after it."""
        return self.offset + 1


@dataclass(frozen=True, slots=True)
class End:
    """There is nothing more in a partition for now."""

    place: Place
    offset: int
    """Where the next message will stand."""

    @property
    def next_offset(self) -> int:
        """Where reading goes on."""
        return self.offset


@dataclass(frozen=True, slots=True)
class Poison:
    """A message that is no event."""

    message: Message
    reason: str
    """A word for programs."""


class MessageReader:
    """Reads the messages of one tenant.

    Args:
        tenant: whose events they are.
        data: limits and kinds.
        max_bytes: largest message.
        clock_offset_s: seconds by which the pool's clock is ahead of the brokers'.
    """

    def __init__(
        self, tenant: str, data: DataSettings, max_bytes: int, clock_offset_s: float = 0.0
    ) -> None:
        self._events = EventReader(tenant, data)
        self._max_bytes = max_bytes
        self._clock_offset_s = clock_offset_s

    def read(self, message: Message, now: float) -> Event | Poison:
        """The event of a message, or why it is none.

        Args:
            message: one message.
            now: Unix seconds by the pool's clock.
        """
        if message.value is None:
            return Poison(message, BAD_EVENT)
        if len(message.value) > self._max_bytes:
            return Poison(message, TOO_LARGE)
        try:
            raw = json.loads(message.value)
        except (ValueError, RecursionError):
            return Poison(message, MALFORMED)
        try:
            return self._events.read(self._completed(raw, message), now)
        except RefusedEventError as error:
            return Poison(message, error.reason)
        except EventError:
            return Poison(message, BAD_EVENT)

    def _completed(self, raw: Any, message: Message) -> Any:
        if not isinstance(raw, dict):
            return raw
        if raw.get("event_id") is None:
            raw["event_id"] = f"{message.place.source}:{message.offset}"
        if raw.get("ts") is None and message.sent_at is not None:
            raw["ts"] = message.sent_at + self._clock_offset_s
        return raw
