"""A shard: the profiles of some partitions, written through the ledger and read as of a moment.

A plain class; ``serving.pool.actor`` runs it as an actor. Two locks: commits follow one another
(``Holdings.commits``), and whoever touches the arrays holds ``Holdings.lock``. An event is
acknowledged when it is committed *and* folded, so the next read has it; a snapshot names a ledger
sequence all of whose predecessors are folded.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recsys.archive import Archive
from recsys.errors import WrongOwnerError
from recsys.record import read_user
from recsys.schema import Event, partition_of
from recsys.trend import TrendState
from serving.pool.appends import Appends
from serving.pool.copies import Copies
from serving.pool.forgetting import forget_erased
from serving.pool.holdings import Holdings
from serving.pool.leases import Leases
from serving.pool.messages import AckBatch, ProfileView
from serving.pool.meters import Meters
from serving.pool.packing import pack, unpack
from serving.pool.partition import Ground
from serving.pool.query_batch import QueryBatch
from serving.pool.saving import save_changed
from serving.pool.takeovers import Takeovers
from serving.pool.view import Moments, hold, hold_evidence, profile_views, queries_of

MAX_RECORD_ROWS = 500_000
"""Events of a partition's archive above which nobody's own are looked for in it online."""
MAX_TEXTS = 32
"""Texts that a shard asks for at once: few, so that a visitor's own text waits for few others."""


