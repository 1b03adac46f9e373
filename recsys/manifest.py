"""What the archive holds at one moment: an immutable list of its files, partition by partition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from recsys.schema import SCHEMA_VERSION

FORMAT_VERSION = 1


@dataclass(frozen=True)
class FileRef:
    """A content-addressed file."""

    path: str
    sha256: str


@dataclass(frozen=True)
class DataFile:
    """One Parquet file of events; times in Unix seconds."""

    path: str
    sha256: str
    n_events: int
    n_bytes: int
    min_ts: float
    max_ts: float


@dataclass(frozen=True)
class Partition:
    """The archived part of one partition."""

    files: tuple[DataFile, ...] = ()
    watermark: int = 0
    """Ledger rows of this partition with ``seq <= watermark`` stand in ``files``."""


@dataclass(frozen=True)
class Manifest:
    """Everything that the archive holds at one moment. Changes make new manifests."""

    n_partitions: int
    partitions: Mapping[int, Partition] = field(default_factory=dict)
    items: Mapping[str, FileRef] = field(default_factory=dict)
    """Catalog file by tenant."""
    users: Mapping[str, FileRef] = field(default_factory=dict)
    """File of user attributes by tenant."""
    quarantine: Mapping[str, int] = field(default_factory=dict)
    """Rows by quarantine file."""
    data_until: float | None = None
    """Time of the latest archived event, Unix seconds; None without events."""
    retained_since: float | None = None
    """Older events were removed, Unix seconds; None = none ever were. Never moves back."""
    retired: tuple[str, ...] = ()
    """Files that nothing names any more and that are to be deleted."""
    parent: str | None = None
    manifest_id: str | None = None
    """Name of the manifest's file; None before the first publish."""

    @property
    def n_events(self) -> int:
        """Archived events, of all tenants."""
        return sum(f.n_events for p in self.partitions.values() for f in p.files)

    @property
    def n_quarantined(self) -> int:
        """Rows in quarantine."""
        return sum(self.quarantine.values())

    def partition(self, partition: int) -> Partition:
        """The archived part of one partition; empty where nothing came yet."""
        return self.partitions.get(partition, Partition())

    def watermark(self, partition: int) -> int:
        """Ledger sequence up to which a partition's rows are archived; 0 = none."""
        return self.partition(partition).watermark

    def with_events(
        self, files: Mapping[int, Sequence[DataFile]], watermarks: Mapping[int, int] | None = None
    ) -> Manifest:
        """This manifest with more files, and watermarks moved on (they never move back)."""
        marks = watermarks or {}
        partitions = dict(self.partitions)
        for p in {*files, *marks}:
            old = self.partition(p)
            known = {f.path for f in old.files}
            partitions[p] = Partition(
                (*old.files, *(f for f in files.get(p, ()) if f.path not in known)),
                max(old.watermark, marks.get(p, 0)),
            )
        times = [f.max_ts for part in partitions.values() for f in part.files]
        return replace(self, partitions=partitions, data_until=max(times, default=None))

    def to_json(self) -> dict[str, Any]:
        """As plain JSON, without the id (which is the hash of it)."""
        tree = asdict(self)
        del tree["manifest_id"]
        tree["partitions"] = {str(p): asdict(v) for p, v in sorted(self.partitions.items())}
        return {
            "format_version": FORMAT_VERSION,
            "schema_version": SCHEMA_VERSION,
            "n_events": self.n_events,
            "n_quarantined": self.n_quarantined,
            **tree,
        }

    @classmethod
    def from_json(cls, tree: Mapping[str, Any], manifest_id: str) -> Manifest:
        """The inverse of ``to_json``."""
        return cls(
            n_partitions=tree["n_partitions"],
            partitions={
                int(p): Partition(tuple(DataFile(**f) for f in v["files"]), v["watermark"])
                for p, v in tree["partitions"].items()
            },
            items={tenant: FileRef(**ref) for tenant, ref in tree["items"].items()},
            users={tenant: FileRef(**ref) for tenant, ref in tree["users"].items()},
            quarantine=tree["quarantine"],
            data_until=tree["data_until"],
            retained_since=tree.get("retained_since"),
            retired=tuple(tree.get("retired", ())),
            parent=tree["parent"],
            manifest_id=manifest_id,
        )
