"""The language model in a training worker, for the stages ``lora`` and ``full``.

It starts from the encoder whose files stand in the store; the tuned one, its adapters merged, goes
back there, and the bundle names it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from pipelines.downloads import cache_folder
from pipelines.encode import EncoderSource
from recsys.blobs import put_blob, write_files
from recsys.encoder.weights import EncoderFiles, encoder_files
from recsys.settings import Settings
from recsys.store import Store, digest
from recsys.training.learner import Learner
from recsys.training.text_merge import merged_encoder
from recsys.training.text_peers import Peers
from recsys.training.text_tower import TextTower

Blobs = Mapping[str, Mapping[str, Any]]
"""File name -> blob entry."""


def tower_of(
    source: EncoderSource | None,
    texts: Sequence[str],
    settings: Settings,
    peers: Peers | None = None,
) -> TextTower | None:
    """The language model, from a copy of its files in this node's cache; None without a source.

    Args:
        source: what training starts from; None = the stage is ``frozen``.
        texts: what each of the N items says.
        settings: of the encoder and of training.
        peers: the workers that train together.
    """
    if source is None:
        return None
    place = cache_folder() / "encoders" / source.encoder_id
    folder = write_files(source.store, source.files, place)
    return TextTower(folder, texts, settings.encoder, settings.train, peers)


def begin(learner: Learner, is_new: bool) -> None:
    """Fill the bank of text vectors before the first step; every worker must ask.

    Args:
        learner: in its first place, or restored.
        is_new: the language model is the one that made the vectors of the surroundings.
    """
    language = learner.network.language
    if language is None:
        return
    if is_new and learner.surroundings.text is not None:
        language.start_from(learner.surroundings.text.copy())
        return
    if learner.parallel is not learner.network:
        with torch.no_grad():
            learner.parallel(None)  # the whole is the root of what is sharded, not its parts
    learner.refresh()


def tuned_blobs(learner: Learner, store: Store) -> dict[str, Any] | None:
    """Put the tuned encoder's files into the store; None where none was tuned."""
    language = learner.network.language
    if language is None:
        return None
    with tempfile.TemporaryDirectory(prefix="hl-tuned-") as folder:
        files = merged_encoder(language, folder)
        assert files is not None
        return {
            name: put_blob(store, name, path.read_bytes()) for name, path in files.files.items()
        }


def tuned_encoder(store: Store, blobs: Blobs, settings: Settings) -> EncoderFiles:
    """The tuned encoder as files in this node's cache."""
    name = digest("".join(sorted(entry["sha256"] for entry in blobs.values())).encode())[:16]
    folder = write_files(store, blobs, cache_folder() / "encoders" / f"tuned-{name}")
    return encoder_files(folder, settings.encoder)
