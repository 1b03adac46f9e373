"""A ledger that took the place of a lost one: an empty file where a broken one stood, or a backup.

The archive and the snapshots know sequences that such a database never gave. Events that it took
under those would count as archived already, so nothing may be written before ``restore_partition``.
Rows that were lost and not compacted yet are lost; the ids of late events are known again.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from recsys.archive import Archive, Manifest
from recsys.errors import LedgerError
from recsys.ledger import Ledger
from recsys.schema import EVENTS, microseconds
from recsys.snapshot import SnapshotKey, read_meta
from recsys.store import Store

_IDS = ["tenant", "user_id", "event_id", "ts"]


def check_not_replaced(ledger: Ledger, partition: int, known_seq: int) -> None:
    """Refuse to write to a ledger that never gave a sequence which others know.

    Args:
        ledger: that is to be written.
        partition: where.
        known_seq: the sequence that an archive's watermark or a snapshot names, read before.

    Raises:
        LedgerError: if it is such a one.
    """
    last_seq = ledger.last_seq(partition)
    if last_seq < known_seq:
        raise LedgerError(
            f"partition {partition} of the ledger",
            f"ends at sequence {last_seq}, but archive or snapshots know {known_seq}: the database"
            " is another one than it was, or an old backup",
            "Restore the newer one, or run `python -m pipelines.bootstrap`: events that are in"
            " neither are lost then",
            (partition,),
        )


def restore_partition(
    archive: Archive, ledger: Ledger, key: SnapshotKey, ids_after_ts: float
) -> bool:
    """Let a ledger go on where a lost one ended; nothing changes where it is the one it was.

    Args:
        archive: the past.
        ledger: the one that took its place.
        key: which partition, and whose snapshot is held against the ledger.
        ids_after_ts: archived events from then on (Unix seconds) may come again: their ids are
            registered.

    Returns:
        Whether it was another one.
    """
    partition, manifest = key.partition, archive.manifest()
    known = _known_seq(archive.store, manifest, key)
    if ledger.last_seq(partition) >= known:
        return False
    if manifest is not None:
        start = pa.scalar(microseconds(ids_after_ts), pa.int64()).cast(EVENTS.field("ts").type)
        for table in archive.read_files(manifest, partition, _IDS):
            young = table.filter(pc.greater_equal(table["ts"], start))
            if len(young) > 0:
                ledger.register_archived([partition] * len(young), young)
    for other in _snapshots(archive.store, partition):
        known = max(known, _known_seq(archive.store, manifest, other))
    ledger.start_after(partition, known)  # last: until then it is done again
    return True


def _known_seq(store: Store, manifest: Manifest | None, key: SnapshotKey) -> int:
    """The highest sequence of a partition that the archive, or a snapshot, names."""
    meta = read_meta(store, key)
    return max(
        0 if manifest is None else manifest.watermark(key.partition),
        0 if meta is None else meta["ledger_seq"],
    )


def _snapshots(store: Store, partition: int) -> Iterator[SnapshotKey]:
    """The snapshots of a partition, of all tenants and bundles."""
    for path in store.paths("snapshots"):
        parts = path.split("/")
        if len(parts) >= 5 and parts[-2:] == [str(partition), "CURRENT"]:
            yield SnapshotKey("/".join(parts[1:-3]), parts[-3], partition)
