"""A shard: the profiles of some partitions, written through the ledger and read as of a moment.

A plain class; ``serving.pool.actor`` runs it as an actor. Two locks: commits follow one another
(``GroupCommit.lock``), and whoever touches the arrays holds ``_state``. An event is acknowledged
when it is committed *and* folded, so the next read has it; a snapshot names a ledger sequence all
of whose predecessors are folded.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from recsys.errors import (
    ConflictError,
    LedgerError,
    RecsysError,
    StaleEpochError,
    WrongOwnerError,
)
from recsys.folding import LiveEvents
from recsys.ledger import ERASED
from recsys.rights.erasures import erasures_of
from recsys.schema import Event, partition_of
from recsys.snapshot import TREND, read_meta, save_groups
from recsys.trend import TrendState
from serving.pool.commits import GroupCommit
from serving.pool.failpoints import failpoint
from serving.pool.leases import Leases
from serving.pool.messages import AckBatch, ProfileView
from serving.pool.meters import Meters
from serving.pool.partition import Ground, Partition, load_partition
from serving.pool.view import hold, profile_views

log = logging.getLogger(__name__)

OPENING_TIMEOUT_S = 2.0
MAX_TEXTS = 32
"""Texts that a shard asks for at once: few, so that a visitor's own text waits for few others."""


class _Appended(NamedTuple):
    is_new: bool
    is_pending: bool
    is_refused: bool


