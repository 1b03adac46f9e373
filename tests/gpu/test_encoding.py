"""Texts are encoded by actors that share a GPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipelines.encode import BLOCK_TEXTS, encoder_source, text_vectors
from pipelines.models import model_folder
from recsys.encoder.text import TextEncoder
from recsys.encoder.weights import encoder_files
from recsys.settings import EncoderSettings
from recsys.store import Store

pytestmark = [pytest.mark.gpu, pytest.mark.ray, pytest.mark.usefixtures("cluster")]


def test_two_actors_on_a_gpu_read_what_a_cpu_reads(tmp_path: Path) -> None:
    settings = EncoderSettings(num_gpus=0.5)
    folder = model_folder(settings.model)
    texts = [f"a film about {n} brothers in {n % 17} houses" for n in range(5 * BLOCK_TEXTS)]
    source = encoder_source(Store(str(tmp_path)), encoder_files(folder, settings), settings)
    found = text_vectors(texts, source)
    assert found.n_encoded == len(texts)
    some = slice(0, len(texts), 40)
    expected = TextEncoder(folder, settings).encode(texts[some])
    read = found.distinct[found.row[some]]
    assert np.einsum("ne,ne->n", read, expected).min() > 0.999
