"""The wishes of a partition's users; few users have any, so they stand apart from profiles."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recsys.events import timestamps_s
from recsys.schema import Event
from recsys.wishes.wish import WISH, Wish, read_wish

_COLUMNS = ["user_id", "event_id", "text"]


class WishBook:
    """Wishes by user, whatever the order in which they were told."""

    def __init__(self) -> None:
        self._of: dict[str, dict[str, Wish]] = {}

    def __len__(self) -> int:
        """Number of users who wish anything."""
        return len(self._of)

    def __iter__(self) -> Iterator[str]:
        """Their ids."""
        return iter(self._of)

    def of(self, user_id: str) -> tuple[Wish, ...]:
        """What a user wishes, by label."""
        found = self._of.get(user_id)
        return () if found is None else tuple(found.values())

    def add(self, user_id: str, wish: Wish) -> None:
        """Take a wish in."""
        mine = self._of.setdefault(user_id, {})
        known = mine.get(wish.label)
        mine[wish.label] = wish if known is None else known.merged(wish)

    def take(self, events: Iterable[Event]) -> None:
        """Take events of kind ``wish`` in."""
        for event in events:
            wish = read_wish(event.text, event.ts, event.event_id)
            if wish is not None:
                self.add(event.user_id, wish)

    def take_record(self, record: pa.Table) -> None:
        """Take the wishes among the events of a record in (schema ``EVENTS``)."""
        told = record.filter(pc.equal(record["kind"], WISH))
        rows = told.select(_COLUMNS).to_pylist()
        for row, ts in zip(rows, timestamps_s(told["ts"]).tolist(), strict=True):
            wish = read_wish(row["text"], ts, row["event_id"])
            if wish is not None:
                self.add(row["user_id"], wish)

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """Named arrays for a snapshot: a row a wish."""
        rows = [(user, wish) for user, wishes in self._of.items() for wish in wishes.values()]
        users = [user for user, _ in rows]
        texts = [json.dumps(wish.as_json()) for _, wish in rows]
        return {
            "user_id": np.array([*users, None], dtype=object)[:-1],
            "wish": np.array([*texts, None], dtype=object)[:-1],
        }

    @classmethod
    def from_columns(cls, columns: Mapping[str, npt.NDArray[Any]]) -> WishBook:
        """The inverse of ``columns``."""
        book = cls()
        for user, text in zip(columns["user_id"], columns["wish"], strict=True):
            book.add(str(user), Wish.of_json(json.loads(text)))
        return book
