"""Folding a partition's events into profiles and trend: the one way for everybody.

Bootstrap folds the whole record, a recovering shard its tail, a running shard each batch; all end
in ``fold_batch``, so what is served is what a rebuild would give.

The place in the record that a fold has reached is exact: the ledger's last sequence is fixed first,
and of the tail only rows up to it are read, however many are committed meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recsys.archive import Archive
from recsys.bundle import Bundle
from recsys.catalog import Catalog
from recsys.errors import ConflictError
from recsys.events import EventArrays, event_arrays
from recsys.interest.model import FoldBatch, InterestModel, ItemTable
from recsys.interest.profiles import ProfileTable
from recsys.interest.zero_shot import is_positive
from recsys.ledger import Ledger
from recsys.record import read_record
from recsys.settings import Settings
from recsys.snapshot import Position
from recsys.trend import TrendState

CHUNK_EVENTS = 1 << 18
"""Events per call of the fold; bounds its temporary arrays."""

_ATTEMPTS = 5


@dataclass(frozen=True)
class Basis:
    """What events are folded against."""

    catalog: Catalog
    """N items; events of others are no evidence."""
    items: ItemTable
    """Their vectors."""
    model: InterestModel
    settings: Settings
    """Sections data, interest (which also names the kinds that count for trend) and trend."""

    @classmethod
    def of(cls, bundle: Bundle, process: Settings | None = None) -> Basis:
        """What a bundle folds against, within the settings of a process."""
        settings = bundle.settings if process is None else bundle.settings_within(process)
        return cls(bundle.catalog, bundle.items, bundle.model, settings)


def empty_state(basis: Basis) -> tuple[ProfileTable, TrendState]:
    """Profiles without users and a trend without items."""
    data, settings = basis.settings.data, basis.settings
    n_dims = basis.items.n_dims
    table = ProfileTable(n_dims, settings.interest, data.kinds, data.passive_kinds)
    return table, TrendState(settings.trend.half_lives_s)


def fold_partition(record: pa.Table, basis: Basis) -> tuple[ProfileTable, TrendState]:
    """Fold a record from nothing.

    Args:
        record: schema ``EVENTS``, one tenant, each event once, any order.
        basis: of the bundle.
    """
    table, trend = empty_state(basis)
    fold_record(table, trend, record, basis)
    return table, trend


def fold_record(table: ProfileTable, trend: TrendState, record: pa.Table, basis: Basis) -> int:
    """Fold more events, given as a table, into profiles and trend in place.

    Returns:
        Number of pending events: they would be evidence if the catalog had their item.
    """
    events = event_arrays(record, basis.catalog.index)
    rows = table.rows(events.user_ids, create=True)[events.user]
    n_pending = 0
    for start in range(0, len(events), CHUNK_EVENTS):
        part = slice(start, start + CHUNK_EVENTS)
        n_pending += fold_batch(table, trend, rows[part], _batch(events, part), basis)
    return n_pending


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
    n_pending = table.fold(rows, batch, basis.model, basis.items)
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
        return record, Position(last_seq)
    # what was compacted since last_seq was read stands in the archive's files already
    return record, Position(max(last_seq, manifest.watermark(partition)), manifest.manifest_id)


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


def _batch(events: EventArrays, part: slice) -> FoldBatch:
    return FoldBatch(events.item[part], events.ts[part], events.kind[part], events.value[part])
