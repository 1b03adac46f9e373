"""What the items say, as a training run needs it: vectors, and the encoder that they came from."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipelines.encode import EncoderSource, encoder_source, text_vectors
from pipelines.job import Job
from pipelines.models import model_folder
from recsys.catalog import Catalog
from recsys.encoder.weights import EncoderFiles, encoder_files
from recsys.errors import ConfigError

Floats = npt.NDArray[np.float32]


def read_texts(
    job: Job, catalog: Catalog
) -> tuple[EncoderFiles | None, EncoderSource | None, Floats | None]:
    """The encoder, twice, and (N, E) vectors of the texts; None where nothing says anything.

    Raises:
        ConfigError: if the language model is to be trained and there is nothing to read.
    """
    stage, texts = job.settings.train.stage, catalog.item_texts()
    if stage != "frozen" and not (job.settings.model.use_text and any(texts)):
        raise ConfigError(
            f"train.stage = {stage}", "has no item text to train on", "Use train.stage=frozen"
        )
    if not job.settings.model.use_text:
        return None, None, None
    encoder = encoder_files(model_folder(job.settings.encoder.model), job.settings.encoder)
    source = encoder_source(job.store, encoder, job.settings.encoder)
    found = text_vectors(texts, source)
    if len(found.distinct) == 0:
        return encoder, source, None
    nothing = np.zeros((1, found.distinct.shape[1]), np.float32)
    return encoder, source, np.concatenate([found.distinct, nothing])[found.row]
