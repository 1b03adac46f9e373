"""The ledger: the durable tail of the record, in a database, committed before anyone is told.

A row is keyed ``(partition, seq)``; ``seq`` counts from 1 within its partition, in commit order,
without reuse. ``(tenant, user_id, event_id)`` is unique over the rows *and* over the ids known from
the archive, so an event that came by another way is a duplicate here.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote

import pyarrow as pa

from recsys.errors import ConfigError, LedgerError
from recsys.schema import EVENTS, Event, microseconds

TAIL = pa.schema([*EVENTS, pa.field("ledger_seq", pa.int64(), nullable=False)])
"""Columns of ``Ledger.tail``; the ledger is the source of its events, so ``seq = ledger_seq``."""

FORMAT_VERSION = 1
BUSY_TIMEOUT_S = 30.0
_REMEDY = "Check that the folder exists, has space and may be written, and that --ledger is right"


class Ledger(Protocol):
    """The durable tail of the record; safe to use from several threads and processes."""

    def append(self, partitions: Sequence[int], events: Sequence[Event]) -> list[int]:
        """Commit events, all or none, before returning.

        Args:
            partitions: (T,) the partition of each event.
            events: (T,) events; their ``seq`` is not read.

        Returns:
            (T,) the ledger sequence that each event got; 0 for a duplicate.

        Raises:
            LedgerError: if the database refused; then nothing was committed.
        """

    def tail(self, partition: int, after_seq: int = 0, tenant: str | None = None) -> pa.Table:
        """Committed rows with ``seq > after_seq``, schema ``TAIL``, in the order of ``seq``."""

    def last_seq(self, partition: int) -> int:
        """The highest sequence ever given in a partition; 0 = none."""

    def trimmed_seq(self, partition: int) -> int:
        """Rows up to this sequence were removed; a tail read from below it is not whole."""

    def register_archived(self, partitions: Sequence[int], ids: pa.Table) -> int:
        """Make ids of archived events known, so that a live copy is a duplicate.

        Args:
            partitions: (T,) the partition of each id.
            ids: columns tenant, user_id, event_id, ts.

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

    def close(self) -> None:
        """Let go of the database."""


def open_ledger(url: str) -> Ledger:
    """Open the ledger at a URL, made if missing.

    Args:
        url: ``sqlite:///relative/path`` or ``sqlite:////absolute/path``.

    Raises:
        ConfigError: if the URL is of no known kind.
        LedgerError: if the database cannot be opened.
    """
    prefix = "sqlite:///"
    path = unquote(url.removeprefix(prefix))
    if not url.startswith(prefix) or path in ("", ":memory:"):
        raise ConfigError(
            f"ledger {url}", "is no URL of a SQLite file", "Write sqlite:////absolute/path.db"
        )
    return SqliteLedger(Path(path))


_MIGRATIONS = (
    # 0 -> 1
    """
    CREATE TABLE events (
        partition INTEGER NOT NULL, seq INTEGER NOT NULL,
        tenant TEXT NOT NULL, event_id TEXT NOT NULL, user_id TEXT NOT NULL, item_id TEXT,
        kind TEXT NOT NULL, ts INTEGER NOT NULL, ingested_at INTEGER NOT NULL, value REAL,
        text TEXT, session_id TEXT, request_id TEXT, rank INTEGER, source TEXT,
        PRIMARY KEY (partition, seq)) WITHOUT ROWID;
    CREATE UNIQUE INDEX event_identity ON events (tenant, user_id, event_id);
    CREATE TABLE archived_ids (
        tenant TEXT NOT NULL, user_id TEXT NOT NULL, event_id TEXT NOT NULL,
        partition INTEGER NOT NULL, ts INTEGER NOT NULL,
        PRIMARY KEY (tenant, user_id, event_id)) WITHOUT ROWID;
    CREATE INDEX archived_age ON archived_ids (partition, ts);
    CREATE TABLE partitions (
        partition INTEGER PRIMARY KEY, last_seq INTEGER NOT NULL, trimmed_seq INTEGER NOT NULL);
    """,
)
assert len(_MIGRATIONS) == FORMAT_VERSION

_COLUMNS = EVENTS.names  # also the order of an ``Event``
_INSERT = f"""INSERT INTO events (partition, {", ".join(_COLUMNS)})
    VALUES ({", ".join("?" * (1 + len(_COLUMNS)))})"""  # noqa: S608 - names are ours
_TAIL = f"""SELECT {", ".join(_COLUMNS)} FROM events
    WHERE partition = ? AND seq > ? AND (? IS NULL OR tenant = ?) ORDER BY seq"""  # noqa: S608


