"""Batches of events: sent when there are enough of them, or when the oldest has waited long enough.

What is not sent yet is bounded: while the service does not keep up, ``add`` waits.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from recsys.errors import RecsysError
from serving.api.schemas import EventsReply, Rejected
from serving.client.aio import AsyncHalflifeClient
from serving.client.routes import Event, with_id
from serving.client.sync import HalflifeClient

MAX_EVENTS, MAX_WAIT_S = 500, 0.2

OnRejected = Callable[[dict[str, Any], Rejected], None]
"""Told of each event that the service refused, with its reason."""


@dataclass
class Totals:
    """What became of the events so far."""

    accepted: int = 0
    duplicates: int = 0
    pending: int = 0
    rejected: int = 0


class _Batch:
    """Events that wait, without input and output.

    Args:
        max_events: of one request.
        on_rejected: told of refused events; None = they are counted only.
    """

    def __init__(self, max_events: int, on_rejected: OnRejected | None) -> None:
        self.waiting: list[dict[str, Any]] = []
        self.totals = Totals()
        self._max_events, self._on_rejected = max_events, on_rejected

    @property
    def is_full(self) -> bool:
        return len(self.waiting) >= self._max_events

    def next(self) -> list[dict[str, Any]]:
        """The oldest; they wait on until they are ``done``, so that nothing is lost on the way."""
        return self.waiting[: self._max_events]

    def done(self, sent: list[dict[str, Any]], reply: EventsReply) -> None:
        """The service has answered."""
        del self.waiting[: len(sent)]
        self.totals.accepted += reply.accepted
        self.totals.duplicates += reply.duplicates
        self.totals.pending += reply.pending
        self.totals.rejected += len(reply.rejected)
        for one in reply.rejected:
            if self._on_rejected is not None:
                self._on_rejected(sent[one.index], one)


class EventBatcher:
    """Sends events in batches, from any number of threads.

    Args:
        client: that sends.
        max_events: of one batch.
        max_wait_s: seconds that an event waits for others, at most.
        on_rejected: told of refused events; None = they are counted only.

    A batch that cannot be sent waits on; the error is raised by the next ``add``, ``flush`` or
    ``close``, and all of it is tried again, with the same ids.
    """

    def __init__(
        self,
        client: HalflifeClient,
        max_events: int = MAX_EVENTS,
        max_wait_s: float = MAX_WAIT_S,
        on_rejected: OnRejected | None = None,
    ) -> None:
        self._client, self._max_wait_s = client, max_wait_s
        self._batch = _Batch(max_events, on_rejected)
        self._lock = threading.RLock()
        self._error: RecsysError | None = None
        self._wake, self._is_closed = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True, name="halflife-events")
        self._thread.start()

    @property
    def totals(self) -> Totals:
        """What became of the events so far."""
        return self._batch.totals

    def add(self, event: Event) -> None:
        """Take an event; where the batch is full, send it first.

        Raises:
            RecsysError: if a batch could not be sent; the event is taken all the same.
        """
        with self._lock:
            self._batch.waiting.append(with_id(event))
            self._wake.set()
            self._raise()
            if self._batch.is_full:
                self._send()

    def flush(self) -> None:
        """Send all that waits.

        Raises:
            RecsysError: if it cannot be sent.
        """
        with self._lock:
            self._error = None
            while len(self._batch.waiting) > 0:
                self._send()

    def close(self) -> None:
        """``flush``, and take no more."""
        self._is_closed.set()
        self._wake.set()
        self._thread.join()
        self.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _send(self) -> None:
        sent = self._batch.next()
        if len(sent) > 0:
            self._batch.done(sent, self._client.events(sent))

    def _raise(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _follow(self) -> None:
        while not self._is_closed.is_set():
            self._wake.wait()
            self._is_closed.wait(self._max_wait_s)
            self._wake.clear()
            with self._lock:
                try:
                    self._send()
                except RecsysError as error:
                    self._error = error
                if len(self._batch.waiting) > 0:
                    self._wake.set()


class AsyncEventBatcher:
    """As ``EventBatcher``, for asyncio; events that wait longest are sent by the next ``add``.

    Args:
        client: that sends.
        max_events: of one batch.
        max_wait_s: seconds that an event waits for others, at most.
        on_rejected: told of refused events; None = they are counted only.
    """

    def __init__(
        self,
        client: AsyncHalflifeClient,
        max_events: int = MAX_EVENTS,
        max_wait_s: float = MAX_WAIT_S,
        on_rejected: OnRejected | None = None,
    ) -> None:
        self._client, self._max_wait_s = client, max_wait_s
        self._batch = _Batch(max_events, on_rejected)
        self._lock = asyncio.Lock()
        self._timer: asyncio.Task[None] | None = None
        self._error: RecsysError | None = None

    @property
    def totals(self) -> Totals:
        """What became of the events so far."""
        return self._batch.totals

    async def add(self, event: Event) -> None:
        """See ``EventBatcher``."""
        self._batch.waiting.append(with_id(event))
        error, self._error = self._error, None
        if error is not None:
            raise error
        if self._batch.is_full:
            await self._send()
        elif self._timer is None or self._timer.done():
            self._timer = asyncio.create_task(self._later())

    async def flush(self) -> None:
        """See ``EventBatcher``."""
        self._error = None
        while len(self._batch.waiting) > 0:
            await self._send()

    async def close(self) -> None:
        """See ``EventBatcher``."""
        if self._timer is not None:
            await self._timer
        await self.flush()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _send(self) -> None:
        async with self._lock:
            sent = self._batch.next()
            if len(sent) > 0:
                self._batch.done(sent, await self._client.events(sent))

    async def _later(self) -> None:
        await asyncio.sleep(self._max_wait_s)
        try:
            await self._send()
        except RecsysError as error:
            self._error = error
