"""Texts to vectors: the cache first, then a Ray Data pool of actors that each hold the encoder.

Every distinct text is encoded once, whatever the number of items that say it, and never again
while the encoder stays the same. What comes out of the pool is cached file by file, so a stopped
job continues where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import ray
import ray.data
from ray.data import ActorPoolStrategy

from pipelines.downloads import cache_folder
from pipelines.job import progress, ray_session
from recsys.blobs import put_blob, write_files
from recsys.encoder.cache import VectorCache, text_hash
from recsys.encoder.text import TextEncoder
from recsys.encoder.weights import EncoderFiles
from recsys.errors import ChecksumError, ConfigError
from recsys.settings import EncoderSettings
from recsys.store import Store

BLOCK_TEXTS = 256
"""Texts in one task of an actor; no more than this are encoded by the job itself."""
TEXTS_PER_ACTOR = 512
"""Fewer texts than this per actor do not pay for loading the model once more."""
FILE_TEXTS = 8_192
"""Texts in one file of the cache."""


@dataclass(frozen=True)
class EncoderSource:
    """An encoder that any node can load, because its files stand in the store."""

    store: Store
    encoder_id: str
    settings: EncoderSettings
    files: Mapping[str, Mapping[str, Any]]
    """File name -> blob entry."""

    def load(self, device: str = "cpu") -> TextEncoder:
        """The encoder, from a copy of its files in this node's cache.

        Args:
            device: where it computes.

        Raises:
            ChecksumError: if the copy is not what was published.
        """
        folder = write_files(self.store, self.files, cache_folder() / "encoders" / self.encoder_id)
        encoder = TextEncoder(folder, self.settings, device=device)
        if encoder.encoder_id != self.encoder_id:
            raise ChecksumError(
                str(folder), f"holds encoder {encoder.encoder_id}, not its own", "Remove the folder"
            )
        return encoder


@dataclass(frozen=True)
class TextVectors:
    """Vectors of n texts."""

    row: npt.NDArray[np.int64]
    """(n,) row of each text in ``distinct``; -1 for an empty text."""
    distinct: npt.NDArray[np.float32]
    """(n_distinct, E) unit rows; (0, 0) where all texts are empty."""
    n_encoded: int
    """Distinct texts that were not in the cache."""

    def projected(
        self, project: Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]], n_dims: int
    ) -> npt.NDArray[np.float32]:
        """(n, D) item vectors; zero rows for empty texts."""
        out = np.zeros((len(self.row), n_dims), dtype=np.float32)
        said = self.row >= 0
        if said.any():
            out[said] = project(self.distinct)[self.row[said]]
        return out


def encoder_source(store: Store, encoder: EncoderFiles, settings: EncoderSettings) -> EncoderSource:
    """Put an encoder's files into the store, so that every node can load them."""
    files = {name: put_blob(store, name, path.read_bytes()) for name, path in encoder.files.items()}
    return EncoderSource(store, encoder.id, settings, files)


def text_vectors(texts: Sequence[str], source: EncoderSource) -> TextVectors:
    """Vectors of all texts; those that the cache lacks are encoded on Ray.

    Args:
        texts: n texts, equal ones allowed.
        source: the encoder.
    """
    said = {text_hash(text): text for text in texts if text}
    cache = VectorCache(source.store, source.encoder_id)
    known = cache.hashes() if said else set()
    missing = {name: text for name, text in said.items() if name not in known}
    if len(missing) > BLOCK_TEXTS:
        with ray_session():
            _encode_on_ray(_longest_first(missing), source, cache)
    elif missing:  # loading the model here takes less time than starting an actor
        _flush([EncodeTexts(source)(_longest_first(missing))], cache)
    names, distinct = cache.get(said)
    row_of = {name: row for row, name in enumerate(names)}
    rows = [row_of[text_hash(text)] if text else -1 for text in texts]
    return TextVectors(np.array(rows, dtype=np.int64), distinct, len(missing))


