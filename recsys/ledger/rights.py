"""The registry of small values, and erased users."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable

from recsys.ledger.database import Database, Session, chunks, marks
from recsys.ledger.erasure import ERASURE_KEY, erasure_pseudonym
from recsys.schema import microseconds

_BURY = """INSERT INTO tombstones (tenant, pseudonym, at) VALUES (?, ?, ?)
    ON CONFLICT (tenant, pseudonym) DO UPDATE SET at = excluded.at
    WHERE excluded.at > tombstones.at"""

User = tuple[str, str]
"""Tenant, user id."""


class Rights(Database):
    """Registered values and erasures."""

    @abstractmethod
    def begin_erase(self, db: Session) -> None:
        """Wait for the appends that may not have seen a tombstone, and let no new one begin."""

    @abstractmethod
    def scrub(self) -> None:
        """Leave no bytes behind of rows that were removed."""

    def get_value(self, key: str) -> tuple[str, int] | None:
        """See ``Ledger.get_value``."""
        with self.reading() as db:
            found = db.execute("SELECT value, version FROM registry WHERE key = ?", (key,))
            row: tuple[str, int] | None = found.fetchone()
        return row

    def put_value(self, key: str, value: str, version: int) -> bool:
        """See ``Ledger.put_value``."""
        with self.writing() as db:
            if version == 0:
                changed = db.execute(
                    "INSERT INTO registry (key, value, version) VALUES (?, ?, 1)"
                    " ON CONFLICT (key) DO NOTHING",
                    (key, value),
                )
            else:
                changed = db.execute(
                    "UPDATE registry SET value = ?, version = version + 1"
                    " WHERE key = ? AND version = ?",
                    (value, key, version),
                )
            n_changed: int = changed.rowcount
        return n_changed == 1

    def values(self) -> list[tuple[str, str, int]]:
        """``(key, value, version)`` of all that is registered."""
        with self.reading() as db:
            rows: list[tuple[str, str, int]] = db.execute(
                "SELECT key, value, version FROM registry"
            ).fetchall()
        return rows

    def copy_values(self, rows: Iterable[tuple[str, str, int]]) -> None:
        """Take values over that another database registered, where they are newer."""
        with self.writing() as db:
            db.executemany(
                "INSERT INTO registry (key, value, version) VALUES (?, ?, ?)"
                " ON CONFLICT (key) DO UPDATE SET value = excluded.value,"
                " version = excluded.version WHERE excluded.version > registry.version",
                rows,
            )

    def all_tombstones(self) -> list[tuple[str, str, int]]:
        """``(tenant, pseudonym, microseconds)`` of every erased user."""
        with self.reading() as db:
            rows: list[tuple[str, str, int]] = db.execute(
                "SELECT tenant, pseudonym, at FROM tombstones"
            ).fetchall()
        return rows

    def copy_tombstones(self, rows: Iterable[tuple[str, str, int]]) -> None:
        """Take tombstones over; of two for one user the later holds."""
        with self.writing() as db:
            db.executemany(_BURY, rows)

    def bury(self, tenant: str, pseudonym: str, at: float) -> None:
        """See ``Ledger.bury``; whoever appends from now on sees it, the others are waited for."""
        self.copy_tombstones([(tenant, pseudonym, microseconds(at))])
        with self.writing(is_long=True) as db:
            self.begin_erase(db)

    def erase(self, tenant: str, user_id: str, pseudonym: str, at: float) -> int:
        """See ``Ledger.erase``."""
        self.bury(tenant, pseudonym, at)
        n_removed = 0
        with self.writing(is_long=True) as db:
            self.begin_erase(db)
            for table in ("events", "archived_ids"):
                rows = db.execute(
                    f"DELETE FROM {table} WHERE tenant = ? AND user_id = ? AND ts <= ?",  # noqa: S608
                    (tenant, user_id, microseconds(at)),
                )
                n_removed += rows.rowcount if table == "events" else 0
        self.scrub()
        return n_removed

    def tombstones(self, tenant: str) -> list[tuple[str, float]]:
        """See ``Ledger.tombstones``."""
        query = "SELECT pseudonym, at FROM tombstones WHERE tenant = ? ORDER BY at, pseudonym"
        with self.reading() as db:
            return [(name, at / 1e6) for name, at in db.execute(query, (tenant,)).fetchall()]

    def erasure_version(self, tenant: str) -> int:
        """See ``Ledger.erasure_version``; added up in two parts, for SQLite has 63 bits."""
        query = (
            "SELECT coalesce(sum(at / 1000000), 0),"
            " coalesce(sum(at - at / 1000000 * 1000000), 0) FROM tombstones WHERE tenant = ?"
        )
        with self.reading() as db:
            seconds, rest = db.execute(query, (tenant,)).fetchone()
        return int(seconds) * 1_000_000 + int(rest)

    def erased_until(self, db: Session, users: Iterable[User]) -> dict[User, int]:
        """Microseconds up to which events of users are refused; of erased users only."""
        if db.execute("SELECT 1 FROM tombstones LIMIT 1").fetchone() is None:
            return {}
        key = db.execute("SELECT value FROM registry WHERE key = ?", (ERASURE_KEY,)).fetchone()
        if key is None:
            return {}
        names = {(user[0], erasure_pseudonym(key[0], *user)): user for user in set(users)}
        found: dict[User, int] = {}
        for chunk in chunks([name for _, name in names]):
            query = (
                "SELECT tenant, pseudonym, at FROM tombstones"  # noqa: S608 - marks only
                f" WHERE pseudonym IN ({marks(chunk)})"
            )
            for tenant, name, at in db.execute(query, chunk).fetchall():
                if (tenant, name) in names:
                    found[names[tenant, name]] = at
        return found
