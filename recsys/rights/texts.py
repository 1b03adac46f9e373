"""The words that one user wrote and nobody else: where they, or their vectors, are kept apart.

They are found before the user's rows are removed, for afterwards nothing tells whose they were.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from recsys.archive import Archive, Manifest
from recsys.encoder.cache import VectorCache, text_hash
from recsys.ledger import Ledger
from recsys.rights.archived import Removed
from recsys.schema import EVENTS, partition_of
from recsys.store import Store

_COLUMNS = ["tenant", "user_id", "ts", "text"]


@dataclass(frozen=True)
class Traces:
    """What the record held of a user when it was looked at."""

    texts: frozenset[str]
    """Those that nobody else wrote, of whatever tenant."""
    n_events: int
    latest: float | None
    """Unix seconds of the latest event; None = there is none."""


def traces(archive: Archive, ledger: Ledger, tenant: str, user_id: str) -> Traces:
    """Look through the record; all of it only where the user wrote something.

    Raises:
        ConflictError: if files were replaced meanwhile; look again.
    """
    manifest = archive.manifest()
    partition = partition_of(tenant, user_id, archive.n_partitions)
    texts: set[str] = set()
    n_events, latest = 0, None
    for table in _tables(archive, manifest, ledger, partition):
        mine = table.filter(_is_user(table, tenant, user_id))
        texts.update(pc.unique(mine["text"].drop_null()).to_pylist())
        n_events += len(mine)
        last = pc.max(mine["ts"].cast(pa.int64())).as_py()
        latest = last if latest is None else max(latest, latest if last is None else last)
    if len(texts) > 0:
        texts -= _of_others(archive, manifest, ledger, (tenant, user_id), texts)
    return Traces(frozenset(texts), n_events, None if latest is None else latest / 1e6)


def _tables(
    archive: Archive, manifest: Manifest | None, ledger: Ledger, partition: int
) -> Iterator[pa.Table]:
    schema = pa.schema([EVENTS.field(name) for name in _COLUMNS])
    if manifest is not None:
        for table in archive.read_files(manifest, partition, _COLUMNS):
            yield table.cast(schema)
    yield ledger.tail(partition).select(_COLUMNS).cast(schema)


def _is_user(table: pa.Table, tenant: str, user_id: str) -> pa.ChunkedArray:
    return pc.and_(pc.equal(table["tenant"], tenant), pc.equal(table["user_id"], user_id))


def _of_others(
    archive: Archive,
    manifest: Manifest | None,
    ledger: Ledger,
    user: tuple[str, str],
    texts: set[str],
) -> set[str]:
    wanted, found = pa.array(sorted(texts), pa.string()), set()
    for partition in range(archive.n_partitions):
        for table in _tables(archive, manifest, ledger, partition):
            same = table.filter(pc.is_in(table["text"], value_set=wanted))
            others = same.filter(pc.invert(_is_user(same, *user)))
            found.update(pc.unique(others["text"]).to_pylist())
    return found


def remove_vectors(store: Store, texts: frozenset[str]) -> Removed:
    """Remove the vectors of texts from the caches of all encoders."""
    names = {text_hash(text) for text in texts}
    if len(names) == 0:
        return Removed()
    encoders = {path.split("/")[1] for path in store.paths("vectors") if path.count("/") == 2}
    removed = Removed()
    for encoder in sorted(encoders):
        removed += Removed(*VectorCache(store, encoder).remove(names))
    return removed
