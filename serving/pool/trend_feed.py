"""What a shard has to tell the trend board: what came since it was last asked, or everything."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from recsys.folding import LiveEvents
from recsys.trend import TrendState


class TrendFeed:
    """The news of one shard; guarded by the lock of its holdings.

    Args:
        half_lives_s: of the trend.
    """

    def __init__(self, half_lives_s: Sequence[float]) -> None:
        self._half_lives_s = half_lives_s
        self._delta = TrendState(half_lives_s)
        self._is_whole_due = True

    def add(self, events: LiveEvents) -> None:
        """Events were folded."""
        self._delta.add(events.prepared.item, events.prepared.ts, events.weight)

    def begin_anew(self) -> None:
        """Partitions came, went or were loaded: the board needs the whole trend next."""
        self._is_whole_due = True

    def take(self, trends: Iterable[TrendState], is_full: bool) -> tuple[bool, TrendState]:
        """The news since the last call.

        Args:
            trends: of all partitions.
            is_full: take these instead.

        Returns:
            Whether this is the whole trend, which it also is where that was due; and the trend.
        """
        is_full = is_full or self._is_whole_due
        taken, self._delta = self._delta, TrendState(self._half_lives_s)
        self._is_whole_due = False
        if is_full:
            taken = TrendState(self._half_lives_s)
            for trend in trends:
                taken.merge(trend)
        return is_full, taken
