"""Copies of partitions that others own, so that taking them over costs no more than catching up.

A copy is loaded for a move, or kept as a warm standby for the day when its owner is gone. It is
nobody's to read: whoever takes it over bumps the epoch first, and folds the ledger's last rows.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

from recsys.errors import RecsysError
from serving.pool.partition import Ground, Partition, caught_up

log = logging.getLogger(__name__)


@dataclass
class _Copy:
    lock: threading.Lock = field(default_factory=threading.Lock)
    """Held by whoever loads it, folds into it, or takes it."""
    partition: Partition | None = None


class Copies:
    """The copies of one shard; each has a lock of its own, so nobody waits for another's load.

    Args:
        ground: the record, and the bundle that events are folded against.
    """

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._lock = threading.Lock()
        self._copies: dict[int, _Copy] = {}
        self._asked: set[int] = set()

    def numbers(self) -> tuple[int, ...]:
        """Partitions of which there is a copy, ascending."""
        with self._lock:
            return tuple(sorted(n for n, c in self._copies.items() if c.partition is not None))

    def prepare(self, number: int) -> None:
        """Load a copy, or catch it up."""
        with self._lock:
            copy = self._copies.setdefault(number, _Copy())
        self._catch_up(copy, number)

    def take(self, number: int) -> Partition | None:
        """Give a copy away to be served; None = there is none."""
        with self._lock:
            self._asked.discard(number)
            copy = self._copies.pop(number, None)
        if copy is None:
            return None
        with copy.lock:
            taken, copy.partition = copy.partition, None
        return taken

    def keep(self, numbers: Iterable[int]) -> None:
        """Let go of all copies but these; those of them that lack are loaded by ``catch_up``."""
        with self._lock:
            self._asked = set(numbers)
            for number in self._copies.keys() - self._asked:
                del self._copies[number]

    def catch_up(self) -> None:
        """Load what shall be kept and is not there, and fold what the ledger got since.

        Whoever was erased is forgotten. What fails is tried again by the next call.

        Raises:
            LedgerError: if the ledger does not answer at all.
        """
        with self._lock:
            asked = sorted(self._asked)
        erasures = self._ground.ledger.erasure_version(self._ground.tenant) if asked else 0
        for number in asked:
            with self._lock:
                if number not in self._asked:  # taken, or let go
                    continue
                copy = self._copies.setdefault(number, _Copy())
            try:
                held = copy.partition
                if held is None or not held.is_current(self._ground, erasures):
                    self._catch_up(copy, number)
            except RecsysError as error:
                log.warning("the copy of partition %d is behind: %s", number, error)

    def drop_outdated(self) -> None:
        """Let go of copies whose stored snapshot was folded from another archive since."""
        with self._lock:
            copies = list(self._copies.values())
        for copy in copies:
            partition = copy.partition
            if partition is not None and partition.is_outdated(self._ground):
                with copy.lock:
                    copy.partition = None

    def _catch_up(self, copy: _Copy, number: int) -> None:
        with copy.lock:
            if self._copies.get(number) is copy:  # neither taken nor let go meanwhile
                copy.partition = caught_up(self._ground, copy.partition, number)
