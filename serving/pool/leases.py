"""What a shard may answer for: the epochs it claimed in the ledger, and how long they hold.

    owner    notes its clock, sees that the row has its epoch, and may answer for lease_s after it
    claimer  bumps the epoch, and opens lease_s after that at the earliest

So whoever bumped the epoch outwaits every answer of the one before: each reads its own clock
alone, and no two clocks are compared. Appends check the epoch in their own transaction, and renew
the lease by it. The clock is that of the machine's boot: it runs on while a process is stopped.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from recsys.errors import LedgerError, WrongOwnerError
from recsys.ledger import Ledger, Owner
from serving.pool.processes import is_gone

MARGIN = 0.2
"""Share of a lease that an owner does not use: clocks of two machines may run at two speeds."""


def boot_clock() -> float:
    """Seconds since boot, those asleep included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Leases:
    """The partitions that one process owns; safe to use from several threads.

    Args:
        ledger: holds the truth.
        tenant: whose partitions.
        owner: this process.
        clock: seconds that never stand still or go back.
        gone: whether the process of another owner surely runs no more.
    """

    def __init__(
        self,
        ledger: Ledger,
        tenant: str,
        owner: Owner,
        clock: Callable[[], float] = boot_clock,
        gone: Callable[[Owner], bool] = is_gone,
    ) -> None:
        self.owner = owner
        self._ledger, self._tenant = ledger, tenant
        self._clock, self._gone = clock, gone
        self._lock = threading.Lock()
        self._claimed: dict[int, int] = {}
        self._epochs: dict[int, int] = {}
        self._seen_at: dict[int, float] = {}

    def claim(self, partitions: Sequence[int]) -> float:
        """Take partitions over; their owners before can append no more from now on.

        Until ``confirm`` the ledger does not know this process by its marks, so that whoever takes
        over in between waits too, also for the owner that this one waits for.

        Returns:
            Seconds to wait before ``confirm``, for an owner before may still read.
        """
        held = self._ledger.owners(self._tenant).values()
        longest = max([self.owner.lease_s, *(owner.lease_s for owner, _ in held)])
        unknown = replace(self.owner, process="", lease_s=longest)
        claims = self._ledger.claim(self._tenant, partitions, unknown)
        with self._lock:
            self._claimed.update({claim.partition: claim.epoch for claim in claims})
        return max((self._wait(claim.previous) for claim in claims), default=0.0)

    def _wait(self, previous: Owner | None) -> float:
        if previous is None or self._gone(previous):
            return 0.0
        return 0.0 if previous.process == self.owner.process else previous.lease_s

    def confirm(self, partitions: Sequence[int]) -> list[int]:
        """Own what was claimed, after the wait.

        Returns:
            Partitions that somebody else claimed meanwhile; claim them again, or leave them.
        """
        with self._lock:
            expected = {p: self._claimed.pop(p) for p in partitions if p in self._claimed}
        noted = self._clock()
        claims = self._ledger.claim(self._tenant, list(expected), self.owner, expected)
        with self._lock:
            for claim in claims:
                self._epochs[claim.partition] = claim.epoch
                self._seen_at[claim.partition] = noted
            return [p for p in partitions if p not in self._epochs]

    def epochs(self, partitions: Iterable[int]) -> dict[int, int]:
        """The epochs of owned partitions.

        Raises:
            WrongOwnerError: if one is not owned.
        """
        with self._lock:
            return {p: self._epoch(p) for p in partitions}

    def saw(self, epochs: Mapping[int, int], noted: float) -> None:
        """The ledger had these epochs at a moment after ``noted`` of the clock."""
        with self._lock:
            for partition, epoch in epochs.items():
                if self._epochs.get(partition) == epoch:
                    self._seen_at[partition] = max(self._seen_at[partition], noted)

    def now(self) -> float:
        """Of the clock; for ``saw``."""
        return self._clock()

    def check(self, partitions: Iterable[int]) -> None:
        """Make sure that what was just read of partitions was theirs to answer; renew if need be.

        Raises:
            WrongOwnerError: if one was taken over.
        """
        wanted = set(partitions)
        with self._lock:
            for partition in wanted:
                self._epoch(partition)
            until = self._clock() - self.owner.lease_s * (1.0 - MARGIN)
            late = [p for p in wanted if self._seen_at[p] < until]
        if late:
            self.renew(late)
            with self._lock:
                unsure = [p for p in late if self._seen_at.get(p, -math.inf) < until]
            if unsure:
                raise WrongOwnerError.of(min(unsure), self.owner.name)

    def renew(self, partitions: Sequence[int] | None = None) -> set[int]:
        """Look at the ledger; forget and return the partitions that were taken over.

        Args:
            partitions: which; None = all.
        """
        noted = self._clock()
        with self._lock:
            mine = {p: e for p, e in self._epochs.items() if partitions is None or p in partitions}
        found, silent = self._found(list(mine))
        kept = {p: e for p, e in mine.items() if found.get(p) == e}
        self.saw(kept, noted)
        lost = set(mine) - set(kept) - silent
        with self._lock:
            for partition in lost:
                if self._epochs.get(partition) == mine[partition]:
                    del self._epochs[partition], self._seen_at[partition]
        return lost

    def _found(self, partitions: list[int]) -> tuple[dict[int, int], set[int]]:
        """Epochs in the ledger, and partitions of which it says nothing: a file of it is broken."""
        try:
            return self._ledger.epochs(self._tenant, partitions), set()
        except LedgerError:
            if len(partitions) <= 1:
                return {}, set(partitions)
        found, silent = {}, set()
        for partition in partitions:
            one, mute = self._found([partition])
            found.update(one)
            silent |= mute
        return found, silent

    def release(self, partitions: Iterable[int]) -> None:
        """Give partitions up; whoever claims one may open it at once. Nothing may be read after."""
        with self._lock:
            given = {p: self._epochs[p] for p in partitions if p in self._epochs}
            for partition in given:
                del self._epochs[partition], self._seen_at[partition]
        self._ledger.release(self._tenant, given)

    def owned(self) -> tuple[int, ...]:
        """Partitions, ascending."""
        with self._lock:
            return tuple(sorted(self._epochs))

    def _epoch(self, partition: int) -> int:
        if partition not in self._epochs:
            raise WrongOwnerError.of(partition, self.owner.name)
        return self._epochs[partition]
