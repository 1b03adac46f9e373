"""Folding a partition's events into profiles and trend: the one way for everybody.

Bootstrap folds the whole record, a recovering shard its tail, a running shard each batch; all end
in ``fold_batch``, so what is served is what a rebuild would give.

Of an event whose words have no vector yet everything is folded but its evidence; it waits in the
profile table (``recsys.interest.waiting``) until ``fold_words`` is given the vector.

The place in the record that a fold has reached is exact: the ledger's last sequence is fixed first,
and of the tail only rows up to it are read, however many are committed meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recsys.archive import Archive
from recsys.bundle import Bundle
from recsys.catalog import Catalog
from recsys.errors import ConflictError
from recsys.events import NO_TEXT, UNKNOWN_ITEM, UNKNOWN_TEXT, event_arrays, says
from recsys.interest.model import FoldBatch, InterestModel, ItemTable
from recsys.interest.profiles import ProfileTable
from recsys.interest.waiting import WaitingEvent
from recsys.interest.zero_shot import is_positive
from recsys.ledger import Ledger
from recsys.record import read_record
from recsys.schema import Event
from recsys.settings import Settings
from recsys.snapshot import Position
from recsys.trend import TrendState
from recsys.words import Words, weighs

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
    words: Words | None = None
    """The texts whose vectors are known; None = none is."""

    @cached_property
    def spoken(self) -> Words | None:
        """``words``; None = the model passes words over, so nothing waits for them."""
        if not self.model.reads_text:
            return None
        return Words.none(self.model) if self.words is None else self.words

    @property
    def text_index(self) -> Mapping[str, int] | None:
        """Text -> row of what is known; None = texts are not read."""
        return None if self.spoken is None else self.spoken.index

    def item_row(self, item_id: str | None) -> int:
        """Row of an item in the catalog; ``UNKNOWN_ITEM`` where there is none."""
        return UNKNOWN_ITEM if item_id is None else self.catalog.index.get(item_id, UNKNOWN_ITEM)

    def text_row(self, event: Event) -> int:
        """``FoldBatch.text`` of one event."""
        if self.text_index is None or event.text is None or not says(event.text):
            return NO_TEXT
        if event.item_id is not None and self.item_row(event.item_id) == UNKNOWN_ITEM:
            return UNKNOWN_TEXT
        return self.text_index.get(event.text, UNKNOWN_TEXT)

    def is_pending(self, event: Event) -> bool:
        """Whether an event lacks its item, or words that would be evidence."""
        if event.item_id is not None and self.item_row(event.item_id) == UNKNOWN_ITEM:
            return True
        speaks = self.text_row(event) == UNKNOWN_TEXT
        return speaks and weighs(event.kind, self.settings.interest)

    @classmethod
    def of(cls, bundle: Bundle, process: Settings | None = None) -> Basis:
        """What a bundle folds against, within the settings of a process."""
        settings = bundle.settings if process is None else bundle.settings_within(process)
        return cls(bundle.catalog, bundle.items, bundle.model, settings)


def empty_state(basis: Basis) -> tuple[ProfileTable, TrendState]:
    """Profiles without users and a trend without items."""
    data, settings = basis.settings.data, basis.settings
    n_dims = basis.items.n_dims
    table = ProfileTable(
        n_dims, settings.interest, data.kinds, data.passive_kinds, data.itemless_kinds
    )
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
        Number of pending events: they would be evidence if their item or words were known.
    """
    events = event_arrays(record, basis.catalog.index, basis.text_index)
    rows = table.rows(events.user_ids, create=True)[events.user]
    n_pending = 0
    for start in range(0, len(events), CHUNK_EVENTS):
        part = slice(start, start + CHUNK_EVENTS)
        n_pending += fold_batch(table, trend, rows[part], FoldBatch.of(events, part), basis)
    if events.text is not None and np.any(events.text == UNKNOWN_TEXT):
        _let_wait(table, _spoken_events(record), basis)
    return n_pending


def fold_live(
    table: ProfileTable, trend: TrendState, events: Sequence[Event], basis: Basis
) -> None:
    """Fold events that were just committed into profiles and trend in place."""
    rows = table.rows([e.user_id for e in events], create=True)
    is_mute = basis.text_index is None or all(e.text is None for e in events)
    text = None if is_mute else np.array([basis.text_row(e) for e in events], np.int32)
    batch = FoldBatch(
        item=np.array([basis.item_row(e.item_id) for e in events], np.int32),
        ts=np.array([e.ts for e in events], np.float64),
        kind=np.array([*(e.kind for e in events), None], dtype=object)[:-1],
        value=np.array([np.nan if e.value is None else e.value for e in events], np.float64),
        text=text,
    )
    fold_batch(table, trend, rows, batch, basis)
    if batch.waits.any():
        _let_wait(table, events, basis)


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


def _spoken_events(record: pa.Table) -> Iterable[Event]:
    """The events of a record that say something."""
    columns = ["tenant", "event_id", "user_id", "item_id", "kind", "ts", "seq", "value", "text"]
    for row in record.filter(pc.is_valid(record["text"])).select(columns).to_pylist():
        yield Event(**{**row, "ts": row["ts"].timestamp(), "ingested_at": 0.0})


def _let_wait(table: ProfileTable, events: Iterable[Event], basis: Basis) -> None:
    """Keep the events that lack nothing but the vector of their words."""
    for event in events:
        item = basis.item_row(event.item_id)
        if event.text is None or (item == UNKNOWN_ITEM and event.item_id is not None):
            continue
        if basis.is_pending(event):
            row = int(table.rows([event.user_id])[0])
            value = np.nan if event.value is None else event.value
            table.waiting.add(WaitingEvent(row, item, event.ts, event.kind, value, event.text))
