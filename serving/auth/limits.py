"""Rates, held over all replicas: a board gives tokens out, a replica spends them without asking.

The bucket is a token bucket: it fills at the caller's rate up to a burst, and a request takes one
token. A replica takes several at once from the board, so that most requests ask nobody.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from recsys.errors import UnavailableError

log = logging.getLogger(__name__)

LEASE_S = 0.1
"""Seconds of a rate that a replica takes at once."""
MAX_CALLERS = 10_000


class Granted(NamedTuple):
    """What a bucket gave."""

    n: int
    wait_s: float
    """Seconds until there is a token again; 0 where some were given."""


Take = Callable[[str, float, float, int], Awaitable[Granted]]
"""Takes up to so many tokens: ``(caller, rate, burst, n)``."""


class Buckets:
    """The buckets of all callers; runs in an actor, or in a process of one replica.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._held: dict[str, tuple[float, float]] = {}

    def take(self, name: str, rate: float, burst: float, n: int) -> Granted:
        """Take up to ``n`` tokens.

        Args:
            name: of the caller.
            rate: tokens a second.
            burst: most tokens that a bucket holds.
            n: how many are wanted, positive.
        """
        now = self._clock()
        tokens, at = self._held.pop(name, (burst, now))
        tokens = min(burst, tokens + rate * (now - at))
        given = min(n, math.floor(tokens))
        self._held[name] = tokens - given, now
        if len(self._held) > MAX_CALLERS:  # whoever was not here for longest has a full bucket
            del self._held[next(iter(self._held))]
        return Granted(given, 0.0 if given > 0 else (1.0 - tokens) / rate)


class Limiter:
    """Holds callers of one replica to their rates.

    Args:
        take: from the board.
        burst_s: see ``AuthSettings``.
        clock: seconds, monotonic.
    """

    def __init__(
        self, take: Take, burst_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._take, self._burst_s, self._clock = take, burst_s, clock
        self._leases: dict[str, _Lease] = {}
        self._alone = Buckets(clock)

    async def wait_s(self, name: str, rate: float) -> float:
        """Spend a token of a caller; return 0, or the seconds until there is one.

        Args:
            name: of the caller.
            rate: requests a second, positive.
        """
        lease = self._leases.get(name)
        if lease is None:
            if len(self._leases) >= MAX_CALLERS:
                self._leases.clear()
            lease = self._leases[name] = _Lease()
        async with lease.lock:  # who waits for the board's answer does not ask it again
            if lease.n == 0:
                now = self._clock()
                if now < lease.none_until:
                    return lease.none_until - now
                granted = await self._asked(name, rate)
                lease.n, lease.none_until = granted.n, now + granted.wait_s
                if granted.n == 0:
                    return granted.wait_s
            lease.n -= 1
            return 0.0

    async def _asked(self, name: str, rate: float) -> Granted:
        burst, n = max(1.0, rate * self._burst_s), max(1, math.floor(rate * LEASE_S))
        try:
            return await self._take(name, rate, burst, n)
        except UnavailableError as error:
            log.warning("each replica counts for itself: %s", error)
            return self._alone.take(name, rate, burst, n)


class _Lease:
    def __init__(self) -> None:
        self.n = 0
        self.none_until = -math.inf
        self.lock = asyncio.Lock()
