"""The record: archive + ledger tail, read as one. Every rebuild of anything starts here.

An event counts once whichever way it came: the rows are made unique by (tenant, user, event id),
the archive's copy first. What an erased user did before the erasure is not there, even where a
file still holds it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recsys.archive import EVENT_ORDER, Archive, Manifest
from recsys.errors import ConflictError
from recsys.ledger import Ledger
from recsys.rights.erasures import erasures_of
from recsys.schema import EVENTS, microseconds

IDENTITY = ["tenant", "user_id", "event_id"]
_MAX_CONFLICTS = 10


def event_keys(table: pa.Table) -> pa.ChunkedArray:
    """(T,) large_string: what makes an event the same event."""
    parts = [table[name].cast(pa.large_string()) for name in IDENTITY]
    return pc.binary_join_element_wise(*parts, pa.scalar("\x00", pa.large_string()))


def first_of_each(keys: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Positions of the first occurrence of each key, rising."""
    if len(keys) == 0:
        return np.empty(0, np.int64)
    codes = keys.combine_chunks().dictionary_encode().indices.to_numpy()
    return np.sort(np.unique(codes, return_index=True)[1])


def known_events(archive: Archive, manifest: Manifest, partition: int, keys: pa.Array) -> pa.Array:
    """Those of ``keys`` (see ``event_keys``) that the archive's partition already holds.

    Reads one file at a time, so memory is bounded by the largest file.
    """
    wanted = keys.combine_chunks() if isinstance(keys, pa.ChunkedArray) else keys
    found = []
    for table in archive.read_files(manifest, partition, IDENTITY):
        present = event_keys(table)
        found += present.filter(pc.is_in(present, value_set=wanted)).chunks
    return pa.concat_arrays(found) if found else pa.array([], pa.large_string())


def read_record(
    archive: Archive,
    manifest: Manifest | None,
    ledger: Ledger | None,
    partition: int,
    tenant: str,
    until: float | None = None,
) -> pa.Table:
    """All events of one partition and tenant: archive + ledger tail.

    Args:
        archive: the past.
        manifest: its state (None = nothing archived); also names the watermark.
        ledger: the tail; None where there is none.
        partition: which one.
        tenant: whose events.
        until: Unix seconds; only events with ``ts < until`` (None = all).

    Returns:
        Schema ``EVENTS``, each event once, sorted by (user_id, ts, seq, event_id); none from before
        the manifest's ``retained_since``, and none that an erasure of the ledger took away.

    Raises:
        ConflictError: if files were replaced, or rows left the ledger for a newer manifest
            meanwhile; read it again.
    """
    tables = []
    watermark, since = 0, None
    if manifest is not None:
        since = manifest.retained_since
        watermark = manifest.watermark(partition)
        tables.append(_of(archive.read_partition(manifest, partition), tenant, since, until))
    if ledger is not None:
        tail = ledger.tail(partition, watermark, tenant).select(EVENTS.names)
        _check_whole(ledger, partition, watermark)
        tables.append(_of(tail, tenant, since, until))
    table = pa.concat_tables([EVENTS.empty_table(), *(t.cast(EVENTS) for t in tables)])
    table = erasures_of(ledger, tenant).kept(table)
    return table.take(first_of_each(event_keys(table))).sort_by(EVENT_ORDER)


def read_all(
    archive: Archive,
    ledger: Ledger | None,
    tenant: str,
    until: float | None = None,
    columns: list[str] | None = None,
) -> pa.Table:
    """``read_record`` of every partition, one after another (so users stay together).

    A partition that is compacted while it is read is read again, from the newer manifest.

    Args:
        archive: the past; its current manifest is taken.
        ledger: the tail; None where there is none.
        tenant: whose events.
        until: Unix seconds; only events with ``ts < until`` (None = all).
        columns: of ``EVENTS``; None = all.

    Raises:
        ConflictError: if a partition moves on faster than it can be read.
    """
    names = EVENTS.names if columns is None else columns
    n_partitions, manifest = archive.n_partitions, archive.manifest()
    tables, partition, n_conflicts = [], 0, 0
    while partition < n_partitions:
        try:
            record = read_record(archive, manifest, ledger, partition, tenant, until)
        except ConflictError:
            n_conflicts += 1
            if n_conflicts == _MAX_CONFLICTS:
                raise
            manifest = archive.manifest()
            continue
        tables.append(record.select(names))
        partition += 1
    return pa.concat_tables(tables)


def read_user(
    archive: Archive, ledger: Ledger, partition: int, tenant: str, user_id: str, max_rows: int
) -> pa.Table | None:
    """All events of one user, as ``read_record`` has them; None where that takes too long.

    Reads one file of the user's partition at a time.

    Args:
        archive: the past; its current manifest is taken.
        ledger: the tail.
        partition: of the user.
        tenant: of the user.
        user_id: whose.
        max_rows: of the archive's partition; where it holds more, nothing is read.

    Raises:
        ConflictError: if files were replaced, or rows left the ledger meanwhile; read it again.
    """
    manifest = archive.manifest()
    since, watermark, tables = None, 0, [EVENTS.empty_table()]
    if manifest is not None:
        since, watermark = manifest.retained_since, manifest.watermark(partition)
        if sum(file.n_events for file in manifest.partition(partition).files) > max_rows:
            return None
        for table in archive.read_files(manifest, partition):
            mine = table.filter(pc.equal(table["user_id"], user_id)).cast(EVENTS)
            tables.append(_of(mine, tenant, since, None))
    tail = ledger.tail(partition, watermark, tenant).select(EVENTS.names)
    _check_whole(ledger, partition, watermark)
    tables.append(_of(tail.filter(pc.equal(tail["user_id"], user_id)), tenant, since, None))
    found = erasures_of(ledger, tenant).kept(pa.concat_tables(t.cast(EVENTS) for t in tables))
    return found.take(first_of_each(event_keys(found))).sort_by(EVENT_ORDER)


def _of(table: pa.Table, tenant: str, since: float | None, until: float | None) -> pa.Table:
    mine = pc.equal(table["tenant"], tenant)
    if since is not None:
        mine = pc.and_(mine, pc.greater_equal(table["ts"], _stamp(since)))
    if until is not None:
        mine = pc.and_(mine, pc.less(table["ts"], _stamp(until)))
    return table.filter(mine)


def _stamp(seconds: float) -> pa.Scalar:
    return pa.scalar(microseconds(seconds), pa.int64()).cast(EVENTS.field("ts").type)


def _check_whole(ledger: Ledger, partition: int, watermark: int) -> None:
    """Rows are trimmed only once archived, so a trim past the watermark means a newer manifest."""
    trimmed = ledger.trimmed_seq(partition)
    if trimmed > watermark:
        raise ConflictError(
            f"partition {partition}",
            f"was compacted to sequence {trimmed} while it was read from {watermark}",
            "Read the archive's manifest again",
        )
