"""Taking partitions over, and handing them over.

A takeover bumps the epoch, so the owner before commits no more; catches up with the ledger; waits
until whoever it was may answer no more; and serves.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable

from recsys.errors import LedgerError, RecsysError
from serving.pool.copies import Copies
from serving.pool.failpoints import failpoint
from serving.pool.holdings import Holdings
from serving.pool.leases import Leases
from serving.pool.meters import Meters
from serving.pool.partition import caught_up

log = logging.getLogger(__name__)

OPENING_TIMEOUT_S = 2.0


class Takeovers:
    """Opens and hands over for one shard.

    Args:
        holdings: where partitions come to and go from.
        leases: what the process may answer for.
        copies: what was loaded before it is taken over.
        meters: told what happens.
        sleep: waits for a lease of another to end.
    """

    def __init__(
        self,
        holdings: Holdings,
        leases: Leases,
        copies: Copies,
        meters: Meters,
        sleep: Callable[[float], None],
    ) -> None:
        self._holdings, self._leases, self._copies = holdings, leases, copies
        self._meters, self._sleep = meters, sleep
        self._failed: dict[int, str] = {}
        self._opening = threading.Lock()

    def open(self, partitions: Iterable[int]) -> None:
        """See ``Shard.open``."""
        if not self._opening.acquire(timeout=OPENING_TIMEOUT_S):
            return
        try:
            asked = list(partitions)
            # it may not know yet that it lost some
            self._holdings.lose(self._leases.renew(asked))
            wanted = [p for p in asked if p not in self._holdings.partitions]
            failpoint("open.before_claim")
            may_open_at = self._claim(wanted)
            failpoint("open.after_claim")
            for number, moment in may_open_at.items():
                self._open(number, moment)
        finally:
            self._opening.release()

    def _claim(self, numbers: list[int]) -> dict[int, float]:
        """Partition -> moment from which it may be served; without those that cannot be claimed."""
        try:
            wait_s = self._leases.claim(numbers) if numbers else 0.0
        except LedgerError as error:
            if len(numbers) == 1:
                log.exception("partition %d cannot be claimed; the others are served", numbers[0])
                self._failed[numbers[0]] = str(error)
                return {}
            return {p: t for number in numbers for p, t in self._claim([number]).items()}
        return dict.fromkeys(numbers, self._leases.now() + wait_s)

    def _open(self, number: int, may_open_at: float) -> None:
        started = time.perf_counter()
        try:
            held = self._copies.take(number)
            n_before = 0 if held is None else held.n_folded
            partition = caught_up(self._holdings.ground, held, number)
            n_replayed = partition.n_folded - (n_before if partition is held else 0)
            self._sleep(max(0.0, may_open_at - self._leases.now()))
            if self._leases.confirm([number]):
                log.warning("partition %d was claimed by another shard", number)
                return
        except RecsysError as error:
            log.exception("partition %d cannot be opened; the others are served", number)
            self._failed[number] = str(error)
            return
        failpoint("open.before_serving")
        self._holdings.put(partition)
        self._failed.pop(number, None)
        self._meters.opened(time.perf_counter() - started, n_replayed)

    def hand_over(self, number: int) -> None:
        """See ``Shard.hand_over``."""
        failpoint("hand_over.before")
        with self._holdings.commits:  # no commit is on its way now, and none comes after
            self._holdings.drop(number)
            failpoint("hand_over.before_release")
            self._leases.release([number])
        failpoint("hand_over.after")
        self._meters.handed_over()

    def failed(self) -> dict[int, str]:
        """Partition -> why it cannot be opened."""
        return dict(self._failed)