class Shard:
    """Owns partitions.

    Args:
        ground: the record, and the bundle that events are folded against.
        n_partitions: of the store.
        leases: what this process may answer for.
        meters: told what happens.
        sleep: waits for a lease of another to end.
    """

    def __init__(
        self,
        ground: Ground,
        n_partitions: int,
        leases: Leases,
        meters: Meters | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._ground = ground
        self._n_partitions = n_partitions
        self._leases = leases
        self._meters = Meters() if meters is None else meters
        self._holdings = Holdings(ground, leases.owner.name)
        self._copies = Copies(ground)
        self._appends = Appends(self._holdings, leases, self._meters)
        self._takeovers = Takeovers(self._holdings, leases, self._copies, self._meters, sleep)

    def open(self, partitions: Iterable[int]) -> tuple[int, ...]:
        """Take partitions over and serve each as soon as it is up; those served are left alone.

        A partition that cannot be loaded, or that somebody else claims meanwhile, is passed over.

        Returns:
            All partitions that are served; without those asked for where others are opened just
            now, and take long.
        """
        self._takeovers.open(partitions)
        return self.owned()

    def prepare(self, number: int) -> None:
        """Load a partition that is another's, so that taking it over is short."""
        self._copies.prepare(number)

    def hand_over(self, number: int) -> None:
        """Give a partition up: everything acknowledged is in the ledger for the next owner."""
        self._takeovers.hand_over(number)

    def keep_copies(self, partitions: Iterable[int]) -> None:
        """Keep copies of these partitions of others, and let go of any further ones.

        Those that lack are loaded by ``catch_up_copies``.
        """
        self._copies.keep(set(partitions).difference(self.owned()))

    def catch_up_copies(self) -> None:
        """Bring the copies that shall be kept to where the ledger is; cheap if they are there."""
        self._copies.catch_up()

    def copied(self) -> tuple[int, ...]:
        """Partitions of others of which there is a copy, ascending."""
        return self._copies.numbers()

    def owned(self) -> tuple[int, ...]:
        """Partitions that are served, ascending."""
        return self._holdings.numbers()

    def failed(self) -> dict[int, str]:
        """Partition -> why it cannot be opened."""
        return self._takeovers.failed()

    def renew(self) -> None:
        """Look whether all partitions are still ours, and let go of those that are not."""
        self._holdings.lose(self._leases.renew())

    def forget(self) -> tuple[int, ...]:
        """Load those partitions anew that hold somebody who was erased since they were loaded.

        Commits wait only while the last events of such a partition are folded.

        Returns:
            Which they were.
        """
        return forget_erased(self._holdings)

    def append(self, events: Sequence[Event]) -> AckBatch:
        """Commit events to the ledger, then fold those that are new.

        Raises:
            WrongOwnerError: if an event's user is not of this shard's partitions.
            LedgerError: if the ledger refused; none was acknowledged, and sending them again with
                the same ids is safe.
        """
        started = time.perf_counter()
        numbers = self._partitions_of([event.user_id for event in events])
        owned = list(zip(numbers, events, strict=True))
        appended = self._appends(owned)
        n_new = sum(a.is_new for a in appended)
        with self._holdings.lock:
            versions = {p: self._holdings.at(p).position.ledger_seq for p in set(numbers)}
        refused = tuple(
            e.event_id for a, (_, e) in zip(appended, owned, strict=True) if a.is_refused
        )
        n_duplicates = len(appended) - n_new - len(refused)
        self._meters.appended(n_new, n_duplicates, time.perf_counter() - started)
        return AckBatch(
            n_accepted=n_new,
            n_duplicates=n_duplicates,
            n_pending=sum(a.is_pending for a in appended),
            versions=versions,
            refused=refused,
        )

    def read(self, user_ids: Sequence[str], as_of: Moments) -> Sequence[ProfileView]:
        """Profiles as of a moment; one whose latest event is later is read at that event.

        Args:
            user_ids: (B,) whose.
            as_of: Unix seconds, of all or (B,) of each.

        Raises:
            WrongOwnerError: if a user is not of this shard's partitions, or no longer.
        """
        numbers = self._partitions_of(user_ids)
        with self._holdings.lock:
            held = hold([self._holdings.at(number) for number in numbers], user_ids)
        self._check(numbers)  # after the copy: nobody had taken over when it was made
        return profile_views(held, as_of, self._ground.model, self._ground.settings.interest)

    def queries(self, user_ids: Sequence[str], as_of: float) -> QueryBatch:
        """What users ask for as of a moment: ``read`` without what they did.

        Raises:
            WrongOwnerError: as ``read``.
        """
        numbers = self._partitions_of(user_ids)
        with self._holdings.lock:
            asking = hold_evidence([self._holdings.at(number) for number in numbers], user_ids)
        self._check(numbers)
        return queries_of(asking, as_of, self._ground.model)

    def record(self, user_ids: Sequence[str]) -> list[pa.Table | None]:
        """All events of users, schema ``EVENTS``; None where reading them would take too long.

        Raises:
            WrongOwnerError: if a user is not of this shard's partitions, or no longer.
            ConflictError: if the archive changed meanwhile; ask again.
        """
        numbers, ground = self._partitions_of(user_ids), self._ground
        archive = Archive(ground.store)
        found = [
            read_user(archive, ground.ledger, number, ground.tenant, user_id, MAX_RECORD_ROWS)
            for number, user_id in zip(numbers, user_ids, strict=True)
        ]
        self._check(numbers)
        return found

    def packed_append(self, asked: bytes) -> bytes:
        """``append``, with its packed arguments; the answer is packed, too."""
        return pack(self.append(*unpack(asked)))

    def packed(self, asked: bytes) -> bytes:
        """``read``, with its packed arguments; the answer is packed, too."""
        return pack(self.read(*unpack(asked)))

    def packed_queries(self, asked: bytes) -> bytes:
        """``queries``, with its packed arguments; the answer is packed, too."""
        return pack(self.queries(*unpack(asked)))

    def waiting_texts(self, limit: int = MAX_TEXTS) -> list[str]:
        """At most so many distinct texts that events of this shard wait for."""
        found: dict[str, None] = {}
        with self._holdings.lock:
            for partition in self._holdings.partitions.values():
                found.update(dict.fromkeys(partition.table.waiting.texts(limit)))
        return list(found)[:limit]

    def take_texts(self, texts: Sequence[str], vectors: npt.NDArray[np.float32]) -> int:
        """Fold the events that waited for texts.

        Args:
            texts: (n,) distinct; such that nothing waits for any more are passed over, so a
                repeated call changes nothing.
            vectors: (n, E) as the encoder gives them.

        Returns:
            Number of events that wait no more.
        """
        with self._holdings.lock:
            owned = list(self._holdings.partitions.values())
            return sum(partition.read(self._ground, texts, vectors) for partition in owned)

    def take_trend(self, is_full: bool = False) -> tuple[bool, TrendState]:
        """What came to the trend since it was last taken.

        Args:
            is_full: take the trend of all partitions instead.

        Returns:
            Whether this is the whole trend, as it is also after a partition was loaded anew; and
            the trend.
        """
        return self._holdings.take_trend(is_full)

    def save_snapshots(self) -> int:
        """Write a snapshot of every partition that changed; return how many were written.

        A partition, changed or not, whose stored snapshot went ahead (somebody bootstrapped
        after an ingest) is loaded again instead. A copy of such a one is let go.
        """
        n_saved = save_changed(self._holdings)
        self._copies.drop_outdated()
        return n_saved

    def counts(self) -> tuple[tuple[int, ...], int, int]:
        """Partitions owned, users known, events folded since loading."""
        with self._holdings.lock:
            owned = self._holdings.partitions.values()
            return (
                self.owned(),
                sum(p.table.n_users for p in owned),
                sum(p.n_folded for p in owned),
            )

    def _partitions_of(self, user_ids: Sequence[str]) -> list[int]:
        """The partition of each user, all of which are held and whole."""
        tenant, n = self._ground.tenant, self._n_partitions
        numbers = [partition_of(tenant, user_id, n) for user_id in user_ids]
        for number in set(numbers):
            self._holdings.check(number)
        return numbers

    def _check(self, numbers: Sequence[int]) -> None:
        try:
            self._leases.check(numbers)
        except WrongOwnerError as error:
            if error.partition not in self._leases.owned():  # else the ledger is silent just now
                self._holdings.lose({error.partition})
            raise
