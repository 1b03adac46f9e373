"""A ledger in one SQLite file: one machine, one writer at a time, readers beside it."""

from __future__ import annotations

import errno
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from recsys.errors import ConfigError, LedgerCorruptError, LedgerError, LedgerFullError
from recsys.ledger.base import Owner
from recsys.ledger.connections import Connections
from recsys.ledger.database import Session
from recsys.ledger.migrations import SQLITE, statements
from recsys.ledger.rows import COLUMNS, table_of
from recsys.ledger.sql import Identity, SqlLedger

FORMAT_VERSION = len(SQLITE)
BUSY_TIMEOUT_S = 30.0
CACHE_KIB, JOURNAL_PAGES = 64 << 10, 16_384
"""Ids are spread over the index: the more of its pages a checkpoint takes at once, the fewer times
each is written."""
REFUSED = "refused the transaction; nothing was committed"
_REMEDY = "Check that the folder exists, has space and may be written, and that --ledger is right"
_RESTORE = (
    "Stop what writes to it, then restore the file from a backup, or move it (with its -wal and"
    " -shm) away and run `python -m pipelines.bootstrap`: events that were not compacted into the"
    " archive yet are lost then, all others come back"
)
_MORE_SPACE = (
    "Make space on its disk; reads go on meanwhile, and what was refused may be sent again"
)
_CORRUPT = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE)

_INSERT = f"""INSERT INTO events (partition, {", ".join(COLUMNS)})
    VALUES ({", ".join("?" * (1 + len(COLUMNS)))})"""  # noqa: S608 - names are ours


