"""Committed events as arrays: made once for a batch, whatever number of partitions it goes to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from recsys.basis import Basis
from recsys.events import UNKNOWN_ITEM
from recsys.interest.id_map import IdBytes
from recsys.interest.model import FoldBatch
from recsys.interest.prepared import Prepared
from recsys.interest.waiting import WaitingEvent
from recsys.interest.zero_shot import is_positive
from recsys.schema import Event
from recsys.wishes.wish import WISH


class LiveEvents(NamedTuple):
    """T committed events as arrays, made once for all partitions that they go to."""

    ids: IdBytes
    """(T,) users."""
    prepared: Prepared
    weight: npt.NDArray[np.float64]
    """(T,) what each counts for trend."""
    waiting: tuple[tuple[int, Event], ...]
    """Place and event of those that lack nothing but the vector of their words."""
    wishes: tuple[tuple[int, Event], ...] = ()
    """Wishes, which are none of the T: each with its place among all that were committed."""

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def of(cls, events: Sequence[Event], basis: Basis) -> LiveEvents:
        """Events, and what they are to profiles and trend."""
        wishes = tuple((n, event) for n, event in enumerate(events) if event.kind == WISH)
        if len(wishes) > 0:
            events = [event for event in events if event.kind != WISH]
        batch = _batch_of(events, basis)
        texts = None if basis.spoken is None else basis.spoken.table
        places = np.flatnonzero(batch.waits).tolist()
        return cls(
            IdBytes.of([event.user_id for event in events]),
            basis.codes.prepare(batch, basis.model, basis.items, texts),
            is_positive(batch.kind, batch.value, basis.settings.interest).astype(np.float64),
            tuple((n, events[n]) for n in places if only_lacks_words(events[n], basis)),
            wishes,
        )

    def part(self, first: int, last: int) -> LiveEvents:
        """The events ``first:last`` of all that were committed."""
        wishes = tuple((n - first, e) for n, e in self.wishes if first <= n < last)
        first, last = (at - sum(n < at for n, _ in self.wishes) for at in (first, last))
        some = slice(first, last)
        waiting = tuple((n - first, e) for n, e in self.waiting if first <= n < last)
        return LiveEvents(
            self.ids.part(first, last), self.prepared.pick(some), self.weight[some], waiting, wishes
        )


def _batch_of(events: Sequence[Event], basis: Basis) -> FoldBatch:
    is_mute = basis.text_index is None or all(e.text is None for e in events)
    text = None if is_mute else np.array([basis.text_row(e) for e in events], np.int32)
    return FoldBatch(
        item=np.array([basis.item_row(e.item_id) for e in events], np.int32),
        ts=np.array([e.ts for e in events], np.float64),
        kind=np.array([*(e.kind for e in events), None], dtype=object)[:-1],
        value=np.array([np.nan if e.value is None else e.value for e in events], np.float64),
        text=text,
    )


def only_lacks_words(event: Event, basis: Basis) -> bool:
    """Whether an event lacks nothing but the vector of its words."""
    if event.text is None:
        return False
    if event.item_id is not None and basis.item_row(event.item_id) == UNKNOWN_ITEM:
        return False
    return basis.is_pending(event)


def waiting_event(row: int, event: Event, basis: Basis) -> WaitingEvent:
    """Such an event of the user of a row."""
    value = np.nan if event.value is None else event.value
    text, item = str(event.text), basis.item_row(event.item_id)
    return WaitingEvent(row, item, event.ts, event.kind, value, text)