class SqliteLedger:
    """A ledger in one SQLite file (WAL, synchronous FULL): one host, one writer at a time.

    Args:
        path: the file; its folder is made when missing.

    Raises:
        LedgerError: if it cannot be opened, or a newer version of Halflife made it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        with self._translated("cannot be opened"):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(
                path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            self._use_wal()
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.execute("PRAGMA temp_store=MEMORY")
            self._db.execute(
                "CREATE TEMP TABLE batch (i INTEGER PRIMARY KEY, tenant, user_id, event_id)"
            )
        self._migrate()

    def _use_wal(self) -> None:
        """Switching the journal does not wait for other processes by itself."""
        for _ in range(100):
            try:
                self._db.execute("PRAGMA journal_mode=WAL")
            except sqlite3.OperationalError:
                time.sleep(0.05)
            else:
                return
        self._db.execute("PRAGMA journal_mode=WAL")

    def _migrate(self) -> None:
        with self._transaction("BEGIN IMMEDIATE"):
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            if version > FORMAT_VERSION:
                raise LedgerError(
                    f"ledger {self.path}",
                    f"has format {version}; this version reads up to {FORMAT_VERSION}",
                    "Use the newer version that wrote it",
                )
            for script in _MIGRATIONS[version:]:
                for statement in filter(str.strip, script.split(";")):
                    self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version={FORMAT_VERSION}")

    def append(self, partitions: Sequence[int], events: Sequence[Event]) -> list[int]:
        """See ``Ledger.append``."""
        if len(events) == 0:
            return []
        with self._transaction("BEGIN IMMEDIATE"):
            fresh = self._fresh(events)
            last = {p: self.last_seq(p) for p in {partitions[i] for i in fresh}}
            sequences = [0] * len(events)
            rows = []
            for i in fresh:
                p, e = partitions[i], events[i]
                last[p] += 1
                sequences[i] = last[p]
                times = (microseconds(e.ts), last[p], microseconds(e.ingested_at))
                rows.append((p, *e[:5], *times, *e[8:]))
            self._db.executemany(_INSERT, rows)
            self._db.executemany(
                "INSERT INTO partitions VALUES (?, ?, 0)"
                " ON CONFLICT (partition) DO UPDATE SET last_seq = excluded.last_seq",
                last.items(),
            )
        return sequences

    def _fresh(self, events: Sequence[Event]) -> list[int]:
        """Positions of events whose id is new; of equal ids in the batch, the first."""
        first: dict[tuple[str, str, str], int] = {}
        for i, e in enumerate(events):
            first.setdefault((e.tenant, e.user_id, e.event_id), i)
        self._db.execute("DELETE FROM batch")
        self._db.executemany(
            "INSERT INTO batch VALUES (?, ?, ?, ?)", [(i, *key) for key, i in first.items()]
        )
        known = self._db.execute(
            "SELECT i FROM batch JOIN events USING (tenant, user_id, event_id)"
            " UNION SELECT i FROM batch JOIN archived_ids USING (tenant, user_id, event_id)"
        )
        duplicates = {i for (i,) in known}
        return [i for i in first.values() if i not in duplicates]

    def tail(self, partition: int, after_seq: int = 0, tenant: str | None = None) -> pa.Table:
        """See ``Ledger.tail``."""
        with self._lock, self._translated("cannot be read"):
            rows = self._db.execute(_TAIL, (partition, after_seq, tenant, tenant)).fetchall()
        columns = list(zip(*rows, strict=True)) if rows else [()] * len(_COLUMNS)
        columns.append(columns[_COLUMNS.index("seq")])
        arrays = [pa.array(c, type=f.type) for c, f in zip(columns, TAIL, strict=True)]
        return pa.Table.from_arrays(arrays, schema=TAIL)

    def last_seq(self, partition: int) -> int:
        """See ``Ledger.last_seq``."""
        return self._partition(partition)[0]

    def trimmed_seq(self, partition: int) -> int:
        """See ``Ledger.trimmed_seq``."""
        return self._partition(partition)[1]

    def _partition(self, partition: int) -> tuple[int, int]:
        query = "SELECT last_seq, trimmed_seq FROM partitions WHERE partition = ?"
        with self._lock, self._translated("cannot be read"):
            return self._db.execute(query, (partition,)).fetchone() or (0, 0)

    def register_archived(self, partitions: Sequence[int], ids: pa.Table) -> int:
        """See ``Ledger.register_archived``."""
        columns = [ids[c].to_pylist() for c in ("tenant", "user_id", "event_id")]
        ts = ids["ts"].cast(EVENTS.field("ts").type).cast(pa.int64()).to_pylist()
        with self._transaction("BEGIN IMMEDIATE"):
            before = self._db.total_changes
            self._db.executemany(
                "INSERT OR IGNORE INTO archived_ids VALUES (?, ?, ?, ?, ?)",
                zip(*columns, partitions, ts, strict=True),
            )
            return self._db.total_changes - before

    def trim(self, partition: int, upto_seq: int, keep_ids_after_ts: float) -> int:
        """See ``Ledger.trim``."""
        keep = microseconds(keep_ids_after_ts)
        with self._transaction("BEGIN IMMEDIATE"):
            self._db.execute(
                "INSERT OR IGNORE INTO archived_ids SELECT tenant, user_id, event_id, partition, ts"
                " FROM events WHERE partition = ? AND seq <= ? AND ts >= ?",
                (partition, upto_seq, keep),
            )
            n_removed = self._db.execute(
                "DELETE FROM events WHERE partition = ? AND seq <= ?", (partition, upto_seq)
            ).rowcount
            self._db.execute(
                "DELETE FROM archived_ids WHERE partition = ? AND ts < ?", (partition, keep)
            )
            self._db.execute(
                "UPDATE partitions SET trimmed_seq = max(trimmed_seq, min(last_seq, ?))"
                " WHERE partition = ?",
                (upto_seq, partition),
            )
        return int(n_removed)

    def close(self) -> None:
        """See ``Ledger.close``."""
        with self._lock:
            self._db.close()

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[None]:
        with self._lock, self._translated("refused the transaction; nothing was committed"):
            self._db.execute(begin)
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _translated(self, problem: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise LedgerError(f"ledger {self.path}", f"{problem} ({error})", _REMEDY) from error
