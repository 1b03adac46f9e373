"""The text encoder as a service: the language model stands in one process, not in every gateway."""

from __future__ import annotations

import asyncio
import logging
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from recsys.blobs import write_files
from recsys.bundle_manifest import load_manifest
from recsys.errors import NotFoundError, RecsysError
from recsys.settings import EncoderSettings
from recsys.store import Store
from serving.observability.encoder_meters import EncoderMeters

log = logging.getLogger(__name__)


class EncoderService:
    """Encodes what visitors say. The model loads behind the scenes; an early text waits for it.

    Args:
        store_uri: where the bundle is.
        tenant: whose.
        bundle_id: whose encoder.
        meters: told of each batch; None = nobody is.
    """

    def __init__(
        self, store_uri: str, tenant: str, bundle_id: str, meters: EncoderMeters | None = None
    ) -> None:
        self._meters = EncoderMeters() if meters is None else meters
        self._source = (store_uri, tenant, bundle_id)
        self._encoder: object = None
        self._lock = threading.Lock()
        threading.Thread(target=self._warm, daemon=True, name="load-encoder").start()

    async def encode(self, texts: list[str]) -> npt.NDArray[np.float32]:
        """(n, E) float32 unit rows, before projection.

        Raises:
            NotFoundError: if the bundle has no encoder.
        """
        return await asyncio.to_thread(self._encode, texts)

    def _warm(self) -> None:
        try:
            self._encode(["warm"])
        except RecsysError as error:  # whoever sends a text is told, and tries again
            log.info("no encoder yet: %s", error)

    def _encode(self, texts: list[str]) -> npt.NDArray[np.float32]:
        with self._lock:
            if self._encoder is None:
                self._encoder = self._load()
            began = time.perf_counter()
            vectors = self._encoder.encode(texts)  # type: ignore[attr-defined]
            self._meters.batch(len(texts), time.perf_counter() - began)
            return vectors  # type: ignore[no-any-return]

    def _load(self) -> object:
        from recsys.encoder.text import TextEncoder  # noqa: PLC0415 - torch, only when needed

        store_uri, tenant, bundle_id = self._source
        store = Store(store_uri)
        manifest = load_manifest(store, tenant, bundle_id)
        entry = manifest["encoder"]
        if entry is None:
            raise NotFoundError(f"encoder of bundle {bundle_id}", "does not exist")
        settings = EncoderSettings.model_validate(manifest["settings"]["encoder"])
        with tempfile.TemporaryDirectory(prefix="halflife-encoder-") as folder:
            write_files(store, entry["files"], folder)
            return TextEncoder(Path(folder), settings)
