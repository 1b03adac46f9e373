"""Who owns a partition: the epoch and the owner in its row, changed under the row's lock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from recsys.ledger.base import Claim, Owner
from recsys.ledger.database import Database, Session, chunks, marks

Rows = dict[int, Any]
"""Columns by partition."""

_OWNER = "owner, host, process, lease_s"
_NOBODY = ("", "", "", 0.0)


class Owning(Database):
    """Claims, renewals and releases."""

    def admit(self, db: Session, owner: Owner) -> None:
        """Refuse an owner that this kind of database cannot serve; nobody, unless overridden."""

    def held(self, db: Session, tenant: str, partitions: Iterable[int], columns: str) -> Rows:
        """Lock the rows of owners in rising order; see ``Database.locked``."""
        wanted = sorted(set(partitions))
        query = (
            f"SELECT partition, {columns} FROM owners"  # noqa: S608 - names are ours
            f" WHERE tenant = ? AND partition IN ({marks(wanted)})"
            f" ORDER BY partition{self.lock_rows}"
        )
        rows = db.execute(query, (tenant, *wanted)).fetchall()
        if len(rows) < len(wanted):
            db.executemany(
                f"INSERT INTO owners (tenant, partition, epoch, is_released, {_OWNER})"  # noqa: S608
                " VALUES (?, ?, 0, 0, ?, ?, ?, ?) ON CONFLICT (tenant, partition) DO NOTHING",
                [(tenant, p, *_NOBODY) for p in wanted],
            )
            rows = db.execute(query, (tenant, *wanted)).fetchall()
        return {row[0]: row[1:] for row in rows}

    def claim(
        self,
        tenant: str,
        partitions: Sequence[int],
        owner: Owner,
        expected: Mapping[int, int] | None = None,
    ) -> list[Claim]:
        """See ``Ledger.claim``."""
        with self.writing() as db:
            rows = self.held(db, tenant, partitions, f"epoch, is_released, {_OWNER}")
            self.admit(db, owner)
            taken = [p for p in partitions if expected is None or rows[p][0] == expected.get(p)]
            values = (owner.name, owner.host, owner.process, owner.lease_s, tenant)
            db.executemany(
                "UPDATE owners SET epoch = epoch + 1, is_released = 0, owner = ?, host = ?,"
                " process = ?, lease_s = ? WHERE tenant = ? AND partition = ?",
                [(*values, p) for p in sorted(set(taken))],
            )
        return [Claim(p, rows[p][0] + 1, _previous(rows[p], owner)) for p in taken]

    def epochs(self, tenant: str, partitions: Sequence[int]) -> dict[int, int]:
        """See ``Ledger.epochs``."""
        found: dict[int, int] = {}
        with self.reading() as db:
            for chunk in chunks(partitions):
                query = (
                    "SELECT partition, epoch FROM owners WHERE tenant = ?"  # noqa: S608 - marks only
                    f" AND epoch > 0 AND is_released = 0 AND partition IN ({marks(chunk)})"
                )
                found.update(db.execute(query, (tenant, *chunk)).fetchall())
        return found

    def owners(self, tenant: str) -> dict[int, tuple[Owner, int]]:
        """See ``Ledger.owners``."""
        query = (
            f"SELECT partition, epoch, {_OWNER} FROM owners"  # noqa: S608 - names are ours
            " WHERE tenant = ? AND epoch > 0 AND is_released = 0 ORDER BY partition"
        )
        with self.reading() as db:
            rows = db.execute(query, (tenant,)).fetchall()
        return {partition: (Owner(*owner), epoch) for partition, epoch, *owner in rows}

    def release(self, tenant: str, partitions: Mapping[int, int]) -> None:
        """See ``Ledger.release``."""
        with self.writing() as db:
            db.executemany(
                "UPDATE owners SET is_released = 1"
                " WHERE tenant = ? AND partition = ? AND epoch = ?",
                [(tenant, *held) for held in sorted(partitions.items())],
            )


def _previous(row: Sequence[Any], claimant: Owner) -> Owner | None:
    """The owner of a row that may still answer."""
    epoch, is_released, *owner = row
    if epoch == 0 or is_released:
        return None
    previous = Owner(*owner)
    return None if previous.is_same_process(claimant) else previous