class EncodeTexts:
    """What an actor of the pool does: ``text_hash, text`` -> ``text_hash, vector``.

    Args:
        source: the encoder.
        device: where it computes.
    """

    def __init__(self, source: EncoderSource, device: str = "cpu") -> None:
        self._encoder = source.load(device)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Encode one block of texts."""
        vectors = self._encoder.encode(batch["text"].to_pylist()).astype(np.float16)
        rows = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
        return pa.table({"text_hash": batch["text_hash"], "vector": rows})


class ActorShare(NamedTuple):
    """What an actor of the pool gets of the cluster."""

    device: str
    """Where it computes."""
    n_at_once: int
    """How many such actors the cluster can hold; at least 1."""


def actor_share(settings: EncoderSettings, resources: Mapping[str, float]) -> ActorShare:
    """Where actors encode, and how many of them fit.

    Args:
        settings: ``num_gpus`` of each actor.
        resources: of the cluster, by Ray's names.

    Raises:
        ConfigError: if an actor asks for more GPUs than there are: it would wait for ever.
    """
    cpus = max(1, int(resources.get("CPU", 1)))
    if settings.num_gpus == 0.0:
        return ActorShare("cpu", cpus)
    gpus = resources.get("GPU", 0.0)
    if gpus < settings.num_gpus:
        raise ConfigError(
            f"encoder.num_gpus = {settings.num_gpus:g}",
            f"is more than the cluster's {gpus:g} GPUs",
            "Set it to 0 to encode on CPUs, or start Ray where GPUs are",
        )
    return ActorShare("cuda", min(cpus, int(gpus / settings.num_gpus + 1e-6)))


def encoding(table: pa.Table, source: EncoderSource, share: ActorShare) -> ray.data.Dataset:
    """The texts of a table on their way through the pool; nothing runs before it is read.

    Args:
        table: ``text_hash, text``.
        source: the encoder.
        share: what each actor gets.
    """
    blocks = [table.slice(i, BLOCK_TEXTS) for i in range(0, len(table), BLOCK_TEXTS)]
    n_actors = min(share.n_at_once, -(-len(table) // TEXTS_PER_ACTOR))
    return ray.data.from_arrow(blocks).map_batches(
        EncodeTexts,
        fn_constructor_args=(source, share.device),
        batch_size=BLOCK_TEXTS,  # a block; Ray Data wants it said where there are GPUs
        batch_format="pyarrow",
        compute=ActorPoolStrategy(min_size=1, max_size=n_actors, initial_size=n_actors),
        num_cpus=1,
        num_gpus=source.settings.num_gpus,
    )


def _longest_first(texts: Mapping[str, str]) -> pa.Table:
    """Texts by hash as a table, similar lengths side by side."""
    names = sorted(texts, key=lambda name: (-len(texts[name]), name))
    return pa.table({"text_hash": names, "text": [texts[name] for name in names]})


def _encode_on_ray(table: pa.Table, source: EncoderSource, cache: VectorCache) -> None:
    share = actor_share(source.settings, ray.cluster_resources())
    ray.data.DataContext.get_current().enable_progress_bars = False  # ours is below
    encoded = encoding(table, source, share)
    with progress("encode texts", total=len(table)) as advance:
        waiting: list[pa.Table] = []
        for batch in encoded.iter_batches(batch_size=None, batch_format="pyarrow"):
            waiting.append(batch)
            advance(len(batch))
            if sum(len(part) for part in waiting) >= FILE_TEXTS:
                _flush(waiting, cache)
        _flush(waiting, cache)


def _flush(waiting: list[pa.Table], cache: VectorCache) -> None:
    if len(waiting) == 0:
        return
    table = pa.concat_tables(waiting)
    flat = np.concatenate(
        [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in table["vector"].chunks]
    )
    cache.put(table["text_hash"].to_pylist(), flat.reshape(len(table), -1).astype(np.float32))
    waiting.clear()
