"""A ledger in PostgreSQL: for shards on several machines.

A commit locks the rows of its partitions (in rising order), checks their epochs, and adds its rows;
a claim waits for that lock. Ids are looked up by index, however old the planner's statistics are.
"""

from __future__ import annotations

import select
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import psycopg
import pyarrow as pa
from psycopg import conninfo
from psycopg.pq import TransactionStatus

from recsys.errors import ConfigError, LedgerError
from recsys.ledger.connections import Connections
from recsys.ledger.database import Session
from recsys.ledger.migrations import POSTGRES, statements
from recsys.ledger.postgres_errors import of_postgres
from recsys.ledger.rows import COLUMNS, table_of
from recsys.ledger.sql import Identity, SqlLedger

FORMAT_VERSION = len(POSTGRES)
STATEMENT_TIMEOUT_S = 15
IDLE_TIMEOUT_S = 10
"""A process that stands still inside a transaction lets go of its locks after this."""
_DEFAULTS = {
    "application_name": "halflife",
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
_SESSION = (
    f"SET statement_timeout = '{STATEMENT_TIMEOUT_S}s'",
    f"SET idle_in_transaction_session_timeout = '{IDLE_TIMEOUT_S}s'",
    "SET enable_seqscan = off",
    "SET enable_hashjoin = off",
    "SET enable_mergejoin = off",
)
_MIGRATION_LOCK, _ERASURE_LOCK = 5_731_001, 5_731_002

_TYPES = dict.fromkeys(COLUMNS, "text") | {
    "ts": "bigint",
    "seq": "bigint",
    "ingested_at": "bigint",
    "value": "double precision",
    "rank": "int",
}
_TEXT = 1 + COLUMNS.index("text")
_INSERT = f"""INSERT INTO events (partition, {", ".join(COLUMNS)})
    SELECT * FROM unnest(?::int[], {", ".join(f"?::{_TYPES[c]}[]" for c in COLUMNS)})"""  # noqa: S608
_KNOWN = """WITH batch AS MATERIALIZED (
    SELECT * FROM unnest(?::int[], ?::text[], ?::text[], ?::text[])
        AS keys (i, tenant, user_id, event_id))
    SELECT i FROM batch JOIN events USING (tenant, user_id, event_id)
    UNION ALL SELECT i FROM batch JOIN archived_ids USING (tenant, user_id, event_id)"""
_ADVANCE = """UPDATE partitions SET last_seq = new.last_seq
    FROM unnest(?::int[], ?::bigint[]) AS new (partition, last_seq)
    WHERE partitions.partition = new.partition"""
_INSERT_IDS = """INSERT INTO archived_ids (tenant, user_id, event_id, partition, ts)
    SELECT * FROM unnest(?::text[], ?::text[], ?::text[], ?::int[], ?::bigint[])
    ON CONFLICT DO NOTHING"""


class PostgresLedger(SqlLedger):
    """A ledger in a PostgreSQL database of its own.

    Args:
        url: ``postgresql://user:password@host:port/database``, straight to the server or through a
            pooler that pools sessions.

    Raises:
        ConfigError: if the URL cannot be understood.
        LedgerError: if the server cannot be reached, or a newer version of Halflife made the
            tables.
    """

    lock_rows: ClassVar[str] = " FOR UPDATE"

    def __init__(self, url: str) -> None:
        try:
            self._parameters = {**_DEFAULTS, **conninfo.conninfo_to_dict(url)}
        except psycopg.Error as error:
            raise ConfigError(
                "the ledger's URL",
                f"is not understood ({str(error).strip()})",
                "Write postgresql://user:password@host:5432/database",
            ) from error
        self._connections = Connections(self._connect, _is_sound, psycopg.Connection.close)
        self._migrate()

    @property
    def name(self) -> str:
        """Where it is, without the password."""
        known = {"user": "", "host": "", "port": "5432", "dbname": ""} | self._parameters
        return "postgresql://{user}@{host}:{port}/{dbname}".format(**known)

    def _connect(self) -> psycopg.Connection[Any]:
        connection = psycopg.connect(autocommit=True, **self._parameters)  # type: ignore[arg-type]
        for statement in _SESSION:
            connection.execute(statement)
        row = connection.execute("SHOW synchronous_commit").fetchone()
        if row is not None and row[0] == "off":  # an acknowledged event would not be durable
            connection.execute("SET synchronous_commit = on")
        return connection

    def _migrate(self) -> None:
        with self.writing(is_long=True) as db:
            db.execute("SELECT pg_advisory_xact_lock(?)", (_MIGRATION_LOCK,))
            db.execute("CREATE TABLE IF NOT EXISTS ledger_format (version INTEGER NOT NULL)")
            (version,) = db.execute(
                "SELECT coalesce(max(version), 0) FROM ledger_format"
            ).fetchone()
            if version > FORMAT_VERSION:
                raise LedgerError(
                    f"ledger {self.name}",
                    f"has format {version}; this version reads up to {FORMAT_VERSION}",
                    "Use the newer version that wrote it",
                )
            for script in POSTGRES[version:]:
                for statement in statements(script):
                    db.execute(statement)
            if version < FORMAT_VERSION:
                db.execute("DELETE FROM ledger_format")
                db.execute("INSERT INTO ledger_format VALUES (?)", (FORMAT_VERSION,))

    def begin_append(self, db: Session) -> None:
        """Appends share a lock that an erasure takes for itself."""
        db.execute("SELECT pg_advisory_xact_lock_shared(?)", (_ERASURE_LOCK,))

    def begin_erase(self, db: Session) -> None:
        """See ``Rights.begin_erase``."""
        db.execute("SELECT pg_advisory_xact_lock(?)", (_ERASURE_LOCK,))

    def known(self, db: Session, keys: Sequence[Identity]) -> set[int]:
        """See ``SqlLedger.known``."""
        if len(keys) == 0:
            return set()
        columns = [array_literal(c) for c in (range(len(keys)), *zip(*keys, strict=True))]
        return {i for (i,) in db.execute(_KNOWN, columns).fetchall()}

    def insert(self, db: Session, rows: Sequence[Sequence[Any]]) -> None:
        """See ``SqlLedger.insert``; a NUL in a text, which no row can hold, is stored as U+FFFD."""
        columns = [array_literal(column) for column in zip(*rows, strict=True)]
        columns[_TEXT] = columns[_TEXT].replace("\0", "\ufffd")
        db.execute(_INSERT, columns)

    def advance(self, db: Session, last_seq: Mapping[int, int]) -> None:
        """See ``SqlLedger.advance``."""
        db.execute(_ADVANCE, [array_literal(last_seq), array_literal(last_seq.values())])

    def insert_ids(self, db: Session, rows: Iterable[Sequence[Any]]) -> int:
        """See ``SqlLedger.insert_ids``."""
        columns = [array_literal(column) for column in zip(*rows, strict=True)]
        return db.execute(_INSERT_IDS, columns).rowcount if len(columns) > 0 else 0

    def stream(self, sql: str, params: Sequence[Any]) -> pa.Table:
        """See ``SqlLedger.stream``."""
        with (
            self._connection("cannot be read") as connection,
            connection.transaction(),
            connection.cursor("tail", binary=True) as cursor,
        ):
            cursor.execute(_dialect(sql), params)
            return table_of(cursor.fetchmany)

    def scrub(self) -> None:
        """Give the room of removed rows back to their tables."""
        with self._connection("removed the rows, but could not clean up") as connection:
            connection.execute("SET statement_timeout = 0")
            connection.execute("VACUUM events, archived_ids")
            connection.execute(_SESSION[0])

    def close(self) -> None:
        """See ``Ledger.close``."""
        self._connections.close()

    @contextmanager
    def writing(self, is_long: bool = False) -> Iterator[Session]:
        """See ``Database.writing``."""
        with self._connection("refused the transaction; nothing was committed") as connection:
            connection.execute("BEGIN ISOLATION LEVEL READ COMMITTED")
            try:
                if is_long:
                    connection.execute("SET LOCAL statement_timeout = 0")
                yield _Session(connection)
            except BaseException:
                _roll_back(connection)
                raise
            self._commit(connection)

    def _commit(self, connection: psycopg.Connection[Any]) -> None:
        try:
            connection.execute("COMMIT")
        except psycopg.OperationalError as error:
            if not connection.broken:
                raise
            raise of_postgres(
                self.name, "went away during a commit; whether it happened is unknown", error
            ) from error

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """See ``Database.reading``."""
        with self._connection("cannot be read") as connection:
            yield _Session(connection)

    @contextmanager
    def _connection(self, problem: str) -> Iterator[psycopg.Connection[Any]]:
        try:
            connection = self._connections.take()
        except psycopg.Error as error:
            raise of_postgres(self.name, "cannot be reached", error) from error
        try:
            try:
                yield connection
            finally:
                self._connections.put_back(connection)
        except psycopg.Error as error:
            raise of_postgres(self.name, problem, error) from error


class _Session:
    """See ``Session``."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def execute(self, sql: str, params: Sequence[Any] = ()) -> psycopg.Cursor[Any]:
        return self._connection.execute(_dialect(sql), params)

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> int:
        with self._connection.cursor() as cursor:
            cursor.executemany(_dialect(sql), rows)
            return cursor.rowcount


def array_literal(values: Iterable[str | float | None]) -> str:
    """An array as PostgreSQL writes it; the driver's own way takes three times as long.

    >>> print(array_literal(["a", None, "b, c"]), array_literal([1, 2.5]))
    {"a",NULL,"b, c"} {1,2.5}
    """
    return "{" + ",".join([_element(value) for value in values]) + "}"


def _element(value: str | float | None) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return repr(value)


def _dialect(sql: str) -> bytes:
    return sql.replace("?", "%s").encode()


def _is_sound(connection: psycopg.Connection[Any]) -> bool:
    """Idle, and nothing arrived meanwhile: a server that went away says so, or hangs up."""
    if connection.closed or connection.info.transaction_status is not TransactionStatus.IDLE:
        return False
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return len(poll.poll(0)) == 0


def _roll_back(connection: psycopg.Connection[Any]) -> None:
    try:
        connection.execute("ROLLBACK")
    except psycopg.Error:  # it is gone, and the transaction with it
        connection.close()
