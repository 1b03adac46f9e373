"""The schema of a ledger, version by version; a database of an older version is brought up.

The same tables in both databases: ``events`` (the rows), ``archived_ids`` (ids that are duplicates
without being rows), ``partitions`` (sequences and ownership), ``registry`` (small values),
``tombstones`` (users who were erased, by pseudonym). Times are whole microseconds.
"""

from __future__ import annotations

SQLITE = (
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
    # 1 -> 2: who owns a partition, small values, erased users
    """
    ALTER TABLE partitions ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE partitions ADD COLUMN owner TEXT;
    ALTER TABLE partitions ADD COLUMN host TEXT;
    ALTER TABLE partitions ADD COLUMN pid INTEGER;
    ALTER TABLE partitions ADD COLUMN started REAL;
    ALTER TABLE partitions ADD COLUMN lease_s REAL;
    ALTER TABLE partitions ADD COLUMN is_released INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE registry (
        key TEXT PRIMARY KEY, value TEXT NOT NULL, version INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE tombstones (
        tenant TEXT NOT NULL, pseudonym TEXT NOT NULL, at INTEGER NOT NULL,
        PRIMARY KEY (tenant, pseudonym)) WITHOUT ROWID;
    """,
)


def statements(script: str) -> list[str]:
    """The statements of one step."""
    return [statement for statement in script.split(";") if statement.strip()]
