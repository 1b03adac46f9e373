"""A pool and an encoder as a gateway asks them, with what they take told to its meters."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recsys.schema import Event
from serving.observability.meters import GatewayMeters
from serving.observability.request import Clock, current
from serving.pool.messages import AckBatch, ProfileView, ShardStatus, TrendUpdate
from serving.pool.protocol import Pool
from serving.word_reader import Encode


class MeteredPool:
    """A ``Pool`` that tells how long reads take, when events take effect, and how fresh it all is.

    Args:
        pool: that does the work.
        meters: told of it.
        bundle_made_at: Unix seconds at which the bundle was made.
        now: Unix seconds.
        clock_offset_s: by which the pool's time is ahead of ``now``, where an old log is replayed.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        pool: Pool,
        meters: GatewayMeters,
        bundle_made_at: float,
        now: Clock = time.time,
        clock_offset_s: float = 0.0,
        clock: Clock = time.perf_counter,
    ) -> None:
        self._pool, self._meters = pool, meters
        self._now, self._clock, self._offset_s = now, clock, clock_offset_s
        self._bundle_made_at = bundle_made_at
        self._trend_as_of = now() + clock_offset_s
        self._waits_since: float | None = None

    async def append(self, events: Sequence[Event]) -> AckBatch:
        """See ``Pool``."""
        began = current().started or self._clock()
        ack = await self._pool.append(events)
        told = (ack.n_accepted, ack.n_duplicates, ack.n_pending, len(ack.refused))
        self._meters.events(*told)
        if ack.n_accepted > 0 and ack.n_pending == 0:
            self._meters.effect(self._clock() - began)
        return ack

    async def read(
        self,
        user_ids: Sequence[str],
        as_of: float,
        min_versions: Mapping[int, int],
        timeout_s: float | None = None,
    ) -> list[ProfileView]:
        """See ``Pool``."""
        began = self._clock()
        try:
            return await self._pool.read(user_ids, as_of, min_versions, timeout_s)
        finally:
            current().stage("profile", self._clock() - began)

    async def record(self, user_id: str, timeout_s: float) -> pa.Table | None:
        """See ``Pool``."""
        return await self._pool.record(user_id, timeout_s)

    async def pull_trend(self, version: int) -> TrendUpdate:
        """See ``Pool``; whether it comes or not, the age of what is there is told."""
        try:
            update = await self._pool.pull_trend(version)
            self._trend_as_of = max(update.as_of, self._trend_as_of)
        finally:
            self._tell_age()
        return update

    async def waiting_texts(self) -> dict[str, list[str]]:
        """See ``Pool``."""
        waiting = await self._pool.waiting_texts()
        if len(waiting) == 0:
            self._waits_since = None
        elif self._waits_since is None:
            self._waits_since = self._clock()
        return waiting

    async def take_texts(
        self, shard: str, texts: Sequence[str], vectors: npt.NDArray[np.float32]
    ) -> int:
        """See ``Pool``."""
        return await self._pool.take_texts(shard, texts, vectors)

    async def status(self) -> list[ShardStatus]:
        """See ``Pool``."""
        return await self._pool.status()

    def _tell_age(self) -> None:
        now = self._now()
        waits = 0.0 if self._waits_since is None else self._clock() - self._waits_since
        trend_age = now + self._offset_s - self._trend_as_of
        self._meters.fresh(max(0.0, trend_age), now - self._bundle_made_at, waits)


def metered_encode(
    encode: Encode, meters: GatewayMeters, clock: Clock = time.perf_counter
) -> Encode:
    """An encoder that tells how many texts a call had, and how long it took."""

    async def metered(texts: Sequence[str]) -> npt.NDArray[np.float32]:
        began = clock()
        vectors = await encode(texts)
        meters.encoded(len(texts), clock() - began)
        return vectors

    return metered
