"""A ledger that fails as a run wants, and whose rows say in which epoch they were written."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from recsys.errors import LedgerError
from recsys.ledger import UNOWNED, Ledger
from recsys.schema import Event
from tests.chaos.pool.history import Row

AUDIT_COLUMNS = "(partition INTEGER, seq BIGINT, epoch BIGINT, is_released INTEGER)"
_AUDIT = """INSERT INTO chaos_audit SELECT NEW.partition, NEW.seq, epoch, is_released FROM owners
    WHERE tenant = NEW.tenant AND partition = NEW.partition"""
SQLITE_AUDIT = (
    f"CREATE TABLE chaos_audit {AUDIT_COLUMNS}",
    f"CREATE TRIGGER chaos_audit_row AFTER INSERT ON events BEGIN {_AUDIT}; END",
)
POSTGRES_AUDIT = (
    f"CREATE TABLE chaos_audit {AUDIT_COLUMNS}",
    f"CREATE FUNCTION chaos_audit_row() RETURNS trigger LANGUAGE plpgsql AS"
    f" $$ BEGIN {_AUDIT}; RETURN NULL; END $$",
    "CREATE TRIGGER chaos_audit_row AFTER INSERT ON events FOR EACH ROW"
    " EXECUTE FUNCTION chaos_audit_row()",
)
_ROWS = """SELECT e.partition, e.seq, e.user_id, e.event_id, e.kind, e.ts, e.source,
    a.epoch, a.is_released FROM events e LEFT JOIN chaos_audit a
    ON a.partition = e.partition AND a.seq = e.seq"""


class Faults(NamedTuple):
    """Probabilities per append."""

    refused: float = 0.0
    """Nothing is committed, and the caller is told of an error."""
    unanswered: float = 0.0
    """It is committed, and the caller is told of an error."""


NO_FAULTS = Faults()


class FaultyLedger:
    """A ``Ledger`` around another; everything but ``append`` is the other's.

    Args:
        ledger: the real one.
        faults: how often it fails.
        draw: decides.
    """

    def __init__(self, ledger: Ledger, faults: Faults, draw: random.Random) -> None:
        self.ledger, self.faults, self._draw = ledger, faults, draw
        self.true_epochs: Mapping[int, int] | None = None
        """Named instead of the writer's own, where a run breaks the fence."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.ledger, name)

    def append(
        self,
        partitions: Sequence[int],
        events: Sequence[Event],
        epochs: Mapping[int, int] = UNOWNED,
    ) -> list[int]:
        """See ``Ledger.append``; a row's ``source`` names the epoch of its writer."""
        drawn = self._draw.random()
        if drawn < self.faults.refused:
            raise LedgerError("ledger", "refuses because a run wants it")
        marked = [
            event._replace(source=str(epochs.get(partition, 0)))
            for partition, event in zip(partitions, events, strict=True)
        ]
        named = epochs if self.true_epochs is None else self.true_epochs
        sequences = self.ledger.append(partitions, marked, named)
        if drawn < self.faults.refused + self.faults.unanswered:
            raise LedgerError("ledger", "committed, and its answer was lost as a run wants it")
        return sequences


def audit(url: str) -> None:
    """Have a ledger write down the true epoch beside each row that is committed."""
    if url.startswith("postgresql"):
        with psycopg.connect(url) as connection:
            for statement in POSTGRES_AUDIT:
                connection.execute(statement.encode())
        return
    for path in sqlite_files(url):
        with sqlite3.connect(path, timeout=30.0) as db:
            for statement in SQLITE_AUDIT:
                db.execute(statement)
        db.close()


def rows(url: str) -> list[Row]:
    """All rows of an audited ledger."""
    if url.startswith("postgresql"):
        with psycopg.connect(url) as connection:
            found = connection.execute(_ROWS.encode()).fetchall()
        return [_row(*values) for values in found]
    found = []
    for path in sqlite_files(url):
        db = sqlite3.connect(path, timeout=30.0)
        found += db.execute(_ROWS).fetchall()
        db.close()
    return [_row(*values) for values in found]


def sqlite_files(url: str) -> list[Path]:
    """The database files of a ledger."""
    path = Path(url.removeprefix("sqlite:///").partition("?")[0])
    return sorted(p for p in path.parent.glob(f"{path.stem}*") if p.suffix == path.suffix)


def _row(*values: Any) -> Row:
    partition, seq, user, event_id, kind, ts, source, epoch, is_released = values
    writer = None if source is None else int(source)
    return Row(partition, seq, user, event_id, kind, ts / 1e6, writer, epoch, bool(is_released))
