"""The ranking weights of one gateway: how it hears that they were moved by feedback."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from recsys.bundle import Bundle
from recsys.errors import RecsysError
from recsys.ranker.versions import latest
from serving.slates import SlateMaker

log = logging.getLogger(__name__)


class WeightFollower:
    """Brings moved weights into a gateway.

    Args:
        bundle: of this gateway, and where its store is; weights of another are passed over.
        slates: what ranks by them.
    """

    def __init__(self, bundle: Bundle, slates: SlateMaker) -> None:
        self._bundle, self._slates = bundle, slates
        self.version: str | None = None
        """The version that counts here; None = the weights as they were fitted."""

    def refresh(self) -> bool:
        """Take the latest weights; whether they are others than before.

        Raises:
            RecsysError: if they cannot be read; those known before go on counting.
        """
        fitted = self._bundle.ranker
        found = latest(self._bundle.store, self._bundle.tenant, self._bundle.bundle_id)
        name = None if found is None else found.name
        if fitted is None or name == self.version:
            return False
        weights = fitted.weights if found is None else found.weights
        self._slates.rank_by(replace(fitted, weights=dict(weights)))
        self.version = name
        log.info("ranking weights", extra={"version": name})
        return True

    async def follow(self, every_s: float) -> None:
        """``refresh`` for ever; while it fails, the weights known before go on counting."""
        while True:
            try:
                await asyncio.to_thread(self.refresh)
            except RecsysError as error:
                log.warning("ranking weights may be old: %s", error)
            await asyncio.sleep(every_s)
