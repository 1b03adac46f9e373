"""What a ledger is: the port, and the values that it speaks.

A row is keyed ``(partition, seq)``; ``seq`` counts from 1 within its partition, in commit order,
without reuse. ``(tenant, user_id, event_id)`` is unique over the rows *and* over the ids known from
the archive, so an event that came by another way is a duplicate here.

Who owns a partition stands in the same database: its *epoch* rises by one with each claim, and a
commit names the epoch that it believes in. So whoever was deposed cannot commit, however late it
wakes up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

import pyarrow as pa

from recsys.schema import EVENTS, Event

TAIL = pa.schema([*EVENTS, pa.field("ledger_seq", pa.int64(), nullable=False)])
"""Columns of ``Ledger.tail``; the ledger is the source of its events, so ``seq = ledger_seq``."""

DUPLICATE = 0
"""Instead of a sequence: the event is known already."""
ERASED = -1
"""Instead of a sequence: the event's user was erased after it happened; it is not stored."""

UNOWNED: Mapping[int, int] = MappingProxyType({})
"""The epochs of a writer that owns nothing: it may write where nobody ever owned."""


@dataclass(frozen=True)
class Owner:
    """A process that holds partitions."""

    name: str
    """Stable name of the shard."""
    host: str
    """Stable name of the machine, the same after it was started anew."""
    process: str
    """What tells the process from all others, for whoever can read it; empty = unknown."""
    lease_s: float
    """Seconds that it may answer after it last saw its epoch."""

    def is_same_process(self, other: Owner) -> bool:
        """Whether both are one shard in one process, whatever their leases."""
        ours = (self.name, self.host, self.process)
        return self.process != "" and ours == (other.name, other.host, other.process)


@dataclass(frozen=True)
class Claim:
    """A partition that was taken over."""

    partition: int
    epoch: int
    """The new epoch."""
    previous: Owner | None
    """Who held it and did not release it, and may still answer; None = open at once."""


class Ledger(Protocol):
    """The durable tail of the record; safe to use from several threads and processes.

    Every method may raise ``LedgerError``: the database refused or failed.
    """

    def append(
        self,
        partitions: Sequence[int],
        events: Sequence[Event],
        epochs: Mapping[int, int] = UNOWNED,
    ) -> list[int]:
        """Commit events, all or none, before returning.

        Args:
            partitions: (T,) the partition of each event.
            events: (T,) events; their ``seq`` is not read.
            epochs: the epoch in which each partition is owned, as far as it is their tenant's; one
                that is left out counts as 0, never owned by anybody.

        Returns:
            (T,) the ledger sequence that each event got, ``DUPLICATE`` or ``ERASED``.

        Raises:
            StaleEpochError: if a partition of these events was claimed by somebody else since, or
                released; then nothing was committed.
            LedgerError: if the database refused or failed. Whether it was committed may be
                unknown; the same events again are safe.
        """

    def tail(self, partition: int, after_seq: int = 0, tenant: str | None = None) -> pa.Table:
        """Committed rows with ``seq > after_seq``, schema ``TAIL``, in the order of ``seq``."""

    def last_seq(self, partition: int) -> int:
        """The highest sequence ever given in a partition; 0 = none."""

    def trimmed_seq(self, partition: int) -> int:
        """Rows up to this sequence were removed; a tail read from below it is not whole."""

    def start_after(self, partition: int, seq: int) -> None:
        """Let sequences go on after one that was given before; nothing where they did already.

        For a database that took the place of a lost one: the archive, or a snapshot, knows of
        sequences that it never gave. Rows before are as if trimmed.
        """

    def register_archived(self, partitions: Sequence[int], ids: pa.Table) -> int:
        """Make ids of archived events known, so that a live copy is a duplicate.

        Args:
            partitions: (T,) the partition of each id.
            ids: columns tenant, user_id, event_id, ts. Those that an erasure refuses are left out.

        Returns: how many were not known yet.
        """

    def trim(self, partition: int, upto_seq: int, keep_ids_after_ts: float) -> int:
        """Remove rows with ``seq <= upto_seq``, which the archive must hold.

        Args:
            partition: whose rows.
            upto_seq: the last sequence to remove.
            keep_ids_after_ts: ids of events at or after this time (Unix seconds) stay known;
                older ids of the partition are forgotten, the registered ones too.

        Returns: number of rows removed.
        """

    def trim_before(self, partition: int, ts: float) -> int:
        """Remove the rows of events before a time (Unix seconds), and their ids.

        ``trimmed_seq`` does not move: what is left of the tail is whole as far as anybody may know.

        Returns: number of rows removed.
        """

    def claim(
        self,
        tenant: str,
        partitions: Sequence[int],
        owner: Owner,
        expected: Mapping[int, int] | None = None,
    ) -> list[Claim]:
        """Take a tenant's partitions over; a commit that is under way in them is waited for.

        Args:
            tenant: whose; several pools may share a ledger.
            partitions: which.
            owner: who takes them.
            expected: epochs that they must have; where one has another it is left alone.

        Returns: one claim per partition that was taken, in the order given.

        Raises:
            ConfigError: if this kind of ledger serves one machine and another one owns a partition.
        """

    def epochs(self, tenant: str, partitions: Sequence[int]) -> dict[int, int]:
        """The epochs that are committed now; what nobody owns is left out."""

    def owners(self, tenant: str) -> dict[int, tuple[Owner, int]]:
        """Who owns each owned partition, and in which epoch."""

    def release(self, tenant: str, partitions: Mapping[int, int]) -> None:
        """Let partitions go, given with the epochs held; those of other epochs are left alone."""

    def get_value(self, key: str) -> tuple[str, int] | None:
        """A registered value and its version (from 1); None if there is none."""

    def put_value(self, key: str, value: str, version: int) -> bool:
        """Register a value if the version is still this one (0 = there is none); else False."""

    def bury(self, tenant: str, pseudonym: str, at: float) -> None:
        """Refuse a user's events up to a time from now on; nothing is removed yet.

        When it returns, appends that may not have seen it are committed, and later ones see it.

        Args:
            tenant: of the user.
            pseudonym: ``erasure_pseudonym`` of the user, by the key that is registered.
            at: Unix seconds; of two for one user the later holds.
        """

    def erase(self, tenant: str, user_id: str, pseudonym: str, at: float) -> int:
        """Refuse a user's events up to a time from now on, then remove the rows and ids of those.

        Args:
            tenant: of the user.
            user_id: whom.
            pseudonym: ``erasure_pseudonym`` of the user, by the key that is registered.
            at: Unix seconds; later events are taken as ever.

        Returns: number of rows removed. Again is safe, and does what was left undone.
        """

    def tombstones(self, tenant: str) -> list[tuple[str, float]]:
        """``(pseudonym, Unix seconds)`` of every erased user."""

    def erasure_version(self, tenant: str) -> int:
        """A number that rises with every erasure: the sum of the tombstones' microseconds.

        0 = nobody was ever erased.
        """

    def close(self) -> None:
        """Let go of the database."""
