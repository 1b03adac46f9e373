"""The stage: which gateway answers. Another takes its place while requests are on their way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from recsys.errors import RecsysError, RetiredError, UnavailableError
from serving.catalog import CatalogDesk
from serving.filters import FilterDesk, filter_desk
from serving.gateway import Gateway
from serving.users import UserDesk

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class Front:
    """What answers requests: made of one bundle, and replaced as a whole."""

    gateway: Gateway
    filters: FilterDesk
    users: UserDesk | None = None
    """None = single users can't be told, changed or erased here."""
    catalog: CatalogDesk | None = None
    """None = items can't be told or changed here."""

    @classmethod
    def of(
        cls, gateway: Gateway, users: UserDesk | None = None, catalog: CatalogDesk | None = None
    ) -> Front:
        """The front of a gateway."""
        return cls(gateway, filter_desk(gateway), users, catalog)


class Stage:
    """Holds the front that answers, and keeps it fed while the application runs.

    Args:
        front: that answers first.
    """

    def __init__(self, front: Front) -> None:
        self.front = front
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._exchanging = asyncio.Lock()

    @classmethod
    def of(cls, gateway: Gateway, users: UserDesk | None = None) -> Stage:
        """A stage on which a gateway answers first."""
        return cls(Front.of(gateway, users))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """While the block lasts, the front follows trend, rules, people and weights."""
        self._tasks = _follow(self.front.gateway)
        try:
            yield
        finally:
            await _ended(self._tasks)

    async def exchange(self, front: Front) -> None:
        """Let another front answer from now on; who asked the old one is still answered by it."""
        async with self._exchanging:
            await _brought_up(front.gateway)
            old, self._tasks = self._tasks, _follow(front.gateway)
            self.front = front
            changed, self._changed = self._changed, asyncio.Event()
            changed.set()
            log.info("served", extra={"bundle": front.gateway.bundle.bundle_id})
            await _ended(old)

    async def ask(self, question: Callable[[], Awaitable[T]]) -> T:
        """The answer to a question; where its pool was retired meanwhile, it is asked once more.

        Args:
            question: asks ``front``; it may be asked twice.

        Raises:
            UnavailableError: if nothing takes the place of what was retired in time.
        """
        front = self.front
        try:
            return await question()
        except RetiredError:
            await self.other_than(front)
            return await question()

    async def other_than(self, front: Front) -> Front:
        """Wait until another front answers.

        Raises:
            UnavailableError: if none does within ``serving.request_timeout_s``.
        """
        limit_s = front.gateway.settings.serving.request_timeout_s
        try:
            async with asyncio.timeout(limit_s):
                while self.front is front:
                    await self._changed.wait()
        except TimeoutError as error:
            problem = f"was replaced, and its successor is not loaded after {limit_s:.0f} s"
            raise UnavailableError("the bundle", problem, "Retry") from error
        return self.front


async def _brought_up(gateway: Gateway) -> None:
    """Let a gateway know what the one before it knows of the moment."""
    try:
        await gateway.pull_trend()
        if gateway.weights is not None:
            await asyncio.to_thread(gateway.weights.refresh)
    except RecsysError as error:
        log.warning("a new gateway begins without all that counts: %s", error)


def _follow(gateway: Gateway) -> list[asyncio.Task[None]]:
    """Start all by which a gateway hears of what changes."""
    tasks = [asyncio.create_task(gateway.follow_trend())]
    if gateway.words is not None:
        tasks.append(asyncio.create_task(gateway.words.follow()))
    every_s = gateway.settings.serving.rules_poll_s
    if gateway.rules is not None:
        tasks.append(asyncio.create_task(gateway.rules.follow(every_s)))
    if gateway.newcomers.people is not None:
        tasks.append(asyncio.create_task(gateway.newcomers.people.follow(every_s)))
    if gateway.weights is not None:
        tasks.append(asyncio.create_task(gateway.weights.follow(every_s)))
    return tasks


@asynccontextmanager
async def working(works: Sequence[Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """While the block lasts, works that never end are done beside it."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield
    finally:
        await _ended(tasks)


async def _ended(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception):
            log.error("what is followed was given up before", exc_info=result)
