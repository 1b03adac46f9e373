"""The trend board: the sum of all shards' trends, handed on to gateways in small pieces.

Shards push numbered deltas; a gap in the numbers (a restart on either side) makes the board ask
for the shard's full sum, which is pushed once a minute too, so a lost delta heals itself. Gateways
pull what came since the version that they hold: deltas as a rule, the whole after a replacement.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence

from recsys.trend import TrendState
from serving.pool.messages import Columns, TrendPush, TrendUpdate

N_DELTAS = 256


class TrendBoard:
    """Runs as a named actor.

    Args:
        shards: names of the shards that must have pushed before ``as_of`` means anything.
        first_version: where versions start; None = the clock's microseconds, so that a board that
            was started again never gives a version twice.
    """

    def __init__(self, shards: Sequence[str], first_version: int | None = None) -> None:
        self._totals: dict[str, TrendState] = {}
        self._sequences: dict[str, int] = {}
        self._as_of = dict.fromkeys(shards, float("-inf"))
        self._version = time.time_ns() // 1_000 if first_version is None else first_version
        self._whole_since = self._version  # holders of an older version must replace, not add
        self._deltas: deque[tuple[int, Columns]] = deque(maxlen=N_DELTAS)

    def expect(self, shards: Sequence[str]) -> None:
        """From now on these are the shards: what others pushed is taken out."""
        self._as_of = {shard: self._as_of.get(shard, float("-inf")) for shard in shards}
        gone = [shard for shard in self._totals if shard not in self._as_of]
        for shard in gone:
            del self._totals[shard]
            self._sequences.pop(shard, None)
        if gone:
            self._replaced()

    def push(self, push: TrendPush) -> bool:
        """Take a shard's news.

        Returns:
            False if something is missing in between: push the full sum.
        """
        known = self._sequences.get(push.shard)
        if not push.is_full:
            if known is None or push.sequence > known + 1:
                return False
            if push.sequence <= known:
                return True
        state = TrendState.from_columns(push.columns)
        if push.is_full:
            self._replace(push.shard, state)
        elif len(state.items) > 0:
            self._add(push.shard, state, push.columns)
        self._sequences[push.shard] = push.sequence
        self._as_of[push.shard] = push.as_of
        return True

    def pull(self, version: int) -> TrendUpdate:
        """What a holder of ``version`` (0 = nothing) lacks."""
        as_of = min(self._as_of.values(), default=float("-inf"))
        oldest = self._deltas[0][0] if len(self._deltas) > 0 else self._version + 1
        has_gap = version < self._version and version + 1 < oldest
        if version < self._whole_since or version > self._version or has_gap:
            return TrendUpdate(self._version, as_of, is_full=True, parts=self._whole())
        parts = tuple(columns for number, columns in self._deltas if number > version)
        return TrendUpdate(self._version, as_of, is_full=False, parts=parts)

    def _replace(self, shard: str, state: TrendState) -> None:
        self._totals[shard] = state
        self._replaced()

    def _replaced(self) -> None:
        self._version += 1
        self._whole_since = self._version
        self._deltas.clear()

    def _add(self, shard: str, state: TrendState, columns: Columns) -> None:
        self._totals[shard].merge(state)
        self._version += 1
        self._deltas.append((self._version, columns))

    def _whole(self) -> tuple[Columns, ...]:
        states = list(self._totals.values())
        if len(states) == 0:
            return ()
        whole = TrendState(states[0].half_lives_s)
        for state in states:
            whole.merge(state)
        return (whole.columns(),)
