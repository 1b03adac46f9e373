"""A trained language model as a plain encoder folder, which every reader of encoders can load."""

from __future__ import annotations

import shutil
from pathlib import Path

from transformers.utils import logging as transformers_logging

from recsys.encoder.weights import EncoderFiles, encoder_files
from recsys.training.text_lora import plain_weights
from recsys.training.text_tower import TextTower


def merged_encoder(tower: TextTower, folder: str | Path) -> EncoderFiles | None:
    """Write the model with its adapters merged: safetensors, tokenizer and config, no pickle.

    The tower is not changed and may be trained further.

    Args:
        tower: trained or not. Where its weights are sharded every worker must call this; else
            the first one suffices.
        folder: made if it does not exist; files of the same names are replaced.

    Returns:
        The files, under the id of the tuned encoder; None in all workers but the first, which
        alone writes.
    """
    folder = Path(folder)
    weights = plain_weights(tower.model)
    if tower.peers.rank != 0:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    transformers_logging.disable_progress_bar()
    tower.model.save_pretrained(folder, state_dict=weights)
    for name, path in tower.files.files.items():
        if ".safetensors" not in name:
            shutil.copy(path, folder / name)
    return encoder_files(folder, tower.settings)
