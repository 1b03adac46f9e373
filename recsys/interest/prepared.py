"""What events are to any profile, worked out once for a batch however many tables it goes to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from recsys.events import NO_TEXT, UNKNOWN_ITEM
from recsys.interest.model import EventEvidence, FoldBatch, InterestModel, ItemTable, TextTable
from recsys.interest.shown import IMPRESSION
from recsys.interest.zero_shot import RATING, codes_of, rating_importance, signed_importance
from recsys.settings import InterestSettings

Floats = npt.NDArray[np.float32]
Times = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

UNKNOWN_KIND = 255
"""Code of a kind that the settings lack."""


class Prepared(NamedTuple):
    """T events, ready to be folded."""

    ts: Times
    """(T,) Unix seconds, finite."""
    item: npt.NDArray[np.int32]
    """(T,) position in the catalog, or ``UNKNOWN_ITEM``."""
    kind: npt.NDArray[np.uint8]
    """(T,) code of the kind."""
    value: Floats
    """(T,) rating or dwell; NaN where there is none."""
    is_kept: Bools
    """(T,) what the user did: it is recent, and its item is seen."""
    is_shown: Bools
    """(T,) impressions of known items."""
    is_pending: Bools
    """(T,) would be evidence if its item or its words were known."""
    importance: Floats
    """(T, H + Hn)."""
    index: npt.NDArray[np.int64]  # type: ignore[assignment]  # as of ``EventEvidence``
    """(T,) row of ``values``; -1 = no evidence."""
    values: Floats
    """(M, D)."""

    def pick(self, rows: Any) -> Prepared:
        """Some events: a slice, or an array of positions."""
        return self._replace(**{name: getattr(self, name)[rows] for name in self._fields[:-1]})

    @property
    def evidence(self) -> tuple[Times, Floats, npt.NDArray[np.int64], Floats]:
        """What the fold takes beside the records."""
        return self.ts, self.importance, self.index, self.values


class KindCodes:
    """The kinds of the settings by number.

    Args:
        kinds: every event kind; at most 255.
        passive_kinds: kinds in which the user did nothing: the item does not count as seen.
        itemless_kinds: kinds that need no item.
        interest: what an event of a kind is worth.
    """

    def __init__(
        self,
        kinds: Sequence[str],
        passive_kinds: Sequence[str],
        itemless_kinds: Sequence[str],
        interest: InterestSettings,
    ) -> None:
        self._code_of = {kind: code for code, kind in enumerate(kinds)}
        self._passive = dict.fromkeys(passive_kinds, 1)
        self._itemless = dict.fromkeys(itemless_kinds, 1)
        self._interest = interest
        self._impression = self._code_of.get(IMPRESSION, UNKNOWN_KIND)
        self._rating = self._code_of.get(RATING, UNKNOWN_KIND)
        self._signed = np.zeros(UNKNOWN_KIND + 1, np.float32)
        names = np.array([*kinds, None], dtype=object)[:-1]
        self._signed[: len(names)] = signed_importance(names, np.full(len(names), np.nan), interest)

    def signed(self, kind: npt.NDArray[np.uint8], value: Floats) -> Floats:
        """(T,) ``zero_shot.signed_importance`` of codes (T,) and values (T,)."""
        found: Floats = self._signed[kind]
        rated = np.flatnonzero(kind == self._rating) if self._rating != UNKNOWN_KIND else ()
        if len(rated) > 0:
            weight, is_bad = rating_importance(value[rated].astype(np.float64), self._interest)
            found[rated] = np.where(is_bad, -weight, weight)
        return found

    def prepare(
        self,
        events: FoldBatch,
        model: InterestModel,
        items: ItemTable,
        texts: TextTable | None = None,
    ) -> Prepared:
        """What T events are to a profile; arguments as of ``ProfileTable.fold``.

        Raises:
            ValueError: if a time is not finite or an item is out of range.
        """
        check_events(events, items)
        found = model.evidence(events, items, texts)
        signed = found.signed
        if signed is None:
            signed = signed_importance(events.kind, events.value, self._interest)
        is_known = events.item != UNKNOWN_ITEM
        passive = codes_of(events.kind, self._passive, 0) == 1
        kind = codes_of(events.kind, self._code_of, UNKNOWN_KIND).astype(np.uint8)
        return Prepared(
            np.ascontiguousarray(events.ts, np.float64),
            np.ascontiguousarray(events.item, np.int32),
            kind,
            np.asarray(events.value, np.float32),
            is_known & ~passive,
            is_known & passive & (kind == self._impression),
            self._lacks(events, is_known) & (signed != 0.0),
            *found.arrays,
        )

    def _lacks(self, events: FoldBatch, is_known: Bools) -> Bools:
        if is_known.all():
            return events.waits
        # what needs no item, and says nothing, lacks none
        needs_none = codes_of(events.kind, self._itemless, 0) == 1
        is_mute = np.full(len(is_known), True) if events.text is None else events.text == NO_TEXT
        lacks: Bools = events.waits | (~is_known & is_mute & ~needs_none)
        return lacks


def evidence_of(
    events: FoldBatch, model: InterestModel, items: ItemTable, texts: TextTable | None
) -> EventEvidence:
    """``InterestModel.evidence`` of events that were looked at; see ``KindCodes.prepare``."""
    check_events(events, items)
    return model.evidence(events, items, texts)


def check_events(events: FoldBatch, items: ItemTable) -> None:
    """Refuse what would be written where it must not.

    Raises:
        ValueError: if a time is not finite or an item is out of range.
    """
    if len(events.item) == 0:
        return
    if events.item.min() < UNKNOWN_ITEM or events.item.max() >= len(items):
        raise ValueError(f"items must be of [-1, {len(items)}), the rows of vectors")
    if not np.isfinite(events.ts).all():
        raise ValueError("times must be finite Unix seconds")
