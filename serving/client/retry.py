"""When a call is tried again, and how long to wait before: exponential, with jitter, bounded."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

import httpx

RETRIED = frozenset({429, 502, 503, 504})
"""Statuses that say: not now."""
UNTOUCHED = frozenset({429, 503})
"""Of these, those that say that nothing was done."""


@dataclass(frozen=True)
class RetryPolicy:
    """How patient a client is."""

    deadline_s: float = 20.0
    """Seconds for a call with all its attempts and waits."""
    attempt_s: float = 10.0
    """Seconds for one attempt."""
    first_wait_s: float = 0.1
    """About how long to wait before the second attempt; each later wait is twice as long."""
    max_wait_s: float = 5.0
    """Longest wait that the client chooses; a server's ``Retry-After`` may be longer."""

    def wait_s(self, n_failed: int, asked_s: float | None, draw: float) -> float:
        """Seconds to wait after a failed attempt.

        Args:
            n_failed: attempts so far, from 1.
            asked_s: what the server asked for; None = nothing.
            draw: uniform in [0, 1).
        """
        chosen = min(self.max_wait_s, self.first_wait_s * 2.0 ** (n_failed - 1))
        jittered = chosen * (0.5 + draw / 2.0)
        return jittered if asked_s is None else asked_s + jittered * 0.2


def retry_after_s(response: httpx.Response) -> float | None:
    """Seconds of ``Retry-After``, given as such or as a date; None = not said, or not sound."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return max(0.0, moment.timestamp() - time.time())


@dataclass
class Attempts:
    """The attempts of one call.

    Args:
        policy: how patient to be.
        is_repeatable: whether doing it twice is as good as once.
        began: seconds, monotonic.
    """

    policy: RetryPolicy
    is_repeatable: bool
    began: float
    n_failed: int = 0

    def timeout_s(self, now: float) -> float:
        """Seconds that the next attempt may take."""
        left = self.began + self.policy.deadline_s - now
        return max(0.001, min(self.policy.attempt_s, left))

    def wait_s(self, failed: httpx.Response | httpx.TransportError, now: float) -> float | None:
        """Seconds to wait before the next attempt; None = this was the last."""
        self.n_failed += 1
        asked_s = None
        if isinstance(failed, httpx.Response):
            is_worth = failed.status_code in (RETRIED if self.is_repeatable else UNTOUCHED)
            asked_s = retry_after_s(failed)
        else:
            never_sent = isinstance(failed, (httpx.ConnectError, httpx.ConnectTimeout))
            is_worth = self.is_repeatable or never_sent
        draw = random.random()  # noqa: S311 - jitter, no secret
        wait_s = self.policy.wait_s(self.n_failed, asked_s, draw)
        is_in_time = now + wait_s < self.began + self.policy.deadline_s
        return wait_s if is_worth and is_in_time else None
