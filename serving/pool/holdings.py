"""What a shard holds in memory: partitions, each whole or known to be behind.

A partition is behind while the ledger may hold more than is folded. It is neither read nor folded
past what it lacks before that is made up for.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable

from recsys.errors import WrongOwnerError
from recsys.folding import LiveEvents
from recsys.trend import TrendState
from serving.pool.partition import Ground, Partition, caught_up
from serving.pool.trend_feed import TrendFeed

log = logging.getLogger(__name__)


class Holdings:
    """The partitions of one shard, and the two locks that guard them.

    Args:
        ground: the record, and the bundle that events are folded against.
        owner: name of the shard.
    """

    def __init__(self, ground: Ground, owner: str) -> None:
        self.ground = ground
        self.commits = threading.Lock()
        """Held while events are committed and folded; taken before ``lock``."""
        self.lock = threading.RLock()
        """Held by whoever touches the arrays."""
        self.partitions: dict[int, Partition] = {}
        self._owner = owner
        self._behind: set[int] = set()
        self._feed = TrendFeed(ground.settings.trend.half_lives_s)

    def numbers(self) -> tuple[int, ...]:
        """Partitions held, ascending."""
        with self.lock:
            return tuple(sorted(self.partitions))

    def at(self, number: int) -> Partition:
        """A partition.

        Raises:
            WrongOwnerError: if it is not held, or no longer.
        """
        found = self.partitions.get(number)
        if found is None:
            raise WrongOwnerError.of(number, self._owner)
        return found

    def check(self, number: int) -> None:
        """Make sure that a partition is held and whole.

        Raises:
            WrongOwnerError: if it is not held.
        """
        self.at(number)
        if number in self._behind:
            with self.commits:
                self.mend([number])

    def put(self, partition: Partition) -> None:
        """Hold a partition that was just loaded: it lacks nothing."""
        with self.lock:
            self.partitions[partition.number] = partition
            self._behind.discard(partition.number)
            self._feed.begin_anew()

    def drop(self, number: int) -> bool:
        """Hold a partition no more; return whether it was held."""
        with self.lock:
            self._feed.begin_anew()
            return self.partitions.pop(number, None) is not None

    def lose(self, numbers: Iterable[int]) -> None:
        """Others took partitions over."""
        with self.lock:
            for number in self.partitions.keys() & set(numbers):
                log.warning("partition %d was taken over by another shard", number)
                self.drop(number)

    def lag(self, numbers: Iterable[int]) -> None:
        """The ledger may hold more of partitions than is folded."""
        self._behind.update(numbers)

    def mend(self, numbers: Iterable[int]) -> None:
        """Fold what the ledger holds and partitions lack, before anything else; needs ``commits``.

        Raises:
            LedgerError: if the ledger does not answer.
        """
        for number in self._behind.intersection(numbers):
            with self.lock:
                if number in self.partitions:
                    self.put(caught_up(self.ground, self.partitions[number], number))

    def fold(self, number: int, events: LiveEvents, last_seq: int) -> None:
        """Fold committed events, up to a ledger sequence; needs ``commits``.

        What cannot be folded is folded from the ledger.
        """
        with self.lock:
            partition = self.partitions.get(number)
            if partition is None:  # taken over since: its heir folds them
                return
            try:
                partition.fold(self.ground, events, last_seq)
                self._feed.add(events)
            except Exception:
                log.exception("partition %d is loaded again", number)
                self._behind.add(number)
                self.put(caught_up(self.ground, partition, number))

    def reload(self, number: int) -> None:
        """Load a partition anew, if it is still held."""
        with self.commits:
            if number not in self.partitions:
                return
            loaded = caught_up(self.ground, None, number)
            with self.lock:
                if number in self.partitions:
                    self.put(loaded)

    def take_trend(self, is_full: bool) -> tuple[bool, TrendState]:
        """See ``TrendFeed.take``."""
        with self.lock:
            return self._feed.take((p.trend for p in self.partitions.values()), is_full)
