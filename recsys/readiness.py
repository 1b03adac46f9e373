"""Whether a bundle's profiles are ready: its snapshots, and what came into the record since.

A snapshot is the fold of its partition up to a place in the record, so

    snapshot + rows of the ledger after it = the whole record folded

whatever else was served meanwhile. Two things can break the equation, and both are found here: rows
that a compaction moved into the archive and removed from the ledger (then the pool folds the whole
record, which is as exact and slower), and events that an ingest put into the archive directly (then
the profiles lack them until a bootstrap).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from recsys.archive import Archive, Manifest
from recsys.errors import NotFoundError
from recsys.ledger import Ledger
from recsys.snapshot import SnapshotKey, read_meta
from recsys.store import Store


@dataclass(frozen=True)
class Readiness:
    """The snapshots of one bundle; partitions by what a pool would find."""

    n_partitions: int
    missing: tuple[int, ...] = ()
    """No snapshot, or a file of it is gone."""
    ingested: tuple[int, ...] = ()
    """Events were ingested into the archive since; the snapshot lacks them."""
    trimmed: tuple[int, ...] = ()
    """Rows after the snapshot left the ledger: the pool folds the whole record."""
    n_tail: int = 0
    """Ledger rows, of all tenants, that the pool folds on top of the other snapshots."""

    @property
    def is_complete(self) -> bool:
        """Whether every partition has a snapshot."""
        return len(self.missing) == 0

    @property
    def is_exact(self) -> bool:
        """Whether a pool that loads now serves exactly the record."""
        return self.is_complete and len(self.ingested) == 0

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready counts."""
        return {
            "n_partitions": self.n_partitions,
            "n_missing": len(self.missing),
            "n_ingested_since": len(self.ingested),
            "n_folded_from_record": len(self.trimmed),
            "n_tail_events": self.n_tail,
            "exact": self.is_exact,
        }

    def in_words(self) -> str:
        """What happens with the events since the snapshots, when a pool loads them."""
        if not self.is_complete:
            return (
                f"{len(self.missing)} of {self.n_partitions} partitions have no snapshot; "
                "the pool would fold their whole record when it loads"
            )
        parts = [
            "no event is lost: the snapshots hold the record up to their place, and the "
            f"{self.n_tail} ledger rows since are folded on top when the pool loads"
        ]
        if len(self.trimmed) > 0:
            parts.append(
                f"{len(self.trimmed)} partitions are folded from the whole record, because their "
                "rows were compacted out of the ledger"
            )
        if len(self.ingested) > 0:
            parts.append(
                f"but {len(self.ingested)} partitions lack events that were ingested since: run "
                "`python -m pipelines.bootstrap --bundle ID`"
            )
        else:
            parts.append("the result is exact")
        return "; ".join(parts)


def readiness_of(store: Store, ledger: Ledger, tenant: str, bundle_id: str) -> Readiness:
    """Look at the snapshots of a bundle.

    Args:
        store: where they are.
        ledger: the tail of the record.
        tenant: whose.
        bundle_id: which bundle.

    Raises:
        NotFoundError: if nothing was ingested yet.
    """
    archive = Archive(store)
    newest = archive.manifest()
    there = set(store.paths(f"snapshots/{tenant}/{bundle_id}"))
    lacking: dict[str | None, frozenset[int]] = {}
    missing, ingested, trimmed, n_tail = [], [], [], 0
    for partition in range(archive.n_partitions):
        meta = read_meta(store, SnapshotKey(tenant, bundle_id, partition))
        if meta is None or any(file["path"] not in there for file in meta["files"].values()):
            missing.append(partition)
            continue
        folded = meta["archive_manifest"]
        if folded not in lacking:
            lacking[folded] = frozenset(_ingested_since(archive, newest, folded))
        if ledger.trimmed_seq(partition) > meta["ledger_seq"]:
            trimmed.append(partition)  # folded anew from the record, what was ingested included
        elif partition in lacking[folded]:
            ingested.append(partition)
        else:
            n_tail += ledger.last_seq(partition) - meta["ledger_seq"]
    return Readiness(archive.n_partitions, tuple(missing), tuple(ingested), tuple(trimmed), n_tail)


def n_snapshots(store: Store, tenant: str, bundle_id: str) -> int:
    """How many partitions of a bundle have a snapshot."""
    paths = store.paths(f"snapshots/{tenant}/{bundle_id}")
    return sum(path.endswith("/CURRENT") for path in paths)


def _ingested_since(archive: Archive, newest: Manifest | None, folded: str | None) -> Iterator[int]:
    """Partitions that got files since a manifest other than by compaction.

    A compaction moves a partition's watermark with its files; an ingest leaves the watermark.
    """
    after = newest
    while after is not None and after.manifest_id != folded:
        try:
            before = None if after.parent is None else archive.at(after.parent)
        except NotFoundError:
            yield from range(archive.n_partitions)  # history was removed: nothing is known
            return
        for partition, part in after.partitions.items():
            old = () if before is None else before.partition(partition).files
            mark = 0 if before is None else before.watermark(partition)
            if len(part.files) > len(old) and part.watermark == mark:
                yield partition
        after = before
