"""The schema of a ledger, version by version; a database of an older version is brought up.

The same tables in both databases: ``events`` (the rows), ``archived_ids`` (ids that are duplicates
without being rows), ``partitions`` (sequences), ``owners`` (who owns them), ``registry`` (small
values), ``tombstones`` (users who were erased, by pseudonym). Times are whole microseconds.
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
    CREATE TABLE owners (
        tenant TEXT NOT NULL, partition INTEGER NOT NULL, epoch INTEGER NOT NULL,
        is_released INTEGER NOT NULL, owner TEXT NOT NULL, host TEXT NOT NULL,
        process TEXT NOT NULL, lease_s REAL NOT NULL,
        PRIMARY KEY (tenant, partition)) WITHOUT ROWID;
    CREATE TABLE registry (
        key TEXT PRIMARY KEY, value TEXT NOT NULL, version INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE tombstones (
        tenant TEXT NOT NULL, pseudonym TEXT NOT NULL, at INTEGER NOT NULL,
        PRIMARY KEY (tenant, pseudonym)) WITHOUT ROWID;
    CREATE TABLE ledger_place (id INTEGER PRIMARY KEY, place TEXT NOT NULL);
    """,
)

POSTGRES = (
    # 0 -> 1; few columns are indexed, and a partition's row has room to change in its place
    """
    CREATE TABLE events (
        partition INTEGER NOT NULL, seq BIGINT NOT NULL,
        tenant TEXT COLLATE "C" NOT NULL, event_id TEXT COLLATE "C" NOT NULL,
        user_id TEXT COLLATE "C" NOT NULL, item_id TEXT, kind TEXT NOT NULL, ts BIGINT NOT NULL,
        ingested_at BIGINT NOT NULL, value DOUBLE PRECISION, text TEXT, session_id TEXT,
        request_id TEXT, rank INTEGER, source TEXT, PRIMARY KEY (partition, seq));
    CREATE UNIQUE INDEX event_identity ON events (tenant, user_id, event_id);
    CREATE TABLE archived_ids (
        tenant TEXT COLLATE "C" NOT NULL, user_id TEXT COLLATE "C" NOT NULL,
        event_id TEXT COLLATE "C" NOT NULL, partition INTEGER NOT NULL, ts BIGINT NOT NULL,
        PRIMARY KEY (tenant, user_id, event_id));
    CREATE INDEX archived_age ON archived_ids (partition, ts);
    CREATE TABLE partitions (
        partition INTEGER PRIMARY KEY, last_seq BIGINT NOT NULL, trimmed_seq BIGINT NOT NULL
        ) WITH (fillfactor = 10);
    CREATE TABLE owners (
        tenant TEXT COLLATE "C" NOT NULL, partition INTEGER NOT NULL, epoch BIGINT NOT NULL,
        is_released INTEGER NOT NULL, owner TEXT NOT NULL, host TEXT NOT NULL,
        process TEXT NOT NULL, lease_s DOUBLE PRECISION NOT NULL, PRIMARY KEY (tenant, partition)
        ) WITH (fillfactor = 50);
    CREATE TABLE registry (key TEXT PRIMARY KEY, value TEXT NOT NULL, version BIGINT NOT NULL);
    CREATE TABLE tombstones (
        tenant TEXT COLLATE "C" NOT NULL, pseudonym TEXT COLLATE "C" NOT NULL, at BIGINT NOT NULL,
        PRIMARY KEY (tenant, pseudonym));
    """,
)


def statements(script: str) -> list[str]:
    """The statements of one step."""
    return [statement for statement in script.split(";") if statement.strip()]