class Shard:
    """Owns partitions.

    Args:
        ground: the record, and the bundle that events are folded against.
        n_partitions: of the store.
        leases: what this process may answer for.
        meters: told what happens.
        sleep: waits for a lease of another to end.
    """

    def __init__(
        self,
        ground: Ground,
        n_partitions: int,
        leases: Leases,
        meters: Meters | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._ground = ground
        self._n_partitions = n_partitions
        self._leases = leases
        self._meters = Meters() if meters is None else meters
        self._sleep = sleep
        self._partitions: dict[int, Partition] = {}
        self._prepared: dict[int, Partition] = {}
        self._failed: dict[int, str] = {}
        self._behind: set[int] = set()  # the ledger may hold more than is folded
        self._torn: set[int] = set()  # a fold broke off: only loading it anew makes it whole
        self._state = threading.RLock()
        self._opening = threading.Lock()
        self._commit: GroupCommit[tuple[int, Event], _Appended] = GroupCommit(self._commit_batch)
        self._delta = TrendState(ground.settings.trend.half_lives_s)
        self._is_reloaded = True

    def open(self, partitions: Iterable[int]) -> tuple[int, ...]:
        """Take partitions over and serve each as soon as it is up; those served are left alone.

        A partition that cannot be loaded, or that somebody else claims meanwhile, is passed over.

        Returns:
            All partitions that are served; without those asked for where others are opened just
            now, and take long.
        """
        if not self._opening.acquire(timeout=OPENING_TIMEOUT_S):
            return self.owned()
        try:
            asked = list(partitions)
            self._lose(self._leases.renew(asked))  # it may not know yet that it lost some
            wanted = [p for p in asked if p not in self._partitions]
            failpoint("open.before_claim")
            may_open_at = self._claim(wanted)
            failpoint("open.after_claim")
            for number, moment in may_open_at.items():
                self._open(number, moment)
        finally:
            self._opening.release()
        return self.owned()

    def _claim(self, numbers: list[int]) -> dict[int, float]:
        """Partition -> moment from which it may be served; without those that cannot be claimed."""
        try:
            wait_s = self._leases.claim(numbers) if numbers else 0.0
        except LedgerError as error:
            if len(numbers) == 1:
                log.exception("partition %d cannot be claimed; the others are served", numbers[0])
                self._failed[numbers[0]] = str(error)
                return {}
            return {p: t for number in numbers for p, t in self._claim([number]).items()}
        return dict.fromkeys(numbers, self._leases.now() + wait_s)

    def _open(self, number: int, may_open_at: float) -> None:
        started = time.perf_counter()
        try:
            partition = self._caught_up(self._prepared.pop(number, None), number)
            self._sleep(max(0.0, may_open_at - self._leases.now()))
            if self._leases.confirm([number]):
                log.warning("partition %d was claimed by another shard", number)
                return
        except RecsysError as error:
            log.exception("partition %d cannot be opened; the others are served", number)
            self._failed[number] = str(error)
            return
        failpoint("open.before_serving")
        with self._state:
            self._partitions[number] = partition
            self._failed.pop(number, None)
            self._whole(number)
        self._meters.opened(time.perf_counter() - started, partition.n_folded)

    def prepare(self, number: int) -> int:
        """Load a partition that is another's, so that taking it over is short; return its version.

        Called again it catches up: so a warm standby is kept.
        """
        held = self._prepared.get(number)
        prepared = self._caught_up(held, number)
        with self._state:
            self._prepared[number] = prepared
        return prepared.position.ledger_seq

    def hand_over(self, number: int) -> None:
        """Give a partition up: everything acknowledged is in the ledger for the next owner."""
        failpoint("hand_over.before")
        with self._commit.lock:  # no commit is on its way now, and none comes after
            with self._state:
                self._partitions.pop(number, None)
                self._is_reloaded = True
            failpoint("hand_over.before_release")
            self._leases.release([number])
        failpoint("hand_over.after")
        self._meters.handed_over()

    def owned(self) -> tuple[int, ...]:
        """Partitions that are served, ascending."""
        with self._state:
            return tuple(sorted(self._partitions))

    def failed(self) -> dict[int, str]:
        """Partition -> why it cannot be opened."""
        with self._state:
            return dict(self._failed)

    def renew(self) -> None:
        """Look whether all partitions are still ours, and let go of those that are not."""
        self._lose(self._leases.renew())

    def forget(self) -> tuple[int, ...]:
        """Load those partitions anew that hold somebody who was erased since they were loaded.

        Commits wait only while the last events of such a partition are folded.

        Returns:
            Which they were.
        """
        ledger, tenant = self._ground.ledger, self._ground.tenant
        if not self._unaware(ledger.erasure_version(tenant)):
            return ()
        erasures = erasures_of(ledger, tenant)
        with self._commit.lock:
            pass  # what the ledger took before the erasure is folded now, and it takes none after
        concerned = []
        for number in self._unaware(erasures.version):
            with self._state:
                partition = self._partitions.get(number)
                users = [] if partition is None else list(partition.table.all_user_ids())
            if erasures.among(users):
                self._forget(number)
                concerned.append(number)
            elif partition is not None:
                with self._state:
                    partition.position = partition.position.knowing(erasures.version)
        return tuple(concerned)

    def _unaware(self, version: int) -> list[int]:
        """Partitions that were not looked through for who was erased."""
        with self._state:
            owned = self._partitions.values()
            return [p.number for p in owned if p.position.erasures < version]

    def _forget(self, number: int) -> None:
        loaded = load_partition(self._ground, number)
        with self._commit.lock, self._state:
            if number in self._partitions:
                self._partitions[number] = self._caught_up(loaded, number)
                self._whole(number)

    def append(self, events: Sequence[Event]) -> AckBatch:
        """Commit events to the ledger, then fold those that are new.

        Raises:
            WrongOwnerError: if an event's user is not of this shard's partitions.
            LedgerError: if the ledger refused; none was acknowledged, and sending them again with
                the same ids is safe.
        """
        started = time.perf_counter()
        owned = [(self._owned(event.user_id), event) for event in events]
        appended = self._commit(owned)
        n_new = sum(a.is_new for a in appended)
        with self._state:
            versions = {p: self._version(p) for p, _ in owned}
        refused = tuple(
            e.event_id for a, (_, e) in zip(appended, owned, strict=True) if a.is_refused
        )
        n_duplicates = len(appended) - n_new - len(refused)
        self._meters.appended(n_new, n_duplicates, time.perf_counter() - started)
        return AckBatch(
            n_accepted=n_new,
            n_duplicates=n_duplicates,
            n_pending=sum(a.is_pending for a in appended),
            versions=versions,
            refused=refused,
        )

    def _version(self, number: int) -> int:
        """Ledger sequence that is folded in.

        Raises:
            WrongOwnerError: if the partition was handed over since.
        """
        if number not in self._partitions:
            raise WrongOwnerError.of(number, self._leases.owner.name)
        return self._partitions[number].position.ledger_seq

    def read(self, user_ids: Sequence[str], as_of: float) -> Sequence[ProfileView]:
        """Profiles as of a moment; one whose latest event is later is read at that event.

        Raises:
            WrongOwnerError: if a user is not of this shard's partitions, or no longer.
        """
        numbers = [self._owned(user_id) for user_id in user_ids]
        with self._state:
            for number in numbers:
                self._version(number)
            held = hold([self._partitions[number] for number in numbers], user_ids)
        self._check(numbers)  # after the copy: nobody had taken over when it was made
        return profile_views(held, as_of, self._ground.model, self._ground.settings.interest)

    def _check(self, numbers: Sequence[int]) -> None:
        try:
            self._leases.check(numbers)
        except WrongOwnerError as error:
            if error.partition not in self._leases.owned():  # else the ledger is silent just now
                self._lose({error.partition})
            raise

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
                self._reload(number)
        for number in filter(self._is_stale, clean):
            self._reload(number)
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

    def _is_stale(self, number: int) -> bool:
        """Whether the stored snapshot was folded from another archive than ours."""
        stored = read_meta(self._ground.store, self._ground.key(number))
        with self._state:
            held = self._partitions.get(number)
        if stored is None or held is None:
            return False
        return bool(stored["archive_manifest"] != held.position.archive_manifest)

    def _owned(self, user_id: str) -> int:
        number = partition_of(self._ground.tenant, user_id, self._n_partitions)
        if number not in self._partitions:
            raise WrongOwnerError.of(number, self._leases.owner.name)
        if number in self._behind:
            self._catch_up(number)
        return number

    def _catch_up(self, number: int) -> None:
        """Fold what the ledger holds and the partition lacks, before anything else is done."""
        with self._commit.lock:
            self._mend(number)

    def _mend(self, number: int) -> None:
        """``_catch_up`` while no commit is on its way."""
        with self._state:
            if number in self._behind and number in self._partitions:
                held = None if number in self._torn else self._partitions[number]
                self._partitions[number] = self._caught_up(held, number)
                self._whole(number)

    def _reload(self, number: int) -> None:
        """Load an owned partition anew."""
        with self._commit.lock:
            if number not in self._partitions:
                return
            loaded = load_partition(self._ground, number)
            with self._state:
                self._partitions[number] = loaded
                self._whole(number)

    def _whole(self, number: int) -> None:
        """A partition was loaded: it lacks nothing, and the board needs the whole trend."""
        self._behind.discard(number)
        self._torn.discard(number)
        self._is_reloaded = True

    def _caught_up(self, partition: Partition | None, number: int) -> Partition:
        """A partition with all that the ledger holds; loaded anew where it cannot go on."""
        if partition is None or not partition.catch_up(self._ground):
            return load_partition(self._ground, number)
        return partition

    def _lose(self, partitions: Iterable[int]) -> None:
        with self._state:
            for number in partitions:
                if self._partitions.pop(number, None) is not None:
                    log.warning("partition %d was taken over by another shard", number)
                    self._is_reloaded = True

    def _commit_batch(self, owned: list[tuple[int, Event]]) -> list[_Appended]:
        numbers = [number for number, _ in owned]
        for number in self._behind.intersection(numbers):  # since they were let in
            self._mend(number)
        epochs, noted = self._leases.epochs(set(numbers)), self._leases.now()
        started = time.perf_counter()
        failpoint("append.before_commit")
        try:
            sequences = self._ground.ledger.append(numbers, [e for _, e in owned], epochs)
        except StaleEpochError as error:
            lost = self._leases.renew(list(error.partitions)) or set(error.partitions)
            self._lose(lost)
            raise WrongOwnerError.of(min(lost), self._leases.owner.name) from error
        except LedgerError:
            self._behind.update(epochs)  # it may have committed before the answer was lost
            raise
        failpoint("append.after_commit")
        self._leases.saw(epochs, noted)
        self._meters.committed(time.perf_counter() - started)
        fresh: dict[int, list[Event]] = defaultdict(list)
        last_seq: dict[int, int] = {}
        for (number, event), sequence in zip(owned, sequences, strict=True):
            if sequence > 0:
                fresh[number].append(event)
                last_seq[number] = max(sequence, last_seq.get(number, 0))
        self._fold_all(fresh, last_seq)
        basis = self._ground.basis
        return [
            _Appended(sequence > 0, sequence > 0 and basis.is_pending(event), sequence == ERASED)
            for (_, event), sequence in zip(owned, sequences, strict=True)
        ]

    def _fold_all(self, fresh: Mapping[int, list[Event]], last_seq: Mapping[int, int]) -> None:
        """Fold what was committed; where that breaks off, all that was not reached is behind."""
        left, first = list(fresh), 0
        try:
            every = [event for events in fresh.values() for event in events]
            live = LiveEvents.of(every, self._ground.basis)
            for number, events in fresh.items():
                self._fold(number, live.part(first, first + len(events)), last_seq[number])
                first += len(events)
                left.remove(number)
        finally:
            self._behind.update(left)

    def _fold(self, number: int, events: LiveEvents, last_seq: int) -> None:
        with self._state:
            if number not in self._partitions:  # taken over since: its heir folds them
                return
            try:
                self._partitions[number].fold(self._ground, events, last_seq)
                self._delta.add(events.prepared.item, events.prepared.ts, events.weight)
            except Exception:
                # they are committed: what cannot be folded live is folded from the ledger, and
                # until that is done nothing may be read, or folded past them
                log.exception("partition %d is loaded again", number)
                self._behind.add(number)
                self._torn.add(number)
                self._partitions[number] = load_partition(self._ground, number)
                self._whole(number)

    def _save(self, number: int) -> None:
        with self._state:
            partition = self._partitions.get(number)
            if partition is None:  # handed over meanwhile
                return
            groups = {**partition.table.columns(), TREND: partition.trend.columns()}
            position, rebase = partition.position, partition.is_rebuilt
            n_read = partition.n_read
        save_groups(self._ground.store, self._ground.key(number), groups, position, rebase)
        with self._state:
            partition.is_rebuilt = False
            partition.is_dirty = (partition.position, partition.n_read) != (position, n_read)
