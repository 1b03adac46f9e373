"""A pool, as those see it who ask it: a client of actors, or one that is all in a process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recsys.schema import Event
from serving.pool.messages import AckBatch, ProfileView, ShardStatus, TrendUpdate


class Pool(Protocol):
    """What the gateway needs of a pool."""

    async def append(self, events: Sequence[Event]) -> AckBatch:
        """Commit and fold events."""
        ...

    async def read(
        self,
        user_ids: Sequence[str],
        as_of: float,
        min_versions: Mapping[int, int],
        timeout_s: float | None = None,
    ) -> list[ProfileView]:
        """Profiles, in the order of ``user_ids``."""
        ...

    async def record(self, user_id: str, timeout_s: float) -> pa.Table | None:
        """All events of a user, schema ``EVENTS``; None where reading them would take too long."""
        ...

    async def pull_trend(self, version: int) -> TrendUpdate:
        """What came to the trend board since ``version``."""
        ...

    async def waiting_texts(self) -> dict[str, list[str]]:
        """Name of a shard -> texts that its events wait for; shards that want none are left out."""
        ...

    async def take_texts(
        self, shard: str, texts: Sequence[str], vectors: npt.NDArray[np.float32]
    ) -> int:
        """Bring a shard the vectors (n, E) of texts (n,); return how many events they folded."""
        ...

    async def status(self) -> list[ShardStatus]:
        """What each shard holds."""
        ...
