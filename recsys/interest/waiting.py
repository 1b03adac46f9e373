"""Events that wait for their words to be read: kept by text until the vector of the text is there.

They are counted already as seen, as events and for the trend; what is missing is their evidence.
Folding is free of order, so evidence that comes late is as right as if it had come at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from recsys.interest.model import FoldBatch


class WaitingEvent(NamedTuple):
    """One event of which all is known but what its words mean."""

    row: int
    """Of its user in the profile table."""
    item: int
    """Catalog row; ``UNKNOWN_ITEM`` where it names none."""
    ts: float
    kind: str
    value: float
    """NaN where there is none."""
    text: str


class WaitingEvents:
    """A few events as Python objects: they stay for as long as an encoder takes."""

    def __init__(self, events: Iterable[WaitingEvent] = ()) -> None:
        self._by_text: dict[str, list[WaitingEvent]] = {}
        for event in events:
            self.add(event)

    def __len__(self) -> int:
        """Number of events."""
        return sum(map(len, self._by_text.values()))

    def __iter__(self) -> Iterator[WaitingEvent]:
        """The events, those of one text together."""
        for events in self._by_text.values():
            yield from events

    def add(self, event: WaitingEvent) -> None:
        """Let an event wait."""
        self._by_text.setdefault(event.text, []).append(event)

    def texts(self, limit: int) -> list[str]:
        """At most ``limit`` distinct texts, those that wait longest first."""
        return [text for text, _ in zip(self._by_text, range(limit), strict=False)]

    def take(self, texts: Sequence[str]) -> tuple[npt.NDArray[np.int64], FoldBatch]:
        """The events of some texts, which wait no more.

        Args:
            texts: distinct; such that nothing waits for have no events.

        Returns:
            (T,) rows of users, and the T events, whose ``text`` is the place in ``texts``.
        """
        place = {text: n for n, text in enumerate(texts)}
        events = [e for text in texts for e in self._by_text.pop(text, ())]
        batch = FoldBatch(
            item=np.array([e.item for e in events], np.int32),
            ts=np.array([e.ts for e in events], np.float64),
            kind=np.array([*(e.kind for e in events), None], dtype=object)[:-1],
            value=np.array([e.value for e in events], np.float64),
            text=np.array([place[e.text] for e in events], np.int32),
        )
        return np.array([e.row for e in events], np.int64), batch

    def move(self, new_row: Mapping[int, int]) -> None:
        """Follow users whose rows have changed, old row to new one."""
        if len(new_row) == 0 or len(self._by_text) == 0:
            return
        for text, events in self._by_text.items():
            self._by_text[text] = [e._replace(row=new_row.get(e.row, e.row)) for e in events]

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """Named arrays for a snapshot."""
        events = list(self)
        rows, batch = WaitingEvents(events).take([*self._by_text])
        texts = np.array([*(e.text for e in events), None], dtype=object)[:-1]
        return {"row": rows, **batch._asdict(), "text": texts}

    @classmethod
    def from_columns(cls, columns: Mapping[str, npt.NDArray[Any]]) -> WaitingEvents:
        """The inverse of ``columns``."""
        given = (columns[name].tolist() for name in WaitingEvent._fields)
        return cls(WaitingEvent(*event) for event in zip(*given, strict=True))
