"""Folding a partition's events into profiles and trend: the one way for everybody.

Bootstrap folds the whole record, a recovering shard its tail, a running shard each batch; all end
in ``fold_batch``, so what is served is what a rebuild would give.

Of an event whose words have no vector yet everything is folded but its evidence; it waits in the
profile table (``recsys.interest.waiting``) until ``fold_words`` is given the vector.

The place in the record that a fold has reached is exact: the ledger's last sequence is fixed first,
and of the tail only rows up to it are read, however many are committed meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recsys.archive import Archive
from recsys.basis import Basis
from recsys.errors import ConflictError
from recsys.events import UNKNOWN_TEXT, event_arrays
from recsys.interest.id_map import IdBytes
from recsys.interest.model import FoldBatch
from recsys.interest.profiles import ProfileTable
from recsys.interest.storage import Storage
from recsys.interest.zero_shot import is_positive
from recsys.ledger import Ledger
from recsys.live_events import LiveEvents, only_lacks_words, waiting_event
from recsys.record import read_record
from recsys.schema import Event
from recsys.snapshot import Position
from recsys.trend import TrendState

__all__ = [
    "CHUNK_EVENTS",
    "Basis",
    "LiveEvents",
    "empty_state",
    "fold_batch",
    "fold_live",
    "fold_partition",
    "fold_record",
    "fold_words",
    "read_to_position",
]

CHUNK_EVENTS = 1 << 18
"""Events per call of the fold; bounds its temporary arrays."""

_ATTEMPTS = 5


def empty_state(basis: Basis, storage: Storage | None = None) -> tuple[ProfileTable, TrendState]:
    """Profiles without users, held as ``storage`` (or the settings) say; a trend without items."""
    data, settings = basis.settings.data, basis.settings
    if storage is None:
        storage = Storage(settings.serving.profile_dtype)
    table = ProfileTable(
        basis.items.n_dims,
        settings.interest,
        data.kinds,
        data.passive_kinds,
        data.itemless_kinds,
        storage,
    )
    return table, TrendState(settings.trend.half_lives_s)


def fold_partition(
    record: pa.Table, basis: Basis, storage: Storage | None = None
) -> tuple[ProfileTable, TrendState]:
    """Fold a record from nothing.

    Args:
        record: schema ``EVENTS``, one tenant, each event once, any order.
        basis: of the bundle.
        storage: how profiles are held; None = as ``serving`` says, all in memory.
    """
    table, trend = empty_state(basis, storage)
    fold_record(table, trend, record, basis)
    return table, trend


def fold_record(table: ProfileTable, trend: TrendState, record: pa.Table, basis: Basis) -> int:
    """Fold more events, given as a table, into profiles and trend in place.

    Returns:
        Number of pending events: they would be evidence if their item or words were known.
    """
    table.wishes.take_record(record)
    events = event_arrays(record, basis.catalog.index, basis.text_index)
    ids, n_pending = IdBytes.of(events.user_ids), 0
    for start in range(0, len(events), CHUNK_EVENTS):
        some = slice(start, start + CHUNK_EVENTS)
        first, last = int(events.user[start]), int(events.user[some][-1]) + 1  # sorted by user
        rows = table.rows(ids.part(first, last), create=True)[events.user[some] - first]
        n_pending += fold_batch(table, trend, rows, FoldBatch.of(events, some), basis)
        table.trim()
    if events.text is not None and np.any(events.text == UNKNOWN_TEXT):
        _let_wait(table, _spoken_events(record), basis)
    return n_pending


def fold_live(
    table: ProfileTable, trend: TrendState, events: Sequence[Event] | LiveEvents, basis: Basis
) -> None:
    """Fold events that were just committed into profiles and trend in place.

    Args:
        table: the profiles.
        trend: what the events are added to.
        events: as they came; or a part of ``LiveEvents``, where a batch goes to many tables.
        basis: what they are folded against.
    """
    live = events if isinstance(events, LiveEvents) else LiveEvents.of(events, basis)
    table.wishes.take(event for _, event in live.wishes)
    if len(live) == 0:
        return
    rows = table.rows(live.ids, create=True)
    table.apply(rows, live.prepared)
    trend.add(live.prepared.item, live.prepared.ts, live.weight)
    for n, event in live.waiting:
        table.waiting.add(waiting_event(int(rows[n]), event, basis))
    table.trim()


def fold_words(
    table: ProfileTable, texts: Sequence[str], vectors: npt.NDArray[np.float32], basis: Basis
) -> int:
    """Fold the events that waited for some texts, as evidence.

    Args:
        table: the profiles.
        texts: (M,) distinct; such that nothing waits for are passed over.
        vectors: (M, E) as the encoder gives them.
        basis: what the events are folded against.

    Returns:
        Number of events that wait no more.
    """
    found = basis.model.text_table(np.asarray(vectors, np.float32))  # before anything is taken
    rows, batch = table.waiting.take(texts)
    if len(rows) > 0:
        table.fold_evidence(rows, batch, basis.model, basis.items, found)
    return len(rows)


def fold_batch(
    table: ProfileTable,
    trend: TrendState,
    rows: npt.NDArray[np.int64],
    batch: FoldBatch,
    basis: Basis,
) -> int:
    """Fold a batch of events into profiles and trend in place; any order gives the same state.

    Args:
        table: the profiles.
        trend: the trend of the same partition; positive events count 1.
        rows: (T,) row in ``table`` of each event's user.
        batch: the T events, each for the first time.
        basis: what they are folded against.

    Returns:
        Number of pending events.
    """
    texts = None if basis.spoken is None else basis.spoken.table
    n_pending = table.fold(rows, batch, basis.model, basis.items, texts)
    counts = is_positive(batch.kind, batch.value, basis.settings.interest)
    trend.add(batch.item, batch.ts, counts.astype(np.float64))
    return n_pending


def read_to_position(
    archive: Archive, ledger: Ledger | None, partition: int, tenant: str
) -> tuple[pa.Table, Position]:
    """The record of a partition, and the exact place up to which it goes.

    Returns:
        The record (schema ``EVENTS``), and its position: the ledger's rows after it are not in
        the record, all others are.

    Raises:
        ConflictError: if the archive moves on faster than it can be read.
    """
    version = 0 if ledger is None else ledger.erasure_version(tenant)  # at least these are applied
    last_seq = 0 if ledger is None else ledger.last_seq(partition)
    prefix = None if ledger is None else cast("Ledger", _LedgerPrefix(ledger, last_seq))
    for attempt in range(_ATTEMPTS):
        manifest = archive.manifest()
        try:
            record = read_record(archive, manifest, prefix, partition, tenant)
        except ConflictError:
            if attempt == _ATTEMPTS - 1:
                raise
        else:
            break
    if manifest is None:
        return record, Position(last_seq, erasures=version)
    # what was compacted since last_seq was read stands in the archive's files already
    last = max(last_seq, manifest.watermark(partition))
    return record, Position(last, manifest.manifest_id, version)


@dataclass(frozen=True)
class _LedgerPrefix:
    """The rows of a ledger up to a sequence: the part of ``Ledger`` that reading takes."""

    ledger: Ledger
    last: int

    def tail(self, partition: int, after_seq: int = 0, tenant: str | None = None) -> pa.Table:
        rows = self.ledger.tail(partition, after_seq, tenant)
        return rows.filter(pc.less_equal(rows["ledger_seq"], self.last))

    def trimmed_seq(self, partition: int) -> int:
        return self.ledger.trimmed_seq(partition)

    def tombstones(self, tenant: str) -> list[tuple[str, float]]:
        return self.ledger.tombstones(tenant)

    def get_value(self, key: str) -> tuple[str, int] | None:
        return self.ledger.get_value(key)


def _spoken_events(record: pa.Table) -> Iterable[Event]:
    """The events of a record that say something."""
    columns = ["tenant", "event_id", "user_id", "item_id", "kind", "ts", "seq", "value", "text"]
    for row in record.filter(pc.is_valid(record["text"])).select(columns).to_pylist():
        yield Event(**{**row, "ts": row["ts"].timestamp(), "ingested_at": 0.0})


def _let_wait(table: ProfileTable, events: Iterable[Event], basis: Basis) -> None:
    """Keep the events that lack nothing but the vector of their words."""
    for event in events:
        if only_lacks_words(event, basis):
            row = int(table.rows([event.user_id])[0])
            table.waiting.add(waiting_event(row, event, basis))
