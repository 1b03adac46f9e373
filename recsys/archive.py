"""The archive: the canonical past of all events, as immutable Parquet files under one manifest.

    store.json                               what the store was made with (n_partitions)
    archive/CURRENT                          pointer -> the manifest that is true now
    archive/manifests/<hash>.json            immutable; names every file with its checksum
    archive/events/partition=<p>/<hash>.parquet     sorted by user_id, ts, seq

A manifest also carries each partition's *watermark*: the ledger sequence up to which the ledger's
rows stand in the archive. Files and watermark move in one publish, so no event is counted twice.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from recsys.errors import ConfigError, ConflictError, NotFoundError
from recsys.manifest import FORMAT_VERSION, DataFile, FileRef, Manifest, Partition
from recsys.schema import EVENTS, ITEMS, USERS
from recsys.store import Store, digest

STORE_POINTER = "store.json"
CURRENT = "archive/CURRENT"
MANIFESTS = "archive/manifests"
EVENT_ORDER = [(name, "ascending") for name in ("user_id", "ts", "seq", "event_id")]
_ATTEMPTS = 20

__all__ = [
    "Archive",
    "DataFile",
    "FileRef",
    "Manifest",
    "Partition",
    "create_store",
    "store_partitions",
]


def create_store(store: Store, n_partitions: int) -> None:
    """Fix the number of partitions of a new store; an existing one must agree.

    Raises:
        ConfigError: if the store was made with another number.
    """
    tree, token = store.read_pointer(STORE_POINTER)
    if tree is None:
        try:
            value = {"format_version": FORMAT_VERSION, "n_partitions": n_partitions}
            store.swap_pointer(STORE_POINTER, value, token)
        except ConflictError:
            return create_store(store, n_partitions)  # another process made it just now
        return None
    if tree["n_partitions"] != n_partitions:
        raise ConfigError(
            f"data.n_partitions = {n_partitions}",
            f"but store {store.uri} was made with {tree['n_partitions']}",
            f"Use --set data.n_partitions={tree['n_partitions']}, or ingest into a new store",
        )
    return None


def store_partitions(store: Store) -> int:
    """Number of partitions that a store was made with.

    Raises:
        NotFoundError: if nothing was ingested yet.
        ConfigError: if a newer version of Halflife made it.
    """
    tree, _ = store.read_pointer(STORE_POINTER)
    if tree is None:
        raise NotFoundError(
            f"store {store.uri}", "holds nothing yet", "Run `python -m pipelines.ingest` first"
        )
    _check_format(store, tree)
    return int(tree["n_partitions"])


def _check_format(store: Store, tree: Mapping[str, Any]) -> None:
    if tree["format_version"] > FORMAT_VERSION:
        raise ConfigError(
            f"store {store.uri}",
            f"has format {tree['format_version']}; this version reads up to {FORMAT_VERSION}",
            "Use the newer version that wrote it",
        )


class Archive:
    """The archive of one store.

    Args:
        store: where it stands; ``create_store`` was called on it once.
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    @property
    def n_partitions(self) -> int:
        """Partitions of the store."""
        return store_partitions(self.store)

    def manifest(self) -> Manifest | None:
        """The manifest that is true now; None before the first publish."""
        return self._current()[0]

    def newer(self, known: str | None) -> Manifest | None:
        """The manifest that is true now, if it is another than one that is known.

        Args:
            known: the id of that one; None = none is.
        """
        pointer, _ = self.store.read_pointer(CURRENT)
        if pointer is None or PurePosixPath(pointer["manifest"]).stem == known:
            return None
        return self._load(pointer["manifest"], pointer["sha256"])

    def _current(self) -> tuple[Manifest | None, str | None]:
        pointer, token = self.store.read_pointer(CURRENT)
        if pointer is None:
            return None, token
        return self._load(pointer["manifest"], pointer["sha256"]), token

    def at(self, manifest_id: str) -> Manifest:
        """A manifest by its id, current or past."""
        return self._load(f"{MANIFESTS}/{manifest_id}.json")

    def _load(self, path: str, sha256: str | None = None) -> Manifest:
        tree = json.loads(self.store.read(path, sha256))
        _check_format(self.store, tree)
        return Manifest.from_json(tree, PurePosixPath(path).stem)

    def publish(self, change: Callable[[Manifest], Manifest]) -> Manifest:
        """Move the archive on by one change; nothing is written if it changes nothing.

        Args:
            change: makes the new manifest from the current one. Called again when somebody else
                published in between, so it must only add to what it is given; it may raise
                ``ConflictError`` to give up where it was prepared for another manifest.

        Raises:
            ConflictError: if others keep publishing, or ``change`` raised it.
        """
        for _ in range(_ATTEMPTS):
            found, token = self._current()
            current = found if found is not None else Manifest(self.n_partitions)
            changed = change(current)
            if changed == current and found is not None:
                return current
            changed = replace(changed, parent=current.manifest_id, manifest_id=None)
            data = json.dumps(changed.to_json(), sort_keys=True, indent=1).encode()
            path = self.store.put_content(MANIFESTS, data, ".json")
            pointer = {"manifest": path, "sha256": digest(data)}
            try:
                self.store.swap_pointer(CURRENT, pointer, token)
            except ConflictError:
                continue
            return replace(changed, manifest_id=PurePosixPath(path).stem)
        raise ConflictError(
            f"archive of {self.store.uri}", "is being changed all the time", "Run it again later"
        )

    def write_events(self, partition: int, table: pa.Table) -> DataFile:
        """Write events of one partition as a file that a later ``publish`` can name.

        Args:
            partition: whose events they are.
            table: schema ``EVENTS``, at least one row; sorted here.
        """
        ordered = table.select(EVENTS.names).cast(EVENTS).sort_by(EVENT_ORDER)
        prefix = f"archive/events/partition={partition}"
        path, sha256, n_bytes = self.store.write_table(prefix, ordered)
        span = pc.min_max(pc.cast(ordered["ts"], pa.int64())).as_py()
        return DataFile(path, sha256, len(table), n_bytes, span["min"] / 1e6, span["max"] / 1e6)

    def read_files(
        self, manifest: Manifest, partition: int, columns: list[str] | None = None
    ) -> Iterable[pa.Table]:
        """The files of one partition, one table at a time, checksums verified.

        Raises:
            ConflictError: if a file was replaced since; read the manifest again.
        """
        for file in manifest.partition(partition).files:
            try:
                yield self.store.read_table(file.path, columns, file.sha256)
            except NotFoundError as error:
                self._check_named(file, partition)
                raise error

    def _check_named(self, file: DataFile, partition: int) -> None:
        current = self.manifest()
        if current is not None and file not in current.partition(partition).files:
            raise ConflictError(
                f"{self.store.uri}/{file.path}", "was replaced", "Read the archive's manifest again"
            )

    def read_partition(
        self, manifest: Manifest, partition: int, columns: list[str] | None = None
    ) -> pa.Table:
        """All archived events of one partition, of every tenant; files one after another."""
        names = EVENTS.names if columns is None else columns
        schema = pa.schema([EVENTS.field(name) for name in names])
        tables = [t.cast(schema) for t in self.read_files(manifest, partition, names)]
        return pa.concat_tables(tables) if tables else schema.empty_table()

    def items(self, manifest: Manifest, tenant: str) -> pa.Table:
        """The catalog of a tenant: schema ``ITEMS``, sorted by item_id; empty if there is none."""
        return self._read_ref(manifest.items.get(tenant), ITEMS)

    def users(self, manifest: Manifest, tenant: str) -> pa.Table:
        """What is known about users: schema ``USERS``, sorted by user_id; empty if nothing is."""
        return self._read_ref(manifest.users.get(tenant), USERS)

    def _read_ref(self, ref: FileRef | None, schema: pa.Schema) -> pa.Table:
        if ref is None:
            return schema.empty_table()
        return self.store.read_table(ref.path, schema.names, ref.sha256).cast(schema)
