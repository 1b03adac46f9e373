"""What items and users say, as a training run needs it: vectors, and the encoder they came from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipelines.encode import EncoderSource, encoder_source, text_vectors
from pipelines.job import Job
from pipelines.models import model_folder
from recsys.encoder.weights import EncoderFiles, encoder_files
from recsys.errors import ConfigError
from recsys.settings import Settings
from recsys.training.surroundings import Texts

Floats = npt.NDArray[np.float32]


class ReadTexts(NamedTuple):
    """What the language model made of the texts, and the model itself."""

    encoder: EncoderFiles | None
    """None where texts are not read."""
    source: EncoderSource | None
    """The same for every node."""
    texts: Texts


def max_texts(settings: Settings) -> int:
    """Most distinct texts of events that training reads.

    None are read where the language model is trained too: their vectors would be those of the
    model as it was.
    """
    reads = settings.model.use_text and settings.train.stage == "frozen"
    return settings.train.max_event_texts if reads else 0


def read_texts(job: Job, item_texts: Sequence[str], event_texts: Sequence[str] = ()) -> ReadTexts:
    """The vectors of all texts; those that no job read before are encoded now, and kept.

    Args:
        job: store and settings.
        item_texts: (N,) empty where an item says nothing.
        event_texts: (M,) distinct.

    Raises:
        ConfigError: if the language model is to be trained and there is nothing to read.
    """
    stage = job.settings.train.stage
    if stage != "frozen" and not (job.settings.model.use_text and any(item_texts)):
        raise ConfigError(
            f"train.stage = {stage}", "has no item text to train on", "Use train.stage=frozen"
        )
    if not job.settings.model.use_text:
        return ReadTexts(None, None, Texts(None))
    encoder = encoder_files(model_folder(job.settings.encoder.model), job.settings.encoder)
    source = encoder_source(job.store, encoder, job.settings.encoder)
    found = text_vectors([*item_texts, *event_texts], source)
    items, events = np.split(found.row, [len(item_texts)])
    return ReadTexts(
        encoder,
        source,
        Texts(
            _with_silence(found.distinct)[items] if np.any(items >= 0) else None,
            found.distinct[events] if len(events) else None,
        ),
    )


def _with_silence(vectors: Floats) -> Floats:
    """Vectors (n, E), and a row of zeros in the last place, where -1 points to."""
    return np.concatenate([vectors, np.zeros((1, vectors.shape[1]), np.float32)])
