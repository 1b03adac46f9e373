"""Tables of the archive that are written a few rows at a time while they are served."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from recsys.errors import ConflictError, LedgerError, StoreError, UnavailableError
from recsys.store import Store

log = logging.getLogger(__name__)

T = TypeVar("T")

KEEP_S = 600.0
"""Seconds that a table stays after another took its place, for those who read it."""
RETRY = "Retry; it is safe to repeat"


class Replaced:
    """The tables that this process wrote and replaced; long afterwards they are deleted.

    Args:
        store: where they are.
        now: Unix seconds.
    """

    def __init__(self, store: Store, now: Callable[[], float]) -> None:
        self._store, self._now = store, now
        self._mine: set[str] = set()
        self._old: deque[tuple[str, float]] = deque()

    def wrote(self, path: str, replaced: str | None) -> None:
        """Take note of a table that was written, and of the one whose place it took."""
        self._mine.add(path)
        now = self._now()
        if replaced in self._mine:
            self._old.append((replaced, now))
        while len(self._old) > 0 and self._old[0][1] < now - KEEP_S:
            gone, _ = self._old.popleft()
            self._mine.discard(gone)
            self._store.delete(gone)


def reaching(thing: str, work: Callable[[], T]) -> T:
    """Do work on ledger and store; what they say of paths stays in the log.

    Raises:
        UnavailableError: if they do not answer, or others change the same all the time.
    """
    try:
        return work()
    except (ConflictError, LedgerError, StoreError) as error:
        log.error("%s cannot be reached", thing, exc_info=error)
        raise UnavailableError(thing, "cannot be reached now", RETRY) from error
