"""The text encoder: a Hugging Face encoder or decoder model, pooled to one unit vector per text.

Texts are sorted by their length in tokens and cut into batches of about ``batch_tokens`` tokens,
so that little of a forward pass is padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from transformers import AutoModel, AutoTokenizer
from transformers.utils import logging as transformers_logging

from recsys.encoder.projection import unit_rows
from recsys.encoder.tokens import Tokens, length_buckets, tokenise
from recsys.encoder.weights import EncoderFiles, encoder_files
from recsys.errors import ConfigError
from recsys.settings import EncoderSettings


@runtime_checkable
class Encoder(Protocol):
    """Text -> unit vector."""

    @property
    def encoder_id(self) -> str:
        """Equal ids give equal vectors."""
        ...

    @property
    def n_dims(self) -> int:
        """E, the width of a text vector."""
        ...

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """(n, E) float32 unit rows, in the order of the texts."""
        ...


class TextEncoder:
    """An ``Encoder`` on a language model in a local folder.

    Args:
        folder: a Hugging Face model with safetensors weights and its tokenizer.
        settings: pooling, longest text and size of a batch.
        n_threads: CPU threads of a forward pass; many processes with one thread each are faster
            than one process with many.
        device: a torch device, such as ``cpu`` or ``cuda``.

    Raises:
        NotFoundError: if there is no such folder.
        ConfigError: if it holds no model that transformers can load.
    """

    def __init__(
        self,
        folder: str | Path,
        settings: EncoderSettings,
        n_threads: int = 1,
        device: str = "cpu",
    ) -> None:
        self.files: EncoderFiles = encoder_files(folder, settings)
        self._settings = settings
        self._device = device
        torch.set_num_threads(n_threads)
        self._tokenizer, self._model = load_language_model(folder, device)

    @property
    def encoder_id(self) -> str:
        """Hash of weights, tokenizer, pooling and longest text."""
        return self.files.id

    @property
    def n_dims(self) -> int:
        """E, the width of the model's hidden states."""
        return int(self._model.config.hidden_size)

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Encode texts; what is longer than ``max_tokens`` is cut.

        Args:
            texts: any number of them; an empty one counts as one padding token.

        Returns:
            (n, E) float32 unit rows, in the order of the texts.
        """
        vectors = np.empty((len(texts), self.n_dims), dtype=np.float32)
        if len(texts) == 0:
            return vectors
        tokens = tokenise(self._tokenizer, texts, self._settings.max_tokens)
        for batch in length_buckets(tokens.lengths, self._settings.batch_tokens):
            vectors[batch] = self._forward(tokens, batch)
        return vectors

    def _forward(self, tokens: Tokens, batch: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        ids, mask = (part.to(self._device) for part in tokens.padded(batch))
        with torch.inference_mode():
            hidden = self._model(input_ids=ids, attention_mask=mask).last_hidden_state
            pooled = pool(hidden.float(), mask, self._settings.pooling)
        return unit_rows(pooled.cpu().numpy())


def pool(hidden: torch.Tensor, mask: torch.Tensor, pooling: str) -> torch.Tensor:
    """One vector per text out of its token vectors.

    Args:
        hidden: (n, tokens, E).
        mask: (n, tokens) 1 for a token, 0 for padding; padding may stand on either side.
        pooling: ``mean`` of the tokens, ``cls`` the first, ``last`` the last of them.

    Returns:
        (n, E).
    """
    if pooling == "mean":
        weights = mask.to(hidden.dtype).unsqueeze(-1)
        return (hidden * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1.0)
    places = torch.arange(mask.shape[1], device=mask.device) * mask
    if pooling == "last":
        place = places.argmax(dim=1)
    elif pooling == "cls":
        place = mask.to(torch.int64).argmax(dim=1)
    else:
        raise ValueError(f"pooling must be cls, mean or last, not {pooling!r}")
    return hidden[torch.arange(len(hidden), device=hidden.device), place]


def load_language_model(folder: str | Path, device: str = "cpu") -> tuple[Any, Any]:
    """A tokenizer and a model in fp32, ready to read texts.

    Args:
        folder: a Hugging Face model with safetensors weights and its tokenizer.
        device: a torch device.

    Returns:
        ``(tokenizer, model)``; the model stands in eval mode and keeps no cache of keys.

    Raises:
        ConfigError: if the folder holds no model that transformers can load.
    """
    transformers_logging.disable_progress_bar()  # a model loads in a second or two
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model = AutoModel.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype=torch.float32
        )
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(
            f"model folder {folder}", f"cannot be loaded ({error})", "Check encoder.model"
        ) from error
    model.config.use_cache = False  # texts are read, none is written
    return tokenizer, model.eval().to(device)
