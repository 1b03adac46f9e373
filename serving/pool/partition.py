"""One partition in memory: its profiles, its trend, and how far they go in the record."""

from __future__ import annotations

import logging
import tempfile
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recsys import snapshot
from recsys.archive import Archive
from recsys.bundle import Bundle
from recsys.encoder.cache import VectorCache
from recsys.errors import ChecksumError, NotFoundError
from recsys.folding import (
    Basis,
    LiveEvents,
    fold_live,
    fold_partition,
    fold_record,
    fold_words,
    read_to_position,
)
from recsys.interest.model import InterestModel
from recsys.interest.profiles import ProfileTable
from recsys.interest.storage import Storage
from recsys.interest.stored import model_within
from recsys.ledger import Ledger
from recsys.restoring import check_not_replaced
from recsys.rights.erasures import Erasures, erasures_of
from recsys.schema import Event
from recsys.settings import DAY_S, Settings
from recsys.snapshot import Position, SnapshotKey
from recsys.store import Store
from recsys.trend import TrendState
from recsys.words import cached_words, texts_of

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

    @cached_property
    def basis(self) -> Basis:
        """What events are folded against; of words nothing is known, so they are waited for."""
        return Basis(self.bundle.catalog, self.bundle.items, self.model, self.settings)

    def basis_of(self, record: pa.Table) -> Basis:
        """The basis of a whole record: words that a job read before are known."""
        encoder = self.bundle.manifest["encoder"]
        if encoder is None or not self.model.reads_text:
            return self.basis
        texts = texts_of(record, self.settings.interest)
        if len(texts) == 0:
            return self.basis
        cache = VectorCache(self.store, encoder["id"])
        return replace(self.basis, words=cached_words(cache, self.model, texts))

    def storage(self, partition: int) -> Storage:
        """How the profiles of a partition are held."""
        serving = self.settings.serving
        days, folder = serving.profile_ttl_days, serving.spill_folder
        if days is None and serving.max_users_per_partition is None:
            return Storage(serving.profile_dtype)
        name = f"{quote(self.tenant, safe='')}-{partition}-{uuid.uuid4().hex}.spill"
        return Storage(
            serving.profile_dtype,
            spill=Path(tempfile.gettempdir() if folder is None else folder) / "halflife" / name,
            max_users=serving.max_users_per_partition,
            ttl_s=None if days is None else days * DAY_S,
        )

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
    n_read: int = 0
    """Events whose words came late, since it was loaded."""
    is_torn: bool = False
    """True: a fold broke off in the middle, and only loading it anew makes it whole."""

    def fold(self, ground: Ground, events: Sequence[Event] | LiveEvents, last_seq: int) -> None:
        """Fold committed events, up to a ledger sequence."""
        self.is_torn = True
        fold_live(self.table, self.trend, events, ground.basis)
        self.is_torn = False
        self.position = replace(self.position, ledger_seq=last_seq)
        self.is_dirty = True
        self.n_folded += len(events)

    def catch_up(self, ground: Ground) -> bool:
        """Fold what the ledger holds and this lacks.

        Returns:
            False where it must be loaded anew: rows in between left the ledger, somebody is in who
            was erased, or it is torn.
        """
        if self.is_torn:
            return False
        erasures = erasures_of(ground.ledger, ground.tenant)
        if self.holds_erased(erasures):
            log.info("partition %d is loaded anew without who was erased", self.number)
            return False
        position = self.position
        tail = ground.ledger.tail(self.number, position.ledger_seq, ground.tenant)
        if ground.ledger.trimmed_seq(self.number) > position.ledger_seq:
            return False
        if len(tail) > 0:
            self.is_torn = True
            fold_record(self.table, self.trend, erasures.kept(tail), ground.basis)
            self.is_torn = False
            last = int(tail["ledger_seq"][-1].as_py())
            self.position = replace(position, ledger_seq=last)
            self.is_dirty = True
            self.n_folded += len(tail)
        return True

    def is_current(self, ground: Ground, erasures: int) -> bool:
        """Whether ``catch_up`` would change nothing, which is cheaper to ask.

        Args:
            ground: with the ledger.
            erasures: ``Ledger.erasure_version`` by now.
        """
        position = self.position
        is_aware = erasures <= position.erasures
        return is_aware and ground.ledger.last_seq(self.number) == position.ledger_seq

    def is_outdated(self, ground: Ground) -> bool:
        """Whether the stored snapshot was folded from another archive than this."""
        stored = snapshot.read_meta(ground.store, ground.key(self.number))
        if stored is None:
            return False
        return bool(stored["archive_manifest"] != self.position.archive_manifest)

    def holds_erased(self, erasures: Erasures) -> bool:
        """Whether somebody is in who was erased since it was made, or since it was asked last."""
        if self.position.erasures >= erasures.version:
            return False
        if erasures.among(self.table.all_user_ids()):
            return True
        self.position = self.position.knowing(erasures.version)
        return False

    def read(self, ground: Ground, texts: Sequence[str], vectors: npt.NDArray[np.float32]) -> int:
        """Fold the events that waited for texts (n,) with vectors (n, E); return how many."""
        n_read = fold_words(self.table, texts, vectors, ground.basis)
        if n_read > 0:
            self.n_read += n_read
            self.is_dirty = True
        return n_read


def caught_up(ground: Ground, held: Partition | None, number: int) -> Partition:
    """A partition with all that the ledger holds; loaded anew where ``held`` cannot go on.

    Raises:
        LedgerError: if the ledger does not answer; ``held`` is as it was.
    """
    if held is None or not held.catch_up(ground):
        return load_partition(ground, number)
    return held


def load_partition(ground: Ground, number: int) -> Partition:
    """The newest sound snapshot and the ledger's tail after it; without one, the whole record.

    A snapshot from before an erasure that holds the user is not sound.

    Raises:
        LedgerError: if the ledger is another than that whose events were archived or folded.
    """
    loaded = _from_snapshot(ground, number) or _from_record(ground, number)
    check_not_replaced(ground.ledger, number, loaded.position.ledger_seq)
    return loaded


def _from_snapshot(ground: Ground, number: int) -> Partition | None:
    try:
        found = snapshot.load(
            ground.store, ground.key(number), ground.settings, ground.storage(number)
        )
    except (ChecksumError, NotFoundError) as error:
        log.warning("snapshot of partition %d is not sound, folding the record: %s", number, error)
        return None
    if found is None:
        return None
    partition = Partition(
        number, found.table, found.trend, found.position, is_rebuilt=False, is_dirty=False
    )
    return partition if partition.catch_up(ground) else None  # else the archive has what it lacks


def _from_record(ground: Ground, number: int) -> Partition:
    archive = Archive(ground.store)
    record, position = read_to_position(archive, ground.ledger, number, ground.tenant)
    table, trend = fold_partition(record, ground.basis_of(record), ground.storage(number))
    return Partition(
        number, table, trend, position, is_rebuilt=True, is_dirty=True, n_folded=len(record)
    )
