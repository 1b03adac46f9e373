"""A SQL database as the parts of a ledger see it: transactions, and locked rows of partitions.

Statements are written with ``?`` and are such that SQLite and PostgreSQL understand them alike.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Protocol, TypeVar

T = TypeVar("T")

KEYS_AT_ONCE = 500


class Session(Protocol):
    """Statements of one transaction."""

    def execute(self, sql: str, params: Sequence[Any] = ()) -> Any:
        """Run one statement; a cursor."""

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> int:
        """Run one statement for each row; return how many rows it changed."""


class Database(ABC):
    """Transactions, whose failures are ours."""

    lock_rows: ClassVar[str] = ""
    """Ends a SELECT whose rows nobody else may lock until the transaction ends."""

    @abstractmethod
    def writing(self, is_long: bool = False) -> AbstractContextManager[Session]:
        """A transaction that commits at the end, or rolls back where an error passes.

        Args:
            is_long: what it does may take longer than an append ever does.
        """

    @abstractmethod
    def reading(self) -> AbstractContextManager[Session]:
        """A session that sees what is committed."""

    def locked(self, db: Session, partitions: Iterable[int], columns: str) -> dict[int, Any]:
        """Lock the rows of partitions in rising order, so that nobody waits in a circle.

        Args:
            db: a transaction.
            partitions: which; a row that is missing is made.
            columns: what to read of them.

        Returns:
            The columns by partition.
        """
        wanted = sorted(set(partitions))
        query = (
            f"SELECT partition, {columns} FROM partitions"  # noqa: S608 - names are ours
            f" WHERE partition IN ({marks(wanted)}) ORDER BY partition{self.lock_rows}"
        )
        rows = db.execute(query, wanted).fetchall()
        if len(rows) < len(wanted):
            db.executemany(
                "INSERT INTO partitions (partition, last_seq, trimmed_seq) VALUES (?, 0, 0)"
                " ON CONFLICT (partition) DO NOTHING",
                [(p,) for p in wanted],
            )
            rows = db.execute(query, wanted).fetchall()
        return {row[0]: row[1:] for row in rows}


def marks(values: Sequence[object]) -> str:
    """Placeholders for a list of values.

    >>> marks("ab")
    '?, ?'
    """
    return ", ".join("?" * len(values))


def chunks(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """Values in lists that a statement takes at once."""
    for start in range(0, len(values), KEYS_AT_ONCE):
        yield values[start : start + KEYS_AT_ONCE]
