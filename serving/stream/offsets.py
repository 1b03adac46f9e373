"""How far each partition is acknowledged, and how far that is committed to the consumer group."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from serving.stream.messages import End, Message, Place


class Offsets:
    """Offsets of the partitions that a consumer has; each is where reading would go on."""

    def __init__(self) -> None:
        self._acknowledged: dict[Place, int] = {}
        self._committed: dict[Place, int] = {}

    def acknowledge(self, items: Iterable[Message | End]) -> None:
        """All these are durable, in the order in which they were read, and all before them."""
        for item in items:
            self._acknowledged[item.place] = item.next_offset

    def due(self) -> dict[Place, int]:
        """What is acknowledged and not committed."""
        return {
            place: offset
            for place, offset in self._acknowledged.items()
            if self._committed.get(place) != offset
        }

    def commit(self, offsets: Mapping[Place, int]) -> None:
        """These are committed."""
        self._committed.update(offsets)

    def forget(self, places: Collection[Place]) -> None:
        """These partitions belong to somebody else now."""
        for place in places:
            self._acknowledged.pop(place, None)
            self._committed.pop(place, None)

    def lags(self, ends: Mapping[Place, int]) -> dict[Place, int]:
        """Messages between what is acknowledged and the ends; where nothing is yet, none is said.

        >>> offsets = Offsets()
        >>> offsets.acknowledge([Message(Place("t", 0), 4, b"")])
        >>> offsets.lags({Place("t", 0): 7, Place("t", 1): 3})
        {Place(topic='t', partition=0): 2}
        """
        return {
            place: max(0, end - self._acknowledged[place])
            for place, end in ends.items()
            if place in self._acknowledged
        }
