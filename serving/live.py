"""The catalog as it is now: what changes in the archive counts in slates moments later.

Availability counts at once. Texts that no vector is known of are encoded first; the bundle itself,
and the profiles that were folded with it, stay as they are.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recsys.bundle import Bundle
from recsys.errors import RecsysError
from recsys.live_catalog import Amendment, amended, amendment
from serving.catalog import CatalogDesk
from serving.stage import Front, Stage
from serving.word_reader import Encode

log = logging.getLogger(__name__)

BATCH = 64
"""Texts that the encoder is asked for together."""
REST_S = 1.0
"""Seconds after a failure before it is tried again."""


class LiveCatalog:
    """Lets the front of a bundle follow the items of its tenant.

    Args:
        bundle: as it was published.
        desk: of the items.
        encode: the text encoder; None = the bundle has none, and new items are found by trend only.
        make_front: what answers from a bundle; asked in a thread of its own.
    """

    def __init__(
        self,
        bundle: Bundle,
        desk: CatalogDesk,
        encode: Encode | None,
        make_front: Callable[[Bundle], Front],
    ) -> None:
        self._bundle, self._desk = bundle, desk
        self._encode, self._make_front = encode, make_front
        self._vectors: dict[str, npt.NDArray[np.float32]] = {}
        self._shown: pa.Table | None = None
        self._is_unread = False

    def first(self) -> Front:
        """The front to begin with: what was taken away since the bundle is gone.

        Raises:
            RecsysError: if the items cannot be read.
        """
        self._desk.refresh()
        self._shown = self._desk.table
        change = amendment(self._bundle.catalog, self._shown)
        self._is_unread = self._encode is not None and len(change.texts(self._bundle.catalog)) > 0
        return self._make_front(self._told(change))

    async def follow(self, stage: Stage) -> None:
        """Bring changes on the stage for ever; while that fails, what was known goes on counting.

        Args:
            stage: where the front of this bundle answers.
        """
        loop, woken = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            loop.call_soon_threadsafe(woken.set)

        self._desk.tell(wake)
        while True:
            pause_s = stage.front.gateway.settings.serving.catalog_poll_s
            try:
                await self.bring(stage)
            except RecsysError as error:
                log.warning("items may be old: %s", error)
                pause_s = max(pause_s, REST_S)
            try:
                async with asyncio.timeout(pause_s):
                    await woken.wait()
                woken.clear()
            except TimeoutError:
                pass

    async def bring(self, stage: Stage) -> bool:
        """Bring what changed on the stage; whether anything had.

        Raises:
            RecsysError: if items cannot be read, or texts not encoded; what needs no vector counts
                by then, and what does is tried again with the next call.
        """
        await asyncio.to_thread(self._desk.refresh)
        table = self._desk.table
        if table is self._shown and not self._is_unread:
            return False
        change = await asyncio.to_thread(amendment, self._bundle.catalog, table)
        needed = [] if self._encode is None else change.texts(self._bundle.catalog)
        missing = [text for text in needed if text not in self._vectors]
        if table is not self._shown:
            await self._show(stage, change)
            self._shown, self._is_unread = table, len(missing) > 0
        if len(missing) > 0:
            await self._read(missing)
            await self._show(stage, change)
            self._is_unread = False
        wanted = self._vectors.keys() & set(needed)
        self._vectors = {text: self._vectors[text] for text in wanted}
        return True

    async def _read(self, texts: list[str]) -> None:
        """Have texts encoded; what was done before an error is kept."""
        if self._encode is None:
            return
        for start in range(0, len(texts), BATCH):
            batch = texts[start : start + BATCH]
            self._vectors.update(zip(batch, await self._encode(batch), strict=True))

    async def _show(self, stage: Stage, change: Amendment) -> None:
        front = await asyncio.to_thread(lambda: self._make_front(self._told(change)))
        await stage.exchange(front)

    def _told(self, change: Amendment) -> Bundle:
        return amended(self._bundle, change, self._vectors) if change.is_other else self._bundle
