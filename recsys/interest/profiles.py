"""Profiles of many users: evidence, recent events and seen items, folded in batches.

No Python object per user stands here. Both banks, positive and negative, are one additive state of
H + Hn half-lives with one ``t_ref``: an event's importance is zero in the other bank's half-lives.
So ``recsys.decay.fold`` folds them in one pass.

A table may hold fewer users in memory than it knows (``Storage``): ``trim`` lets the least recently
active go to a file, ``rows`` brings back whoever is asked for. Rows are good until the next
``trim``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recsys.interest import profile_columns, records
from recsys.interest.eviction import Eviction
from recsys.interest.folder import Folder
from recsys.interest.id_map import IdBytes, IdMap
from recsys.interest.model import (
    Banks,
    EventEvidence,
    FoldBatch,
    InterestModel,
    ItemTable,
    TextTable,
    split_banks,
)
from recsys.interest.prepared import KindCodes, Prepared, evidence_of
from recsys.interest.recent import Histories, RecentEvents, histories
from recsys.interest.rings import touch
from recsys.interest.shown import ShownItems
from recsys.interest.storage import Storage
from recsys.interest.user_memory import UserMemory
from recsys.interest.waiting import WaitingEvents
from recsys.settings import DataSettings, InterestSettings
from recsys.wishes.book import WishBook

Columns = Mapping[str, Mapping[str, npt.NDArray[Any]]]
Ints = npt.NDArray[np.int64]

UNKNOWN_USER = -1
_PASSIVE_KINDS = DataSettings().passive_kinds
_ITEMLESS_KINDS = DataSettings().itemless_kinds


class ProfileTable:
    """The profiles of users, B of whom are in memory.

    Args:
        n_dims: D, dimensions of an item vector.
        interest: how events become evidence, and how evidence fades.
        kinds: every event kind; at most 255.
        passive_kinds: kinds in which the user did nothing: the item does not count as seen.
        itemless_kinds: kinds that need no item.
        storage: how profiles are held.
    """

    def __init__(
        self,
        n_dims: int,
        interest: InterestSettings,
        kinds: Sequence[str],
        passive_kinds: Sequence[str] = _PASSIVE_KINDS,
        itemless_kinds: Sequence[str] = _ITEMLESS_KINDS,
        storage: Storage | None = None,
    ) -> None:
        self.interest = interest
        self.kinds = tuple(kinds)
        self.passive_kinds = tuple(passive_kinds)
        self.itemless_kinds = tuple(itemless_kinds)
        self.storage = Storage() if storage is None else storage
        self.codes = KindCodes(self.kinds, passive_kinds, itemless_kinds, interest)
        lives = np.array([*interest.half_lives_s, *interest.negative_half_lives_s])
        self.n_positive = len(interest.half_lives_s)
        self.ids = IdMap()
        place = records.place_of(len(lives), n_dims, self.storage.is_half)
        self.memory = UserMemory(place, interest.n_recent)
        self.eviction = Eviction(self)
        self._folder = Folder(place, lives, self.storage)
        self.waiting = WaitingEvents()
        """Events that are evidence as soon as their words can be read; whoever folds fills it."""
        self.wishes = WishBook()
        """What users wish of their interests; whoever folds fills it."""
        self.shown = ShownItems(interest.n_shown)
        """What users were shown lately."""
        self.more: dict[str, Mapping[str, npt.NDArray[Any]]] = {}
        """Column groups that came with a snapshot and are unknown here: they go on as they are."""

    def __len__(self) -> int:
        """B, the number of users in memory."""
        return len(self.ids)

    @property
    def n_users(self) -> int:
        """Users in memory, and those who were evicted."""
        return len(self.ids) + self.eviction.n_evicted

    @property
    def user_ids(self) -> list[str]:
        """(B,) the users in memory, by row; made anew at each call."""
        return self.ids.ids().strings()

    def all_user_ids(self) -> Iterator[str]:
        """The ``n_users`` users, those who were evicted after the others, then those who wish.

        Who wishes something and has a profile comes twice.
        """
        yield from self.user_ids
        if self.eviction.file is not None:
            yield from (user.decode() for user in self.eviction.file.users())
        yield from self.wishes

    @property
    def sums(self) -> npt.NDArray[np.float32]:
        """(B, H, D) a copy of the positive evidence as of ``t_ref``."""
        return self.banks(np.arange(len(self))).sums

    @property
    def mass(self) -> npt.NDArray[np.float32]:
        """(B, H) a copy of the positive mass as of ``t_ref``."""
        return self.banks(np.arange(len(self))).mass

    @property
    def negative_sums(self) -> npt.NDArray[np.float32]:
        """(B, Hn, D) a copy of the negative evidence as of ``t_ref``."""
        return self.banks(np.arange(len(self))).negative_sums

    @property
    def negative_mass(self) -> npt.NDArray[np.float32]:
        """(B, Hn) a copy of the negative mass as of ``t_ref``."""
        return self.banks(np.arange(len(self))).negative_mass

    @property
    def t_ref(self) -> npt.NDArray[np.float64]:
        """(B,) Unix seconds of the latest event; ``-inf`` = none yet."""
        return records.field(self.memory.chunks, len(self), records.T_REF, np.float64)

    @property
    def n_events(self) -> npt.NDArray[np.int32]:
        """(B,) events of known items, passive ones included."""
        return records.field(self.memory.chunks, len(self), records.N_EVENTS, np.int32)

    def rows(self, user_ids: Sequence[str] | pa.Array | IdBytes, create: bool = False) -> Ints:
        """(B,) rows of users; ``UNKNOWN_USER`` (-1) where there is none and none is created.

        Raises:
            ChecksumError: if an evicted profile is not what was written.
            StoreError: if the file of the evicted cannot be read.
        """
        ids = user_ids if isinstance(user_ids, IdBytes) else IdBytes.of(user_ids)
        rows = self.ids.find(ids)
        if rows.size > 0 and rows.min() == UNKNOWN_USER:
            if self.eviction.n_evicted > 0 and self.eviction.bring_back(ids, rows):
                rows = self.ids.find(ids)
            if create:
                rows = self.ids.add(ids)
                self.memory.add(len(self.ids) - len(self.memory))
        return rows

    def locate(self, ids: IdBytes, at: Ints) -> None:
        """Write into ``at`` (T,) where users stand in memory, until the next ``trim``; 0 = unknown.

        It counts as activity of theirs. Raises as ``rows`` does.
        """
        self.ids.find_into(ids, at)
        if self.eviction.n_evicted > 0:
            at[:] = self.rows(ids)
        self.memory.locate(at)
        if self.storage.spill is not None:
            histories(at, 0, self.memory.next_tick())

    def fold(
        self,
        rows: Ints,
        events: FoldBatch,
        model: InterestModel,
        items: ItemTable,
        texts: TextTable | None = None,
    ) -> int:
        """Fold T events into the profiles; any order gives the same profiles.

        Args:
            rows: (T,) the row of each event's user.
            events: the events; each must come once (the ledger sees to that).
            model: what events are to a profile.
            items: N items of the catalog; of an event whose value is a row of zeros the item
                counts as seen, but it is no evidence of taste.
            texts: what the events' words are; None = words are passed over.

        Returns:
            Number of pending events: they would be evidence if their item or words were known.

        Raises:
            ValueError: if a row is no user's, a time is not finite or an item is out of range.
        """
        if len(rows) == 0:
            return 0
        prepared = self.codes.prepare(events, model, items, texts)
        self.apply(rows, prepared)
        return int(np.count_nonzero(prepared.is_pending))

    def apply(self, rows: Ints, events: Prepared) -> None:
        """Fold T events that were prepared; see ``fold``.

        Args:
            rows: (T,) the row of each event's user.
            events: of ``codes.prepare``, of this table or of another of the same settings.
        """
        at = self._at(rows, events.values.shape[1])
        self._folder.fold(at, events.evidence)
        kept = (events.ts, events.item, events.kind, events.value, events.is_kept)
        ring, seen = self.memory.ring.ready(len(at)), self.memory.seen.ready(len(at))
        touch(at, ring, seen, self.interest.n_recent, self.memory.next_tick(), kept)
        shown = np.flatnonzero(events.is_shown)
        if len(shown) > 0:
            self.shown.add(self.ids.ids(rows[shown]), events.item[shown], events.ts[shown])
        self.eviction.saw(events.ts)

    def fold_evidence(
        self,
        rows: Ints,
        events: FoldBatch,
        model: InterestModel,
        items: ItemTable,
        texts: TextTable | None = None,
    ) -> EventEvidence:
        """Fold T events as evidence alone: nothing is counted as seen, or as an event.

        So an event that waited for its words is folded, everything else about it being in already.
        Arguments as of ``fold``.
        """
        found = evidence_of(events, model, items, texts)
        importance, index, values = found.arrays
        at, ts = self._at(rows, values.shape[1]), np.ascontiguousarray(events.ts, np.float64)
        self._folder.fold(at, (ts, importance, index, values))
        return found

    def trim(self) -> int:
        """Let those leave memory who are too many, or too long away; how many left.

        Rows that were given before mean nothing after it. A user with events that wait stays.
        """
        return self.eviction.trim()

    def banks(self, rows: Ints) -> Banks:
        """Copies of the evidence of users; ``UNKNOWN_USER`` gives an empty profile."""
        return self.banks_at(self.memory.at(np.asarray(rows, np.int64)))

    def banks_at(self, at: Ints) -> Banks:
        """``banks`` of records by address, which may be those of tables of the same settings."""
        state = records.read_states(at, self.memory.place, self.storage.is_half)
        return split_banks(*state, self.n_positive)

    def histories(self, rows: Ints) -> Histories:
        """What users did; it counts as activity of theirs."""
        at = self.memory.at(np.asarray(rows, np.int64))
        return histories(at, self.interest.n_recent, self.memory.next_tick())

    def seen(self, row: int) -> npt.NDArray[np.int32]:
        """(n,) the distinct items that a user has touched, in rising order."""
        return self.histories(np.array([row])).seen

    def recent(self, row: int) -> RecentEvents:
        """The latest events of a user, newest first; at most ``interest.n_recent``."""
        found = self.histories(np.array([row]))
        signed = self.codes.signed(found.kind, found.value)
        return RecentEvents(found.item, found.ts, signed, found.kind, found.value)

    def columns(self) -> dict[str, dict[str, npt.NDArray[Any]]]:
        """Column groups of a snapshot; those who were evicted are in."""
        return profile_columns.columns_of(self)

    @classmethod
    def from_columns(
        cls,
        columns: Columns,
        interest: InterestSettings,
        kinds: Sequence[str],
        passive_kinds: Sequence[str] = _PASSIVE_KINDS,
        itemless_kinds: Sequence[str] = _ITEMLESS_KINDS,
        storage: Storage | None = None,
    ) -> ProfileTable:
        """The inverse of ``columns``, from and to either form of storage.

        Raises:
            ValueError: if the columns were made with another number of half-lives.
        """
        n_dims = profile_columns.n_dims_of(columns)
        table = cls(n_dims, interest, kinds, passive_kinds, itemless_kinds, storage)
        profile_columns.fill_table(table, columns)
        return table

    def _at(self, rows: Ints, n_dims: int) -> Ints:
        rows = np.ascontiguousarray(rows, np.int64)
        if rows.size > 0 and (rows.min() < 0 or rows.max() >= len(self)):
            raise ValueError(f"rows must be of [0, {len(self)}): create the users first")
        if n_dims != self.memory.place.n_dims:
            raise ValueError(f"vectors of {n_dims} dims, not {self.memory.place.n_dims}")
        return self.memory.at(rows)
