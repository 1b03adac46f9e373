"""Who owns a partition: the epoch and the owner in its row, changed under the row's lock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from recsys.ledger.base import Claim, Owner
from recsys.ledger.database import Database, Session, chunks, marks

_OWNER = "owner, host, pid, started, lease_s"


class Owning(Database):
    """Claims, renewals and releases."""

    def admit(self, db: Session, owner: Owner) -> None:
        """Refuse an owner that this kind of database cannot serve; nobody, unless overridden."""

    def claim(self, partitions: Sequence[int], owner: Owner) -> list[Claim]:
        """See ``Ledger.claim``."""
        with self.writing() as db:
            rows = self.locked(db, partitions, f"epoch, is_released, {_OWNER}")
            self.admit(db, owner)
            values = (owner.name, owner.host, owner.pid, owner.started, owner.lease_s)
            db.executemany(
                "UPDATE partitions SET epoch = epoch + 1, is_released = 0, owner = ?, host = ?,"
                " pid = ?, started = ?, lease_s = ? WHERE partition = ?",
                [(*values, p) for p in rows],
            )
        return [Claim(p, rows[p][0] + 1, _previous(rows[p], owner)) for p in partitions]

    def epochs(self, partitions: Sequence[int]) -> dict[int, int]:
        """See ``Ledger.epochs``."""
        found: dict[int, int] = {}
        with self.reading() as db:
            for chunk in chunks(partitions):
                query = (
                    "SELECT partition, epoch FROM partitions"  # noqa: S608 - marks only
                    f" WHERE epoch > 0 AND is_released = 0 AND partition IN ({marks(chunk)})"
                )
                found.update(db.execute(query, chunk).fetchall())
        return found

    def owners(self) -> dict[int, tuple[Owner, int]]:
        """See ``Ledger.owners``."""
        query = (
            f"SELECT partition, epoch, {_OWNER} FROM partitions"  # noqa: S608 - names are ours
            " WHERE epoch > 0 AND is_released = 0 ORDER BY partition"
        )
        with self.reading() as db:
            rows = db.execute(query).fetchall()
        return {partition: (Owner(*owner), epoch) for partition, epoch, *owner in rows}

    def release(self, partitions: Mapping[int, int]) -> None:
        """See ``Ledger.release``."""
        with self.writing() as db:
            db.executemany(
                "UPDATE partitions SET is_released = 1 WHERE partition = ? AND epoch = ?",
                sorted(partitions.items()),
            )


def _previous(row: Sequence[Any], claimant: Owner) -> Owner | None:
    """The owner of a row that may still answer."""
    epoch, is_released, *owner = row
    if epoch == 0 or is_released:
        return None
    previous = Owner(*owner)
    return None if previous.is_same_process(claimant) else previous