class SqliteLedger(SqlLedger):
    """A ledger in one SQLite file (WAL, synchronous FULL).

    Args:
        path: the file; its folder is made when missing.
        group: which of the files of a grouped ledger it is.
        n_groups: how many files that ledger has.

    Raises:
        ConfigError: if the file was made as another one, or of another number of files.
        LedgerError: if it cannot be opened, or a newer version of Halflife made it.
    """

    def __init__(self, path: Path, group: int = 0, n_groups: int = 1) -> None:
        self.path = path
        self._place = f"{group}/{n_groups}"
        self._lock = threading.RLock()
        with self.translated("cannot be opened"):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = self._connect()
            _use_wal(self._db)
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
            self._db.execute(f"PRAGMA wal_autocheckpoint={JOURNAL_PAGES}")
            self._db.execute("PRAGMA secure_delete=ON")
            self._db.execute(
                "CREATE TEMP TABLE batch (i INTEGER PRIMARY KEY, tenant, user_id, event_id)"
            )
        self._readers = Connections(
            self._connect, is_sound=lambda _: True, disconnect=sqlite3.Connection.close
        )
        self._migrate()

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(
            self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        db.execute("PRAGMA temp_store=MEMORY")
        return db

    def _migrate(self) -> None:
        with self.writing() as db:
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if version > FORMAT_VERSION:
                raise LedgerError(
                    f"ledger {self.path}",
                    f"has format {version}; this version reads up to {FORMAT_VERSION}",
                    "Use the newer version that wrote it",
                )
            for script in SQLITE[version:]:
                for statement in statements(script):
                    db.execute(statement)
            db.execute(f"PRAGMA user_version={FORMAT_VERSION}")
            self._check_place(db)

    def _check_place(self, db: Session) -> None:
        """Write down which file of how many this is; one that is used has its place already."""
        is_used = any(
            db.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() is not None  # noqa: S608
            for table in ("partitions", "archived_ids")
        )
        place = "0/1" if is_used else self._place  # older versions knew one file only
        db.execute("INSERT OR IGNORE INTO ledger_place VALUES (1, ?)", (place,))
        (place,) = db.execute("SELECT place FROM ledger_place").fetchone()
        if place != self._place:
            raise ConfigError(
                f"ledger {self.path}",
                f"is file {place.replace('/', ' of ')}, and is opened as"
                f" {self._place.replace('/', ' of ')} (files count from 0)",
                f"Open it with ?groups={place.partition('/')[2]}: the number of files is fixed"
                " when a ledger is made",
            )

    def begin_append(self, db: Session) -> None:
        """There is one writer: nothing slips in between."""

    def begin_erase(self, db: Session) -> None:
        """There is one writer: the appends before are committed, later ones see the tombstone."""

    def admit(self, db: Session, owner: Owner) -> None:
        """Refuse another machine: a database file is for one."""
        query = "SELECT DISTINCT host FROM owners WHERE epoch > 0 AND is_released = 0"
        for (host,) in db.execute(query).fetchall():
            if host != owner.host:
                raise ConfigError(
                    f"ledger {self.path}",
                    f"serves one machine, {host}, and {owner.host} asks for partitions of it",
                    "Use a PostgreSQL ledger (postgresql://...) for shards on several machines; if"
                    " the first one is gone, or this one was named anew, bring the service up with"
                    " `python -m cluster.local up --take-over`",
                )

    def known(self, db: Session, keys: Sequence[Identity]) -> set[int]:
        """See ``SqlLedger.known``."""
        db.execute("DELETE FROM batch")
        rows = [(i, *key) for i, key in enumerate(keys)]
        db.executemany("INSERT INTO batch VALUES (?, ?, ?, ?)", rows)
        found = db.execute(
            "SELECT i FROM batch JOIN events USING (tenant, user_id, event_id)"
            " UNION SELECT i FROM batch JOIN archived_ids USING (tenant, user_id, event_id)"
        )
        return {i for (i,) in found.fetchall()}

    def insert(self, db: Session, rows: Sequence[Sequence[Any]]) -> None:
        """See ``SqlLedger.insert``."""
        db.executemany(_INSERT, rows)

    def advance(self, db: Session, last_seq: Mapping[int, int]) -> None:
        """See ``SqlLedger.advance``."""
        rows = [(seq, partition) for partition, seq in last_seq.items()]
        db.executemany("UPDATE partitions SET last_seq = ? WHERE partition = ?", rows)

    def insert_ids(self, db: Session, rows: Iterable[Sequence[Any]]) -> int:
        """See ``SqlLedger.insert_ids``."""
        return db.executemany("INSERT OR IGNORE INTO archived_ids VALUES (?, ?, ?, ?, ?)", rows)

    def stream(self, sql: str, params: Sequence[Any]) -> pa.Table:
        """See ``SqlLedger.stream``."""
        with self.reading() as db:
            return table_of(db.execute(sql, params).fetchmany)

    def scrub(self) -> None:
        """Rewrite the file without free pages, and cut the journal, which may hold old ones."""
        with self._lock, self.translated("removed the rows, but not yet their bytes"):
            with closing(sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S)) as db:
                db.isolation_level = None
                db.execute("PRAGMA secure_delete=ON")
                db.execute("VACUUM")
            (is_busy, _, _) = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if is_busy:
            raise LedgerError(
                f"ledger {self.path}",
                "removed the rows, but a long read keeps their bytes in the journal",
                "Erase again when that job is over",
            )

    def close(self) -> None:
        """See ``Ledger.close``."""
        self._readers.close()
        with self._lock:
            self._db.close()

    @contextmanager
    def writing(self, is_long: bool = False) -> Iterator[Session]:  # noqa: ARG002
        """See ``Database.writing``; nothing is limited in time but the wait for the lock."""
        with self._lock, self.translated(REFUSED):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield _Session(self._db)
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """See ``Database.reading``."""
        with self.translated("cannot be read"):
            db = self._readers.take()
            try:
                yield _Session(db)
            finally:
                self._readers.put_back(db)

    @contextmanager
    def translated(self, problem: str) -> Iterator[None]:
        """Raise errors of the database as ours."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            thing, told = f"ledger {self.path}", f"{problem} ({error})"
            code = getattr(error, "sqlite_errorcode", None)
            if code is not None and code & 0xFF in _CORRUPT:
                raise LedgerCorruptError(thing, f"is not sound: {told}", _RESTORE) from error
            if code in _FULL or getattr(error, "errno", None) == errno.ENOSPC:
                raise LedgerFullError(thing, f"has no space: {told}", _MORE_SPACE) from error
            raise LedgerError(thing, told, _REMEDY) from error


class _Session:
    """See ``Session``."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def execute(self, sql: str, params: Sequence[Any] = ()) -> sqlite3.Cursor:
        return self._db.execute(sql, params)

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> int:
        return self._db.executemany(sql, rows).rowcount


def _use_wal(db: sqlite3.Connection) -> None:
    """Switching the journal does not wait for other processes by itself."""
    for _ in range(100):
        try:
            db.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            time.sleep(0.05)
        else:
            return
    db.execute("PRAGMA journal_mode=WAL")
