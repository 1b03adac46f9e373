"""Poison messages, kept in the store as ingestion keeps bad rows: source, position and reason.

``source`` is ``kafka:topic:partition`` and ``position`` the offset. A message that is delivered
again may stand there twice; the two together name it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import pyarrow as pa

from recsys.ingestion.quarantine import QUARANTINE, quarantined
from recsys.ingestion.shuffle import put_quarantine
from recsys.store import Store
from serving.stream.messages import Place, Poison


class Quarantine:
    """The quarantine of a store.

    Args:
        store: where it is.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def keep(self, poison: Sequence[Poison]) -> None:
        """Make poison durable; the same poison again changes nothing.

        Raises:
            StoreError: if the store cannot be written.
        """
        for path in put_quarantine(self._store, as_table(poison)):
            self._store.settle(path)


def as_table(poison: Sequence[Poison]) -> pa.Table:
    """Poison as rows of the quarantine."""
    by_place: dict[Place, list[Poison]] = defaultdict(list)
    for one in poison:
        by_place[one.message.place].append(one)
    tables = [
        quarantined(
            "events",
            place.source,
            [one.reason for one in rows],
            [one.message.offset for one in rows],
            [(one.message.value or b"").decode("utf-8", "replace") for one in rows],
        )
        for place, rows in by_place.items()
    ]
    return pa.concat_tables([QUARANTINE.empty_table(), *tables])
