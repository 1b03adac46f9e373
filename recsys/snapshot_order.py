"""Which snapshot may replace which: one that knows less never takes the place of another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from recsys.archive import CURRENT
from recsys.errors import ConflictError
from recsys.store import Store


@dataclass(frozen=True)
class SnapshotKey:
    """Which snapshot: one per tenant, bundle and partition."""

    tenant: str
    bundle_id: str
    partition: int

    @property
    def prefix(self) -> str:
        """Folder of the files and the pointer."""
        return f"snapshots/{self.tenant}/{self.bundle_id}/{self.partition}"

    @property
    def pointer(self) -> str:
        """Path of the pointer."""
        return f"{self.prefix}/CURRENT"


@dataclass(frozen=True)
class Position:
    """The place in the record up to which the events of a partition are folded."""

    ledger_seq: int
    """Every ledger row up to this sequence is in; recovery folds the rows after it."""
    archive_manifest: str | None = None
    """Id of the archive manifest that was folded; None = there was no archive."""
    erasures: int = 0
    """``Ledger.erasure_version`` up to which nobody who was erased is in."""

    def knowing(self, erasures: int) -> Position:
        """The same place, after it was made sure that no more erased users are in."""
        return replace(self, erasures=max(erasures, self.erasures))


def before(old: Mapping[str, Any] | None, new: Position) -> dict[str, Any]:
    """The generation before; none where somebody was erased since: its files must not stay."""
    if old is None or new.erasures > old.get("erasures", 0):
        found: Mapping[str, Any] = {"files": {}, "ledger_seq": None, "archive_manifest": None}
    else:
        found = old
    return {
        "previous": found["files"],
        "previous_ledger_seq": found["ledger_seq"],
        "previous_archive_manifest": found["archive_manifest"],
    }


def check_replaces(key: SnapshotKey, old: Mapping[str, Any], new: Position, rebase: bool) -> None:
    """Make sure that a snapshot may take the place of a stored one; see ``save_groups``.

    Raises:
        ConflictError: if it may not.
    """
    if old["ledger_seq"] > new.ledger_seq:
        raise ConflictError(
            f"snapshot {key.prefix}",
            f"holds ledger sequence {old['ledger_seq']}, newer than {new.ledger_seq}",
            "Load it, or fold the record again",
        )
    if old.get("erasures", 0) > new.erasures:
        raise ConflictError(
            f"snapshot {key.prefix}",
            "was written after an erasure that this one does not know",
            "Load it, or fold the record again",
        )
    if not rebase and old["archive_manifest"] != new.archive_manifest:
        raise ConflictError(
            f"snapshot {key.prefix}",
            f"was folded from archive {old['archive_manifest']}, not {new.archive_manifest}",
            "Load it: it holds events that were ingested since",
        )


def check_latest(store: Store, key: SnapshotKey, old: Mapping[str, Any], new: Position) -> None:
    """A fold of another manifest than the stored one must be of the newest, or it may go back.

    Raises:
        ConflictError: if it is not.
    """
    archive, _ = store.read_pointer(CURRENT)
    if archive is None or old["archive_manifest"] == new.archive_manifest:
        return
    if PurePosixPath(archive["manifest"]).stem != new.archive_manifest:
        raise ConflictError(
            f"snapshot {key.prefix}",
            f"would be of archive {new.archive_manifest}, which was replaced meanwhile",
            "Fold the record again",
        )
