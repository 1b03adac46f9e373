"""Appending events: committed to the ledger first, and folded before the acknowledgement."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from recsys.errors import LedgerError, StaleEpochError, WrongOwnerError
from recsys.folding import LiveEvents
from recsys.ledger import ERASED
from recsys.schema import Event
from serving.pool.commits import GroupCommit
from serving.pool.failpoints import failpoint
from serving.pool.holdings import Holdings
from serving.pool.leases import Leases
from serving.pool.meters import Meters


class Appended(NamedTuple):
    """What became of one event."""

    is_new: bool
    is_pending: bool
    is_refused: bool


class Appends:
    """Appends for one shard; batches that come at the same time share a transaction.

    Args:
        holdings: what is folded into.
        leases: the epochs that the ledger checks.
        meters: told of commits.
    """

    def __init__(self, holdings: Holdings, leases: Leases, meters: Meters) -> None:
        self._holdings, self._leases, self._meters = holdings, leases, meters
        self._ground = holdings.ground
        self._group: GroupCommit[tuple[int, Event], Appended] = GroupCommit(
            self._commit, holdings.commits
        )

    @property
    def n_waiting(self) -> int:
        """Batches that wait for the next commit."""
        return self._group.n_waiting

    def __call__(self, owned: Sequence[tuple[int, Event]]) -> list[Appended]:
        """Commit and fold events, each with its partition.

        Raises:
            WrongOwnerError: if a partition is not owned, or no longer.
            LedgerError: if the ledger refused; it may have committed all the same.
        """
        return self._group(owned)

    def _commit(self, owned: list[tuple[int, Event]]) -> list[Appended]:
        numbers = [number for number, _ in owned]
        self._holdings.mend(numbers)  # what came to lack something since they were let in
        sequences = self._committed(numbers, [event for _, event in owned])
        fresh: dict[int, list[Event]] = defaultdict(list)
        last_seq: dict[int, int] = {}
        for (number, event), sequence in zip(owned, sequences, strict=True):
            if sequence > 0:
                fresh[number].append(event)
                last_seq[number] = max(sequence, last_seq.get(number, 0))
        self._fold(fresh, last_seq)
        basis = self._ground.basis
        return [
            Appended(sequence > 0, sequence > 0 and basis.is_pending(event), sequence == ERASED)
            for (_, event), sequence in zip(owned, sequences, strict=True)
        ]

    def _committed(self, numbers: list[int], events: list[Event]) -> list[int]:
        epochs, noted = self._leases.epochs(set(numbers)), self._leases.now()
        started = time.perf_counter()
        failpoint("append.before_commit")
        try:
            sequences = self._ground.ledger.append(numbers, events, epochs)
        except StaleEpochError as error:
            lost = self._leases.renew(list(error.partitions)) or set(error.partitions)
            self._holdings.lose(lost)
            raise WrongOwnerError.of(min(lost), self._leases.owner.name) from error
        except LedgerError:
            self._holdings.lag(epochs)  # it may have committed before the answer was lost
            raise
        failpoint("append.after_commit")
        self._leases.saw(epochs, noted)
        self._meters.committed(time.perf_counter() - started)
        return sequences

    def _fold(self, fresh: Mapping[int, list[Event]], last_seq: Mapping[int, int]) -> None:
        """Fold what was committed; where that breaks off, all that was not reached is behind."""
        left, first = list(fresh), 0
        try:
            every = [event for events in fresh.values() for event in events]
            live = LiveEvents.of(every, self._ground.basis)
            for number, events in fresh.items():
                part = live.part(first, first + len(events))
                self._holdings.fold(number, part, last_seq[number])
                first += len(events)
                left.remove(number)
        finally:
            self._holdings.lag(left)
