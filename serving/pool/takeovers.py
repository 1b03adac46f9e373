"""Taking partitions over, and handing them over.

A takeover bumps the epoch, so the owner before commits no more; catches up with the ledger; waits
until whoever it was may answer no more; and serves.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from recsys.errors import LedgerError, RecsysError
from serving.pool.copies import Copies
from serving.pool.failpoints import failpoint
from serving.pool.holdings import Holdings
from serving.pool.leases import Leases
from serving.pool.meters import Meters
from serving.pool.partition import Partition, caught_up

log = logging.getLogger(__name__)

OPENING_TIMEOUT_S = 2.0
CONFIRM_EVERY_S = 0.05
"""A partition that was loaded waits about so long for others, to be confirmed with them."""


class _Loaded(NamedTuple):
    partition: Partition
    n_replayed: int
    started: float


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
            self._open(may_open_at)
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

    def _open(self, may_open_at: Mapping[int, float]) -> None:
        """Load one after the other; those of the same moment are confirmed in one transaction."""
        loaded: list[_Loaded] = []
        since = time.perf_counter()
        for number in may_open_at:
            found = self._load(number)
            if found is not None:
                loaded.append(found)
            if time.perf_counter() - since >= CONFIRM_EVERY_S:
                self._serve(loaded, may_open_at)
                loaded, since = [], time.perf_counter()
        self._serve(loaded, may_open_at)

    def _load(self, number: int) -> _Loaded | None:
        started = time.perf_counter()
        try:
            held = self._copies.take(number)
            n_before = 0 if held is None else held.n_folded
            partition = caught_up(self._holdings.ground, held, number)
        except RecsysError as error:
            self._fails(number, error)
            return None
        n_replayed = partition.n_folded - (n_before if partition is held else 0)
        return _Loaded(partition, n_replayed, started)

    def _serve(self, loaded: Sequence[_Loaded], may_open_at: Mapping[int, float]) -> None:
        numbers = [one.partition.number for one in loaded]
        if len(numbers) == 0:
            return
        moment = max(may_open_at[number] for number in numbers)
        self._sleep(max(0.0, moment - self._leases.now()))
        try:
            lost = set(self._leases.confirm(numbers))
        except RecsysError as error:
            for number in numbers:
                self._fails(number, error)
            return
        for one in loaded:
            number = one.partition.number
            if number in lost:
                log.warning("partition %d was claimed by another shard", number)
                continue
            failpoint("open.before_serving")
            self._holdings.put(one.partition)
            self._failed.pop(number, None)
            self._meters.opened(time.perf_counter() - one.started, one.n_replayed)

    def _fails(self, number: int, error: RecsysError) -> None:
        log.error("partition %d cannot be opened, unlike others", number, exc_info=error)
        self._failed[number] = str(error)

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
