"""A ledger in a SQL database: all that does not depend on which one."""

from __future__ import annotations

from abc import abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from recsys.errors import StaleEpochError
from recsys.ledger.base import DUPLICATE, ERASED, UNOWNED
from recsys.ledger.database import Session
from recsys.ledger.owning import Owning
from recsys.ledger.rights import Rights
from recsys.ledger.rows import COLUMNS, row_of
from recsys.schema import EVENTS, Event, microseconds

Identity = tuple[str, str, str]
"""Tenant, user id, event id."""

_TAIL = f"SELECT {', '.join(COLUMNS)} FROM events WHERE partition = ? AND seq > ?"  # noqa: S608


class SqlLedger(Owning, Rights):
    """See ``Ledger``, whose methods these are; how an id is looked up fast is the database's."""

    @abstractmethod
    def begin_append(self, db: Session) -> None:
        """Let no erasure slip in between."""

    @abstractmethod
    def known(self, db: Session, keys: Sequence[Identity]) -> set[int]:
        """Positions of the distinct keys that are known, as rows or as archived ids."""

    @abstractmethod
    def insert(self, db: Session, rows: Sequence[Sequence[Any]]) -> None:
        """Add rows (``recsys.ledger.rows.row_of``) to ``events``."""

    @abstractmethod
    def advance(self, db: Session, last_seq: Mapping[int, int]) -> None:
        """Write down the last sequence of partitions, whose rows are locked."""

    @abstractmethod
    def insert_ids(self, db: Session, rows: Iterable[Sequence[Any]]) -> int:
        """Add ``(tenant, user_id, event_id, partition, ts)`` where unknown; return how many."""

    @abstractmethod
    def stream(self, sql: str, params: Sequence[Any]) -> pa.Table:
        """The rows of a query with the columns of ``EVENTS`` as a tail, read in chunks."""

    def append(
        self,
        partitions: Sequence[int],
        events: Sequence[Event],
        epochs: Mapping[int, int] = UNOWNED,
    ) -> list[int]:
        """See ``Ledger.append``."""
        if len(events) == 0:
            return []
        with self.writing() as db:
            return self.append_within(db, partitions, events, epochs)

    def append_within(
        self,
        db: Session,
        partitions: Sequence[int],
        events: Sequence[Event],
        epochs: Mapping[int, int],
    ) -> list[int]:
        """``append`` in a transaction that somebody else commits."""
        self.begin_append(db)
        self._check_epochs(db, partitions, events, epochs)
        last = {p: row[0] for p, row in self.locked(db, partitions, "last_seq").items()}
        sequences = self._verdicts(db, events)
        rows = []
        for i in self._fresh(db, events, sequences):
            partition = partitions[i]
            last[partition] += 1
            sequences[i] = last[partition]
            rows.append(row_of(partition, events[i], sequences[i]))
        if len(rows) > 0:
            self.insert(db, rows)
            self.advance(db, {p: last[p] for p in {row[0] for row in rows}})
        return sequences

    def _check_epochs(
        self,
        db: Session,
        partitions: Sequence[int],
        events: Sequence[Event],
        epochs: Mapping[int, int],
    ) -> None:
        """Lock the owners of partitions, of which each must be the caller."""
        shares: dict[str, set[int]] = defaultdict(set)
        for partition, event in zip(partitions, events, strict=True):
            shares[event.tenant].add(partition)
        stale: list[int] = []
        for tenant, share in sorted(shares.items()):
            rows = self.held(db, tenant, share, "epoch, is_released")
            stale += [p for p, (epoch, gone) in rows.items() if gone or epoch != epochs.get(p, 0)]
        if len(stale) > 0:
            raise StaleEpochError(
                f"partitions {', '.join(map(str, stale))}",
                "are owned by somebody else by now, or were released; nothing was committed",
                "Send the same events to the owner",
                tuple(stale),
            )

    def _verdicts(self, db: Session, events: Sequence[Event]) -> list[int]:
        """(T,) ``ERASED`` for events that an erasure refuses, else ``DUPLICATE`` for now."""
        until = self.erased_until(db, ((e.tenant, e.user_id) for e in events))
        if len(until) == 0:
            return [DUPLICATE] * len(events)
        ends = [until.get((e.tenant, e.user_id)) for e in events]
        return [
            DUPLICATE if end is None or microseconds(e.ts) > end else ERASED
            for e, end in zip(events, ends, strict=True)
        ]

    def _fresh(self, db: Session, events: Sequence[Event], verdicts: Sequence[int]) -> list[int]:
        """Positions of events whose id is new; of equal ids in the batch, the first."""
        first: dict[Identity, int] = {}
        for i, e in enumerate(events):
            if verdicts[i] != ERASED:
                first.setdefault((e.tenant, e.user_id, e.event_id), i)
        duplicates = self.known(db, list(first))
        return [i for n, i in enumerate(first.values()) if n not in duplicates]

    def tail(self, partition: int, after_seq: int = 0, tenant: str | None = None) -> pa.Table:
        """See ``Ledger.tail``."""
        if tenant is None:
            return self.stream(f"{_TAIL} ORDER BY seq", (partition, after_seq))
        return self.stream(f"{_TAIL} AND tenant = ? ORDER BY seq", (partition, after_seq, tenant))

    def last_seq(self, partition: int) -> int:
        """See ``Ledger.last_seq``."""
        return self._sequences(partition)[0]

    def trimmed_seq(self, partition: int) -> int:
        """See ``Ledger.trimmed_seq``."""
        return self._sequences(partition)[1]

    def _sequences(self, partition: int) -> tuple[int, int]:
        query = "SELECT last_seq, trimmed_seq FROM partitions WHERE partition = ?"
        with self.reading() as db:
            return db.execute(query, (partition,)).fetchone() or (0, 0)

    def start_after(self, partition: int, seq: int) -> None:
        """See ``Ledger.start_after``."""
        with self.writing() as db:
            self.locked(db, [partition], "last_seq")
            db.execute(
                "UPDATE partitions SET last_seq = ?, trimmed_seq = ?"
                " WHERE partition = ? AND last_seq < ?",
                (seq, seq, partition, seq),
            )

    def register_archived(self, partitions: Sequence[int], ids: pa.Table) -> int:
        """See ``Ledger.register_archived``."""
        tenants, users, names = (ids[c].to_pylist() for c in ("tenant", "user_id", "event_id"))
        ts = ids["ts"].cast(EVENTS.field("ts").type).cast(pa.int64()).to_pylist()
        with self.writing(is_long=True) as db:
            self.begin_append(db)
            self.locked(db, partitions, "last_seq")  # whoever reads the tail next sees all commits
            until = self.erased_until(db, zip(tenants, users, strict=True))
            rows: Iterable[tuple[str, str, str, int, int]]
            rows = zip(tenants, users, names, partitions, ts, strict=True)
            if len(until) > 0:
                rows = [row for row in rows if row[4] > until.get(row[:2], row[4] - 1)]
            return self.insert_ids(db, rows)

    def trim(self, partition: int, upto_seq: int, keep_ids_after_ts: float) -> int:
        """See ``Ledger.trim``."""
        keep = microseconds(keep_ids_after_ts)
        with self.writing(is_long=True) as db:
            self.locked(db, [partition], "last_seq")
            db.execute(
                "INSERT INTO archived_ids (tenant, user_id, event_id, partition, ts)"
                " SELECT tenant, user_id, event_id, partition, ts FROM events"
                " WHERE partition = ? AND seq <= ? AND ts >= ? ON CONFLICT DO NOTHING",
                (partition, upto_seq, keep),
            )
            removed = db.execute(
                "DELETE FROM events WHERE partition = ? AND seq <= ?", (partition, upto_seq)
            )
            db.execute("DELETE FROM archived_ids WHERE partition = ? AND ts < ?", (partition, keep))
            db.execute(
                "UPDATE partitions SET trimmed_seq ="
                " CASE WHEN last_seq < ? THEN last_seq ELSE ? END"
                " WHERE partition = ? AND trimmed_seq < ?",
                (upto_seq, upto_seq, partition, upto_seq),
            )
        return int(removed.rowcount)

    def trim_before(self, partition: int, ts: float) -> int:
        """See ``Ledger.trim_before``."""
        end = microseconds(ts)
        with self.writing(is_long=True) as db:
            self.locked(db, [partition], "last_seq")
            removed = db.execute(
                "DELETE FROM events WHERE partition = ? AND ts < ?", (partition, end)
            )
            db.execute("DELETE FROM archived_ids WHERE partition = ? AND ts < ?", (partition, end))
        return int(removed.rowcount)
