"""The archive without erased users: files that hold events of theirs are written anew.

As for retention (``recsys.retention``): new files first, then one publish that names them and
calls the old ones retired, then the old ones are deleted. Whoever publishes events looks after it
whether somebody was erased meanwhile; so one of the two, that job or the erasure, sees the other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from recsys.archive import Archive, DataFile, FileRef, Manifest
from recsys.errors import ConflictError, NotFoundError
from recsys.retention import Keep, delete_retired, replaced, rewrite_partition
from recsys.rights.erasures import Erasures, Tombs, erasures_of
from recsys.schema import USERS

FOLLOWS = USERS.field("follows").type
_ATTEMPTS = 10


@dataclass(frozen=True)
class Removed:
    """What left one place."""

    n_files: int = 0
    """Files that were written anew, or deleted."""
    n_rows: int = 0
    """Rows that were removed; of a file that was deleted for a row, all count."""

    def __add__(self, other: Removed) -> Removed:
        return Removed(self.n_files + other.n_files, self.n_rows + other.n_rows)


def without_erased(
    archive: Archive, ledger: Tombs, known: Erasures, ours: Mapping[int, Sequence[DataFile]]
) -> Manifest | None:
    """Take who was erased since out of files that were just published.

    Args:
        archive: where.
        ledger: knows who was erased.
        known: the erasures that the files heed already.
        ours: the files, by partition.

    Returns:
        The newest manifest; None where nothing was to do.
    """
    erasures = erasures_of(ledger, known.tenant)
    if erasures.version == known.version:
        return None
    for partition, files in ours.items():
        paths = {file.path for file in files}
        remove_events(archive, partition, erasures.stays, paths)
    return archive.manifest()


def remove_events(
    archive: Archive, partition: int, keep: Keep, only: Collection[str] | None = None
) -> Removed:
    """Remove events of a partition from the archive, and the files that held them.

    Args:
        archive: where.
        partition: which.
        keep: which events stay.
        only: paths of the files to look at; None = all.

    Raises:
        ConflictError: if the archive moves on faster than its files are written.
    """
    for attempt in range(_ATTEMPTS):
        manifest = archive.manifest()
        if manifest is None:
            break
        try:
            return _removed_events(archive, manifest, partition, keep, only)
        except (ConflictError, NotFoundError):
            if attempt == _ATTEMPTS - 1:
                raise
    return Removed()


def _removed_events(
    archive: Archive,
    manifest: Manifest,
    partition: int,
    keep: Keep,
    only: Collection[str] | None,
) -> Removed:
    def is_touched(file: DataFile) -> bool:
        return only is None or file.path in only

    rewrites = rewrite_partition(archive, manifest, partition, keep, is_touched)
    held = {file.path: file for file in manifest.partition(partition).files}
    n_rows = sum(
        held[path].n_events - sum(file.n_events for file in files)
        for path, files in rewrites.items()
    )

    def change(current: Manifest) -> Manifest:
        named = {file.path for file in current.partition(partition).files}
        if not set(rewrites) <= named:
            raise ConflictError("archive", "was rewritten by another job", "Run it again")
        return replaced(current, rewrites)

    if len(rewrites) > 0:
        archive.publish(change)
    archive.store.settle()
    delete_retired(archive)
    return Removed(len(rewrites), n_rows)


def remove_orphans(
    archive: Archive, partition: int, keep: Keep, before: float
) -> tuple[Removed, list[str]]:
    """Delete old files of a partition that no manifest names, which a job left that died.

    Args:
        archive: where.
        partition: which.
        keep: which events stay.
        before: Unix seconds; a file that was written later may be about to be named.

    Returns:
        What was deleted, and younger files that hold events which do not stay.
    """
    store, removed, left = archive.store, Removed(), []
    manifest = archive.manifest()
    named = set() if manifest is None else {f.path for f in manifest.partition(partition).files}
    for path in store.paths(f"archive/events/partition={partition}"):
        written = None if path in named else store.modified(path)
        if written is None:
            continue
        table = store.read_table(path)
        if keep(table).all():
            continue
        if written < before:
            store.delete(path)
            removed += Removed(1, len(table))
        else:
            left.append(path)
    return removed, left


def remove_attributes(archive: Archive, tenant: str, user_id: str) -> Removed:
    """Remove a user from what is known about users, and from whom others follow.

    Tables that nothing names any more, from before a later ingest, are deleted if they hold the
    user.
    """
    store = archive.store

    def change(current: Manifest) -> Manifest:
        if tenant not in current.users:
            return current
        table = archive.users(current, tenant)
        cleaned = _without_user(table, user_id)
        if cleaned.equals(table):
            return current
        path, sha256, _ = store.write_table("users", cleaned)
        users = {**current.users, tenant: FileRef(path, sha256)}
        return replace(current, users=users)

    if archive.manifest() is None:
        return Removed()
    before = archive.manifest()
    named = {ref.path for ref in archive.publish(change).users.values()}
    removed = Removed()
    for path in store.paths("users"):
        if path in named:
            continue
        table = store.read_table(path)
        cleaned = _without_user(table, user_id)
        is_of_tenant = pc.any(pc.equal(table["tenant"], tenant)).as_py()
        if is_of_tenant and not cleaned.equals(table):
            store.delete(path)
            was_named = before is not None and path in {r.path for r in before.users.values()}
            n_rows = len(table) - len(cleaned) if was_named else len(table)
            removed += Removed(1, n_rows)
    return removed


def _without_user(users: pa.Table, user_id: str) -> pa.Table:
    rest = users.filter(pc.not_equal(users["user_id"], user_id))
    follows = [
        None if names is None else [name for name in names if name != user_id]
        for names in rest["follows"].to_pylist()
    ]
    place = rest.column_names.index("follows")
    return rest.set_column(place, rest.schema.field(place), pa.array(follows, FOLLOWS))
