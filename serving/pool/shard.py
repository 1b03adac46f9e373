"""A shard: the profiles of some partitions, written through the ledger and read as of a moment.

A plain class; ``serving.pool.actor`` runs it as an actor. Two locks: commits follow one another
(``GroupCommit.lock``), and whoever touches the arrays holds ``_state``. An event is acknowledged
when it is committed *and* folded, so the next read has it; a snapshot names a ledger sequence all
of whose predecessors are folded.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from recsys.errors import ConflictError, UnavailableError
from recsys.folding import LiveEvents
from recsys.schema import Event, partition_of
from recsys.snapshot import TREND, read_meta, save_groups
from recsys.trend import TrendState
from serving.pool.commits import GroupCommit
from serving.pool.messages import AckBatch, ProfileView
from serving.pool.partition import Ground, Partition, load_partition
from serving.pool.view import hold, profile_views

log = logging.getLogger(__name__)

MAX_TEXTS = 32
"""Texts that a shard asks for at once: few, so that a visitor's own text waits for few others."""


class _Appended(NamedTuple):
    is_new: bool
    is_pending: bool


class Shard:
    """Owns partitions.

    Args:
        ground: the record, and the bundle that events are folded against.
        n_partitions: of the store.
    """

    def __init__(self, ground: Ground, n_partitions: int) -> None:
        self._ground = ground
        self._n_partitions = n_partitions
        self._partitions: dict[int, Partition] = {}
        self._torn: set[int] = set()  # owned, but not whole: loaded again at the next touch
        self._state = threading.RLock()
        self._commit: GroupCommit[tuple[int, Event], _Appended] = GroupCommit(self._commit_batch)
        self._delta = TrendState(ground.settings.trend.half_lives_s)
        self._is_reloaded = True

    def load(self, partitions: Iterable[int]) -> None:
        """Take partitions over: newest snapshot + ledger tail, or the whole record."""
        for number in partitions:
            loaded = load_partition(self._ground, number)
            with self._state:
                self._partitions[number] = loaded
                self._torn.discard(number)
                self._is_reloaded = True

    def append(self, events: Sequence[Event]) -> AckBatch:
        """Commit events to the ledger, then fold those that are new.

        Raises:
            UnavailableError: if an event's user is not of this shard's partitions.
            LedgerError: if the ledger refused; nothing was committed or folded.
        """
        owned = [(self._owned(event.user_id), event) for event in events]
        appended = self._commit(owned)
        n_new = sum(a.is_new for a in appended)
        with self._state:
            versions = {p: self._partitions[p].position.ledger_seq for p, _ in owned}
        return AckBatch(
            n_accepted=n_new,
            n_duplicates=len(appended) - n_new,
            n_pending=sum(a.is_pending for a in appended),
            versions=versions,
        )

    def read(self, user_ids: Sequence[str], as_of: float) -> Sequence[ProfileView]:
        """Profiles as of a moment; one whose latest event is later is read at that event.

        Raises:
            UnavailableError: if a user is not of this shard's partitions.
        """
        numbers = [self._owned(user_id) for user_id in user_ids]
        with self._state:
            held = hold([self._partitions[number] for number in numbers], user_ids)
        return profile_views(held, as_of, self._ground.model, self._ground.settings.interest)

    def waiting_texts(self, limit: int = MAX_TEXTS) -> list[str]:
        """At most so many distinct texts that events of this shard wait for."""
        found: dict[str, None] = {}
        with self._state:
            for partition in self._partitions.values():
                found.update(dict.fromkeys(partition.table.waiting.texts(limit)))
        return list(found)[:limit]

    def take_texts(self, texts: Sequence[str], vectors: npt.NDArray[np.float32]) -> int:
        """Fold the events that waited for texts.

        Args:
            texts: (n,) distinct; such that nothing waits for any more are passed over, so a
                repeated call changes nothing.
            vectors: (n, E) as the encoder gives them.

        Returns:
            Number of events that wait no more.
        """
        with self._state:
            owned = list(self._partitions.values())
            return sum(partition.read(self._ground, texts, vectors) for partition in owned)

    def take_trend(self, is_full: bool = False) -> tuple[bool, TrendState]:
        """What came to the trend since it was last taken.

        Args:
            is_full: take the trend of all partitions instead.

        Returns:
            Whether this is the whole trend, as it is also after a partition was loaded anew; and
            the trend.
        """
        with self._state:
            is_full = is_full or self._is_reloaded
            taken, self._delta = self._delta, TrendState(self._delta.half_lives_s)
            self._is_reloaded = False
            if is_full:
                taken = TrendState(self._delta.half_lives_s)
                for partition in self._partitions.values():
                    taken.merge(partition.trend)
            return is_full, taken

    def save_snapshots(self) -> int:
        """Write a snapshot of every partition that changed; return how many were written.

        A partition, changed or not, whose stored snapshot went ahead (somebody bootstrapped
        after an ingest) is loaded again instead.
        """
        with self._state:
            dirty = [p.number for p in self._partitions.values() if p.is_dirty]
            clean = [p.number for p in self._partitions.values() if not p.is_dirty]
        n_saved = 0
        for number in dirty:
            try:
                self._save(number)
                n_saved += 1
            except ConflictError as error:
                log.info("partition %d is loaded again: %s", number, error)
                with self._commit.lock:
                    self.load([number])
        for number in filter(self._is_behind, clean):
            with self._commit.lock:
                self.load([number])
        return n_saved

    def counts(self) -> tuple[tuple[int, ...], int, int]:
        """Partitions owned, users known, events folded since loading."""
        with self._state:
            owned = self._partitions.values()
            return (
                tuple(sorted(self._partitions)),
                sum(p.table.n_users for p in owned),
                sum(p.n_folded for p in owned),
            )

    def _is_behind(self, number: int) -> bool:
        """Whether the stored snapshot was folded from another archive than ours."""
        stored = read_meta(self._ground.store, self._ground.key(number))
        held = self._partitions[number].position.archive_manifest
        return stored is not None and stored["archive_manifest"] != held

    def _owned(self, user_id: str) -> int:
        number = partition_of(self._ground.tenant, user_id, self._n_partitions)
        if number in self._torn:
            with self._commit.lock:
                self.load([number])
        if number not in self._partitions:
            raise UnavailableError(f"partition {number}", "is not served here", "Ask the directory")
        return number

    def _commit_batch(self, owned: list[tuple[int, Event]]) -> list[_Appended]:
        sequences = self._ground.ledger.append([p for p, _ in owned], [e for _, e in owned])
        fresh: dict[int, list[Event]] = defaultdict(list)
        last_seq: dict[int, int] = {}
        for (number, event), sequence in zip(owned, sequences, strict=True):
            if sequence > 0:
                fresh[number].append(event)
                last_seq[number] = max(sequence, last_seq.get(number, 0))
        basis, first = self._ground.basis, 0
        live = LiveEvents.of([event for events in fresh.values() for event in events], basis)
        for number, events in fresh.items():
            self._fold(number, live.part(first, first + len(events)), last_seq[number])
            first += len(events)
        return [
            _Appended(sequence > 0, sequence > 0 and basis.is_pending(event))
            for (_, event), sequence in zip(owned, sequences, strict=True)
        ]

    def _fold(self, number: int, events: LiveEvents, last_seq: int) -> None:
        with self._state:
            try:
                self._delta.merge(self._partitions[number].fold(self._ground, events, last_seq))
            except Exception:
                # they are committed: what cannot be folded live is folded from the ledger, and
                # until that is done nothing may be read, or folded past them
                log.exception("partition %d is loaded again", number)
                self._partitions.pop(number, None)
                self._torn.add(number)
                self.load([number])

    def _save(self, number: int) -> None:
        with self._state:
            partition = self._partitions[number]
            groups = {**partition.table.columns(), TREND: partition.trend.columns()}
            position, rebase = partition.position, partition.is_rebuilt
            n_read = partition.n_read
        save_groups(self._ground.store, self._ground.key(number), groups, position, rebase)
        with self._state:
            partition.is_rebuilt = False
            partition.is_dirty = (partition.position, partition.n_read) != (position, n_read)
