"""What users said, read behind the requests: shards name texts, the encoder reads, shards fold.

An event is acknowledged without its words; its shard keeps it until the vector of the text comes.
A shard that was started again finds such events in its snapshot and in the ledger's tail, so it is
enough to ask the shards now and then: nothing is handed on that could be lost on the way. Several
gateways may read the same text; an event is folded once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import numpy as np
import numpy.typing as npt

from recsys.errors import UnavailableError
from serving.pool.protocol import Pool

log = logging.getLogger(__name__)

ASK_EVERY_S = 5.0
"""Seconds between two looks at the shards while nobody posts words here."""

Encode = Callable[[Sequence[str]], Awaitable[npt.NDArray[np.float32]]]
"""n texts as the encoder's (n, E) vectors, before projection."""


class WordReader:
    """Brings the shards the vectors of what their users said.

    Args:
        pool: the profiles.
        encode: the text encoder.
    """

    def __init__(self, pool: Pool, encode: Encode) -> None:
        self._pool = pool
        self._encode = encode
        self._is_wanted = asyncio.Event()

    def wake(self) -> None:
        """Look at once: an event that waits for its words was just accepted."""
        self._is_wanted.set()

    async def follow(self) -> None:
        """Read for ever; what cannot be read now is tried again."""
        while True:
            self._is_wanted.clear()
            n_read = 0
            try:
                n_read = await self.read()
            except UnavailableError as error:
                log.warning("words are not read yet: %s", error)
            if n_read == 0:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._is_wanted.wait(), ASK_EVERY_S)

    async def read(self) -> int:
        """Read what every shard waits for, a bounded number of texts of each.

        Returns:
            Number of events that were folded.

        Raises:
            UnavailableError: if the encoder or a shard does not answer.
        """
        waiting = await self._pool.waiting_texts()
        n_folded = 0
        for shard, texts in waiting.items():
            vectors = await self._encode(texts)
            n_folded += await self._pool.take_texts(shard, texts, vectors)
        return n_folded
