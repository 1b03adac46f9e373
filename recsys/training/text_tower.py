"""The language model as a part of the network: item rows in, text vectors with gradients out.

    vector_i = normalise(pool(model(tokens of item i)))          (E), 0 for an item without text

A step back-propagates into few of the catalog's texts. The others come out of a bank of detached
vectors, made anew from time to time::

    rows = tower.chosen(touched_rows, generator)     # at most n_text_rows texts of a batch
    text = tower.table()                             # (N, E), no gradients
    text[rows] = tower(rows)                         # with gradients
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule

from recsys.encoder.text import load_language_model, pool
from recsys.encoder.tokens import Rows, Tokens, length_buckets, tokenise
from recsys.encoder.weights import EncoderFiles, encoder_files
from recsys.errors import ConfigError
from recsys.settings import EncoderSettings
from recsys.training.options import TrainSettings
from recsys.training.text_lora import add_lora, lora_dropouts
from recsys.training.text_peers import Alone, Peers, assign, whole

_MIN_NORM = 1e-6
_UNUSED = "pooler"  # of BERT-like models; the vector does not pass through it


class TextTower(nn.Module):
    """A language model that is trained on the texts of a catalog.

    Args:
        folder: a Hugging Face model with safetensors weights and its tokenizer.
        texts: what each of the N items says; the empty string where it says nothing.
        encoder: pooling, longest text and size of a batch.
        train: ``stage`` (``lora`` or ``full``), adapters, ``precision``, checkpointing, seed.
        peers: the workers that train together; each must call the tower equally often.

    Raises:
        NotFoundError: if there is no such folder.
        ConfigError: if it holds no model that transformers can load, if peft is missing, if the
            model has no layers for adapters, or if it cannot recompute its activations.
        ValueError: if the stage is ``frozen``, which needs no tower.
    """

    def __init__(
        self,
        folder: str | Path,
        texts: Sequence[str],
        encoder: EncoderSettings,
        train: TrainSettings,
        peers: Peers | None = None,
    ) -> None:
        super().__init__()
        if train.stage == "frozen":
            raise ValueError("stage must be lora or full: frozen vectors need no tower")
        self.files: EncoderFiles = encoder_files(folder, encoder)
        self.settings, self._train = encoder, train
        self.peers: Peers = peers if peers is not None else Alone()
        tokenizer, model = load_language_model(folder)
        self.model: Any = model
        said, self._text_of = _distinct(texts)
        self._row_of = torch.from_numpy(np.unique(self._text_of, return_index=True)[1][: len(said)])
        self._tokens: Tokens = tokenise(tokenizer, [*said, ""], encoder.max_tokens)
        self._bank: Tensor | None = None
        self._prepare()
        self.train()

    @property
    def n_dims(self) -> int:
        """E, the width of a text vector."""
        return int(self.model.config.hidden_size)

    @property
    def n_texts(self) -> int:
        """M, the distinct texts."""
        return len(self._tokens) - 1

    def forward(self, rows: Tensor) -> Tensor:
        """Text vectors of items, with gradients; each distinct text is encoded once.

        All trained weights take part even where no item has text, so that workers that wait for
        each other's gradients never wait in vain.

        Args:
            rows: (n,) int64 items of the catalog, equal ones allowed.

        Returns:
            (n, E) float32 unit rows on the model's device; zero rows for items without text.
        """
        texts, place = torch.unique(self._text_of[rows.cpu()], return_inverse=True)
        said = texts[texts < self.n_texts].numpy()
        vectors = self._encode(said)
        nothing = vectors.new_zeros(1, self.n_dims)
        return torch.cat([vectors, nothing])[place.to(vectors.device)]

    def table(self) -> Tensor:
        """(N, E) vectors of the whole catalog without gradients: a copy, made from the bank."""
        return self._kept()[self._text_of.to(self._device)]

    def cached(self, rows: Tensor) -> Tensor:
        """(n, E) vectors of some items without gradients, where a whole table is too large."""
        return self._kept()[self._text_of[rows.cpu()].to(self._device)]

    def refresh(self) -> None:
        """Make the bank anew with the weights as they are now; each worker encodes its share."""
        bank = torch.zeros(self.n_texts + 1, self.n_dims, device=self._device)
        mine = torch.arange(self.peers.rank, self.n_texts, self.peers.n)
        training = self.training
        self.eval()
        with torch.no_grad():
            bank[mine] = self(self._row_of[mine])  # through the module, which gathers shards
        self.train(training)
        if isinstance(self, FSDPModule):
            self.reshard()  # no backward pass comes that would do it
        self._bank = self.peers.total(bank)

    def start_from(self, vectors: npt.NDArray[np.float32]) -> None:
        """Fill the bank with vectors that are known, such as those of the untrained encoder.

        Args:
            vectors: (N, E) float32 unit rows.
        """
        bank = torch.zeros(self.n_texts + 1, self.n_dims)
        bank[self._text_of] = torch.from_numpy(vectors)
        bank[-1] = 0.0
        self._bank = bank.to(self._device)

    def chosen(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        """Items of a batch whose texts are worth a gradient: ``train.n_text_rows`` texts at most.

        Drawn from the occurrences, so an item that stands in the batch more often is chosen more
        often, and a rare one is still chosen at times.

        Args:
            rows: (n,) int64 items, once for each occurrence.
            generator: of the CPU.

        Returns:
            (m,) int64 distinct items in ascending order, all with text; several of one text
            count once.
        """
        rows = rows.cpu()
        texts = self._text_of[rows]
        drawn = texts[torch.randperm(len(texts), generator=generator)].numpy()
        found, first = np.unique(drawn, return_index=True)
        found = found[np.argsort(first)]
        taken = torch.from_numpy(found[found < self.n_texts][: self._train.n_text_rows])
        items: Tensor = torch.unique(rows[torch.isin(texts, taken)])
        return items

    def trained(self) -> dict[str, Tensor]:
        """A copy of the weights that training changes, by name: what a checkpoint keeps."""
        return {n: whole(p).clone() for n, p in self.named_parameters() if p.requires_grad}

    def restore(self, weights: dict[str, Tensor]) -> None:
        """Put back what ``trained`` gave; the bank is made anew when it is asked for.

        Raises:
            ConfigError: if the weights belong to another model or stage.
        """
        mine = {n: p for n, p in self.named_parameters() if p.requires_grad}
        if {n: p.shape for n, p in mine.items()} != {n: w.shape for n, w in weights.items()}:
            raise ConfigError(
                "checkpoint of the language model",
                f"has other trained weights than {self.files.model} at stage {self._train.stage}",
                "Resume with the settings it was written with, or start a new run",
            )
        for name, parameter in mine.items():
            assign(parameter, weights[name])
        self._bank = None

    def train(self, mode: bool = True) -> TextTower:
        """Set dropout: at stage ``lora`` only that of the adapters is ever on."""
        super().train(mode and self._train.stage == "full")
        self.training = mode
        if self._train.stage == "lora":
            for dropout in lora_dropouts(self.model):
                dropout.train(mode)
        for layer in self.model.modules():  # recomputing needs the flag, not the layer's dropout
            if getattr(layer, "gradient_checkpointing", False):
                layer.training = mode
        return self

    def _prepare(self) -> None:
        if self._train.stage == "lora":
            add_lora(self.model, self._train)
        else:
            for name, parameter in self.model.named_parameters():
                parameter.requires_grad_(_UNUSED not in name.split("."))
        if self._train.gradient_checkpointing:
            try:
                self.model.activation_checkpointing_enable()
            except ValueError as error:
                raise ConfigError(
                    "train.gradient_checkpointing = true", str(error), "Set it to false"
                ) from error

    @property
    def _device(self) -> torch.device:
        device: torch.device = next(self.model.parameters()).device
        return device

    def _kept(self) -> Tensor:
        if self._bank is None:
            self.refresh()
        assert self._bank is not None
        if self._bank.device != self._device:  # it was filled before the model moved
            self._bank = self._bank.to(self._device)
        return self._bank

    def _encode(self, texts: Rows) -> Tensor:
        """(m, E) unit vectors of distinct texts, in batches as many as any worker needs."""
        buckets = list(length_buckets(self._tokens.lengths[texts], self.settings.batch_tokens))
        n_batches = self.peers.most(max(1, len(buckets)))  # agreed before anyone gathers weights
        parts = [self._batch(texts[bucket]) for bucket in buckets]
        nothing = np.array([self.n_texts])  # a padding token alone
        idle = [self._batch(nothing).sum() for _ in range(n_batches - len(buckets))]
        if len(parts) == 0:
            return torch.zeros(0, self.n_dims, device=self._device) + 0.0 * sum(idle)
        back = torch.from_numpy(np.argsort(np.concatenate(buckets))).to(self._device)
        return torch.cat(parts)[back] + 0.0 * sum(idle)

    def _batch(self, texts: Rows) -> Tensor:
        ids, mask = (part.to(self._device) for part in self._tokens.padded(texts))
        with self._precision():
            hidden = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
        return _unit(pool(hidden.float(), mask, self.settings.pooling))

    def _precision(self) -> AbstractContextManager[Any]:
        if self._train.precision == "bf16":
            return torch.autocast(self._device.type, dtype=torch.bfloat16)
        return nullcontext()


def _distinct(texts: Sequence[str]) -> tuple[list[str], Tensor]:
    """M distinct texts, and (N,) which of them each item says; M = none."""
    said = list(dict.fromkeys(text for text in texts if text))
    place = {text: i for i, text in enumerate(said)}
    return said, torch.tensor([place.get(text, len(said)) for text in texts], dtype=torch.int64)


def _unit(vectors: Tensor) -> Tensor:
    """Rows scaled to length 1; rows of (nearly) no length become zero."""
    norms: Tensor = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    return vectors / norms.clamp(min=_MIN_NORM) * (norms > _MIN_NORM)
