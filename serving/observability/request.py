"""The request that is being answered, known to all that work for it without being handed on.

A context variable holds it; ``asyncio.to_thread`` takes it along into threads. Outside of a request
(a benchmark, a follower) there is a silent one, so callers never ask whether there is any.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from typing import Final

from serving.observability.meters import SILENT, GatewayMeters, Outcome, Stage

Clock = Callable[[], float]
"""Seconds that only ever grow."""


@dataclass
class RequestNote:
    """What is noted of one request while it is answered."""

    meters: GatewayMeters = SILENT
    clock: Clock = time.perf_counter
    request_id: str = ""
    started: float = 0.0
    """By ``clock``; 0 outside of a request."""
    stages: dict[str, float] = field(default_factory=dict)
    """Stage -> seconds, summed over the slates of the request."""
    outcome: Outcome | None = None
    """Of its slate; None = it made none."""

    def stage(self, stage: Stage, seconds: float) -> None:
        """A stage of a slate is done."""
        self.stages[stage] = self.stages.get(stage, 0.0) + seconds
        self.meters.stage(stage, seconds)

    def laps(self) -> Callable[[Stage], None]:
        """A stopwatch for one slate: each call ends the stage that it names."""
        last = self.clock()

        def lap(stage: Stage) -> None:
            nonlocal last
            now = self.clock()
            self.stage(stage, now - last)
            last = now

        return lap

    def slate(self, is_degraded: bool, is_cold: bool) -> None:
        """A slate is made."""
        self.outcome = "degraded" if is_degraded else "cold" if is_cold else "personal"
        self.meters.slate(self.outcome)


class _Nobody(RequestNote):
    """The note outside of a request; it keeps nothing."""

    def stage(self, stage: Stage, seconds: float) -> None:
        """See ``RequestNote``."""

    def slate(self, is_degraded: bool, is_cold: bool) -> None:
        """See ``RequestNote``."""


NOBODY: Final = _Nobody()

_current: ContextVar[RequestNote] = ContextVar("halflife_request", default=NOBODY)


def current() -> RequestNote:
    """The note of the request that is being answered here."""
    return _current.get()


def begin(note: RequestNote) -> Token[RequestNote]:
    """Make a note the current one; give what is returned to ``end``."""
    return _current.set(note)


def end(token: Token[RequestNote]) -> None:
    """Put back what was current before ``begin``."""
    _current.reset(token)
