"""One partition in memory: its profiles, its trend, and how far they go in the record."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from recsys import snapshot
from recsys.archive import Archive
from recsys.bundle import Bundle
from recsys.errors import ChecksumError, NotFoundError
from recsys.events import UNKNOWN_ITEM
from recsys.folding import Basis, fold_batch, fold_partition, fold_record, read_to_position
from recsys.interest.model import FoldBatch, InterestModel
from recsys.interest.profiles import ProfileTable
from recsys.interest.stored import model_within
from recsys.ledger import Ledger
from recsys.schema import Event
from recsys.settings import Settings
from recsys.snapshot import Position, SnapshotKey
from recsys.store import Store
from recsys.trend import TrendState

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ground:
    """What partitions stand on: where the record is, and what events are folded against."""

    store: Store
    ledger: Ledger
    bundle: Bundle
    tenant: str
    settings: Settings
    """The bundle's where it fixes them, else those of the process."""
    model: InterestModel
    """The bundle's, but for the ranking weights that the process fixes."""

    @classmethod
    def of(cls, bundle: Bundle, ledger: Ledger, settings: Settings) -> Ground:
        """The ground of a bundle in a process with its own settings."""
        return cls(
            store=bundle.store,
            ledger=ledger,
            bundle=bundle,
            tenant=bundle.tenant,
            settings=bundle.settings_within(settings),
            model=model_within(bundle.model, settings.ranking),
        )

    @property
    def basis(self) -> Basis:
        """What events are folded against."""
        return Basis(self.bundle.catalog, self.bundle.items, self.model, self.settings)

    def key(self, partition: int) -> SnapshotKey:
        """Which snapshot a partition starts from."""
        return SnapshotKey(self.tenant, self.bundle.bundle_id, partition)


@dataclass
class Partition:
    """The state of one partition; guarded by its shard's lock."""

    number: int
    table: ProfileTable
    trend: TrendState
    position: Position
    is_rebuilt: bool
    """True: folded anew from the record, not carried on from a snapshot."""
    is_dirty: bool
    """True: holds events that no snapshot holds."""
    n_folded: int = 0
    """Events folded since it was loaded, the tail included."""

    def fold(self, ground: Ground, events: Sequence[Event], last_seq: int) -> TrendState:
        """Fold committed events, up to a ledger sequence.

        Returns:
            What they add to the trend.
        """
        index = ground.bundle.catalog.index
        batch = FoldBatch(
            item=np.array([item_row(index, e.item_id) for e in events], np.int32),
            ts=np.array([e.ts for e in events], np.float64),
            kind=np.array([*(e.kind for e in events), None], dtype=object)[:-1],
            value=np.array([np.nan if e.value is None else e.value for e in events], np.float64),
        )
        rows = self.table.rows([e.user_id for e in events], create=True)
        fresh = TrendState(self.trend.half_lives_s)
        fold_batch(self.table, fresh, rows, batch, ground.basis)
        self.trend.merge(fresh)
        self.position = replace(self.position, ledger_seq=last_seq)
        self.is_dirty = True
        self.n_folded += len(events)
        return fresh


def item_row(index: dict[str, int], item_id: str | None) -> int:
    """Row of an item in the catalog; ``UNKNOWN_ITEM`` where there is none."""
    return UNKNOWN_ITEM if item_id is None else index.get(item_id, UNKNOWN_ITEM)


def load_partition(ground: Ground, number: int) -> Partition:
    """The newest sound snapshot and the ledger's tail after it; without one, the whole record."""
    return _from_snapshot(ground, number) or _from_record(ground, number)


def _from_snapshot(ground: Ground, number: int) -> Partition | None:
    try:
        found = snapshot.load(ground.store, ground.key(number), ground.settings)
    except (ChecksumError, NotFoundError) as error:
        log.warning("snapshot of partition %d is not sound, folding the record: %s", number, error)
        return None
    if found is None:
        return None
    position = found.position
    tail = ground.ledger.tail(number, position.ledger_seq, ground.tenant)
    if ground.ledger.trimmed_seq(number) > position.ledger_seq:
        return None  # rows after the snapshot left the ledger; the archive has them
    if len(tail) > 0:
        fold_record(found.table, found.trend, tail, ground.basis)
        position = replace(position, ledger_seq=int(tail["ledger_seq"][-1].as_py()))
    return Partition(
        number,
        found.table,
        found.trend,
        position,
        is_rebuilt=False,
        is_dirty=len(tail) > 0,
        n_folded=len(tail),
    )


def _from_record(ground: Ground, number: int) -> Partition:
    archive = Archive(ground.store)
    record, position = read_to_position(archive, ground.ledger, number, ground.tenant)
    table, trend = fold_partition(record, ground.basis)
    return Partition(
        number, table, trend, position, is_rebuilt=True, is_dirty=True, n_folded=len(record)
    )
