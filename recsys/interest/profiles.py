"""Profiles of many users as arrays: evidence, recent events and seen items, folded in batches.

No Python object per user stands here but the id. Both banks, positive and negative, are one
additive state of H + Hn half-lives with one ``t_ref``: an event's importance is zero in the other
bank's half-lives. So ``recsys.decay.fold`` folds them in one pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.decay.fold import fold_events
from recsys.events import NO_TEXT, UNKNOWN_ITEM
from recsys.interest.model import (
    Banks,
    EventEvidence,
    FoldBatch,
    InterestModel,
    ItemTable,
    TextTable,
    split_banks,
)
from recsys.interest.recent import RecentEvents, RecentRing
from recsys.interest.seen import SeenItems
from recsys.interest.waiting import WaitingEvents
from recsys.interest.zero_shot import codes_of, signed_importance
from recsys.settings import DataSettings, InterestSettings

Columns = Mapping[str, Mapping[str, npt.NDArray[Any]]]

UNKNOWN_USER = -1
UNKNOWN_KIND = 255
"""Code of a kind that the settings lack."""
_PASSIVE_KINDS = DataSettings().passive_kinds
_ITEMLESS_KINDS = DataSettings().itemless_kinds


class ProfileTable:
    """The profiles of B users.

    Args:
        n_dims: D, dimensions of an item vector.
        interest: how events become evidence, and how evidence fades.
        kinds: every event kind; at most 255.
        passive_kinds: kinds in which the user did nothing: the item does not count as seen.
        itemless_kinds: kinds that need no item.
    """

    def __init__(
        self,
        n_dims: int,
        interest: InterestSettings,
        kinds: Sequence[str],
        passive_kinds: Sequence[str] = _PASSIVE_KINDS,
        itemless_kinds: Sequence[str] = _ITEMLESS_KINDS,
    ) -> None:
        self.interest = interest
        self.kinds = tuple(kinds)
        self.passive_kinds = tuple(passive_kinds)
        self._itemless_kinds = tuple(itemless_kinds)
        self.user_ids: list[str] = []
        self._row_of: dict[str, int] = {}
        self._n_positive = len(interest.half_lives_s)
        self._half_lives_s = np.array([*interest.half_lives_s, *interest.negative_half_lives_s])
        n_banks = len(self._half_lives_s)
        self._sums = np.zeros((0, n_banks, n_dims), np.float32)
        self._mass = np.zeros((0, n_banks), np.float32)
        self._t_ref = np.zeros(0, np.float64)
        self._n_events = np.zeros(0, np.int64)
        self._recent = RecentRing(interest.n_recent)
        self._seen = SeenItems()
        self._code_of_kind = {kind: code for code, kind in enumerate(self.kinds)}
        self.waiting = WaitingEvents()
        """Events that are evidence as soon as their words can be read; whoever folds fills it."""

    def __len__(self) -> int:
        """B, the number of users."""
        return len(self.user_ids)

    @property
    def sums(self) -> npt.NDArray[np.float32]:
        """(B, H, D) positive evidence as of ``t_ref``."""
        return self._sums[: len(self), : self._n_positive]

    @property
    def mass(self) -> npt.NDArray[np.float32]:
        """(B, H) positive mass as of ``t_ref``."""
        return self._mass[: len(self), : self._n_positive]

    @property
    def negative_sums(self) -> npt.NDArray[np.float32]:
        """(B, Hn, D) negative evidence as of ``t_ref``."""
        return self._sums[: len(self), self._n_positive :]

    @property
    def negative_mass(self) -> npt.NDArray[np.float32]:
        """(B, Hn) negative mass as of ``t_ref``."""
        return self._mass[: len(self), self._n_positive :]

    @property
    def t_ref(self) -> npt.NDArray[np.float64]:
        """(B,) Unix seconds of the latest event; ``-inf`` = none yet."""
        return self._t_ref[: len(self)]

    @property
    def n_events(self) -> npt.NDArray[np.int64]:
        """(B,) events of known items, passive ones included."""
        return self._n_events[: len(self)]

    def rows(self, user_ids: Sequence[str], create: bool = False) -> npt.NDArray[np.int64]:
        """(B,) rows of users; ``UNKNOWN_USER`` (-1) where there is none and none is created."""
        if create:
            row_of = self._row_of
            for user_id in user_ids:
                if user_id not in row_of:
                    row_of[user_id] = len(self.user_ids)
                    self.user_ids.append(user_id)
            self._reserve(len(self.user_ids))
        return codes_of(user_ids, self._row_of, UNKNOWN_USER)

    def fold(
        self,
        rows: npt.NDArray[np.int64],
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
        rows = np.ascontiguousarray(rows, np.int64)
        item = np.ascontiguousarray(events.item, np.int64)
        ts = np.ascontiguousarray(events.ts, np.float64)
        found = self.fold_evidence(rows, events, model, items, texts)
        signed = found.signed
        if signed is None:
            signed = signed_importance(events.kind, events.value, self.interest)
        is_known = item != UNKNOWN_ITEM
        np.add.at(self._n_events, rows[is_known], 1)
        code = codes_of(events.kind, self._code_of_kind, UNKNOWN_KIND).astype(np.uint8)
        passive = codes_of(events.kind, dict.fromkeys(self.passive_kinds, 1), 0) == 1
        kept = np.flatnonzero(is_known & ~passive)
        value = np.asarray(events.value, np.float32)[kept]
        self._recent.add(rows[kept], item[kept], ts[kept], signed[kept], code[kept], value)
        self._seen.add(rows[kept], item[kept])
        lacks = events.waits
        if not is_known.all():  # what needs no item, and says nothing, lacks none
            needs_none = codes_of(events.kind, dict.fromkeys(self._itemless_kinds, 1), 0) == 1
            is_mute = np.full(len(item), True) if events.text is None else events.text == NO_TEXT
            lacks = lacks | (~is_known & is_mute & ~needs_none)
        return int(np.count_nonzero(lacks & (signed != 0.0)))

    def fold_evidence(
        self,
        rows: npt.NDArray[np.int64],
        events: FoldBatch,
        model: InterestModel,
        items: ItemTable,
        texts: TextTable | None = None,
    ) -> EventEvidence:
        """Fold T events as evidence alone: nothing is counted as seen, or as an event.

        So an event that waited for its words is folded, everything else about it being in already.
        Arguments as of ``fold``.
        """
        rows, item = np.ascontiguousarray(rows, np.int64), np.asarray(events.item, np.int64)
        ts = np.ascontiguousarray(events.ts, np.float64)
        self._check(rows, item, ts, items)
        found = model.evidence(events, items, texts)
        state = (self._sums, self._mass, self._t_ref)
        fold_events(*state, rows, ts, *found.arrays, self._half_lives_s)
        return found

    def banks(self, rows: npt.NDArray[np.int64]) -> Banks:
        """Copies of the evidence of users; ``UNKNOWN_USER`` gives an empty profile."""
        known = rows != UNKNOWN_USER
        sums = np.zeros((len(rows), *self._sums.shape[1:]), np.float32)
        mass = np.zeros((len(rows), self._mass.shape[1]), np.float32)
        t_ref = np.full(len(rows), -np.inf)
        sums[known], mass[known] = self._sums[rows[known]], self._mass[rows[known]]
        t_ref[known] = self._t_ref[rows[known]]
        return split_banks(sums, mass, t_ref, self._n_positive)

    def seen(self, row: int) -> npt.NDArray[np.int32]:
        """(n,) the distinct items that a user has touched, the newest to come first."""
        return self._seen.of(row)

    def recent(self, row: int) -> RecentEvents:
        """The latest events of a user, newest first; at most ``interest.n_recent``."""
        return self._recent.of(row)

    def columns(self) -> dict[str, dict[str, npt.NDArray[Any]]]:
        """Column groups of a snapshot: ``state``, ``recent``, ``seen``, and ``waiting`` if any."""
        state: dict[str, npt.NDArray[Any]] = {
            "user_id": np.array(self.user_ids, dtype=object),
            "sums": np.ascontiguousarray(self.sums),
            "mass": np.ascontiguousarray(self.mass),
            "negative_sums": np.ascontiguousarray(self.negative_sums),
            "negative_mass": np.ascontiguousarray(self.negative_mass),
            "t_ref": self.t_ref.copy(),
            "n_events": self.n_events.copy(),
        }
        recent = self._recent.columns(len(self))
        groups = {"state": state, "recent": recent, "seen": self._seen.columns()}
        return groups if len(self.waiting) == 0 else {**groups, "waiting": self.waiting.columns()}

    @classmethod
    def from_columns(
        cls,
        columns: Columns,
        interest: InterestSettings,
        kinds: Sequence[str],
        passive_kinds: Sequence[str] = _PASSIVE_KINDS,
        itemless_kinds: Sequence[str] = _ITEMLESS_KINDS,
    ) -> ProfileTable:
        """The inverse of ``columns``.

        Raises:
            ValueError: if the columns were made with another number of half-lives or recents.
        """
        state = columns["state"]
        sums = np.concatenate([state["sums"], state["negative_sums"]], axis=1)
        table = cls(sums.shape[2], interest, kinds, passive_kinds, itemless_kinds)
        if sums.shape[1] != len(table._half_lives_s):
            raise ValueError(
                f"profiles of {sums.shape[1]} half-lives do not fit the settings' "
                f"{len(table._half_lives_s)}"
            )
        table.user_ids = list(state["user_id"])
        table._row_of = {user_id: row for row, user_id in enumerate(table.user_ids)}
        table._sums = sums
        table._mass = np.concatenate([state["mass"], state["negative_mass"]], axis=1)
        table._t_ref = np.array(state["t_ref"])
        table._n_events = np.array(state["n_events"])
        table._recent = RecentRing.from_columns(columns["recent"], interest.n_recent)
        table._seen = SeenItems.from_columns(columns["seen"], len(table))
        if "waiting" in columns:
            table.waiting = WaitingEvents.from_columns(columns["waiting"])
        return table

    def _check(
        self,
        rows: npt.NDArray[np.int64],
        item: npt.NDArray[np.int64],
        ts: npt.NDArray[np.float64],
        items: ItemTable,
    ) -> None:
        if rows.min() < 0 or rows.max() >= len(self):
            raise ValueError(f"rows must be of [0, {len(self)}): create the users first")
        if item.min() < UNKNOWN_ITEM or item.max() >= len(items):
            raise ValueError(f"items must be of [-1, {len(items)}), the rows of vectors")
        if items.n_dims != self._sums.shape[2]:
            raise ValueError(f"vectors of {items.n_dims} dims, not {self._sums.shape[2]}")
        if not np.isfinite(ts).all():
            raise ValueError("times must be finite Unix seconds")

    def _reserve(self, n_rows: int) -> None:
        """Make room for ``n_rows`` users, half as much again as before."""
        capacity = len(self._t_ref)
        if n_rows > capacity:
            more = max(n_rows, capacity * 3 // 2, 16) - capacity
            self._sums = _extended(self._sums, more)
            self._mass = _extended(self._mass, more)
            self._t_ref = _extended(self._t_ref, more, -np.inf)
            self._n_events = _extended(self._n_events, more)
            self._recent.reserve(capacity + more)
            self._seen.reserve(capacity + more)


def _extended(array: npt.NDArray[Any], n_more: int, fill: float = 0.0) -> npt.NDArray[Any]:
    larger = np.zeros((len(array) + n_more, *array.shape[1:]), array.dtype)
    larger[: len(array)] = array
    if fill != 0.0:
        larger[len(array) :] = fill
    return larger
