"""Tokens of many texts in one flat array: made once, then cut into padded batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Tokens:
    """Token ids of n texts, each at least one token long."""

    flat: npt.NDArray[np.int32]
    """Ids of all texts, one text behind the other."""
    starts: Rows
    """(n + 1,) where each text begins in ``flat``; the last entry is the end."""
    pad_id: int
    """What stands behind a shorter text; the mask hides it."""

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> Rows:
        """(n,) tokens of each text."""
        return np.diff(self.starts)

    def padded(self, rows: Rows) -> tuple[torch.Tensor, torch.Tensor]:
        """One batch, padded on the right to its longest text.

        Args:
            rows: (m,) positions of texts; at least one.

        Returns:
            ``(ids, mask)``, both (m, tokens) int64 on the CPU; the mask is 1 for a token.
        """
        lengths = self.starts[rows + 1] - self.starts[rows]
        places = np.arange(int(lengths.max()))
        mask = places < lengths[:, None]
        ids = np.full(mask.shape, self.pad_id, dtype=np.int64)
        ids[mask] = self.flat[(self.starts[rows][:, None] + places)[mask]]
        return torch.from_numpy(ids), torch.from_numpy(mask.astype(np.int64))


def tokenise(tokenizer: Any, texts: Sequence[str], max_tokens: int) -> Tokens:
    """The tokens of texts; what is longer than ``max_tokens`` is cut.

    Args:
        tokenizer: of transformers; it needs no padding token, as decoders have none.
        texts: any number of them; one without tokens counts as one padding token.
        max_tokens: longest text.
    """
    pad_id = _pad_id(tokenizer)
    found: Sequence[list[int]] = []
    if len(texts) > 0:
        found = tokenizer(list(texts), truncation=True, max_length=max_tokens)["input_ids"]
    ids = [text or [pad_id] for text in found]
    flat = np.fromiter((token for text in ids for token in text), dtype=np.int32)
    starts = np.concatenate([[0], np.cumsum([len(text) for text in ids], dtype=np.int64)])
    return Tokens(flat, starts.astype(np.int64), pad_id)


def length_buckets(n_tokens: Sequence[int] | Rows, batch_tokens: int) -> Iterator[Rows]:
    """Cut texts into batches of similar length.

    Args:
        n_tokens: length of each text.
        batch_tokens: most tokens of a batch, padding included; a longer text stands alone.

    Yields:
        Positions of the texts of one batch; each text once, the longest batch first.
    """
    order = np.argsort(-np.asarray(n_tokens, dtype=np.int64), kind="stable")
    start = 0
    while start < len(order):
        size = max(1, batch_tokens // max(1, int(n_tokens[order[start]])))
        yield order[start : start + size]
        start += size


def _pad_id(tokenizer: Any) -> int:
    """The padding token, else the end of text, else the unknown token, else the first one."""
    known = (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id, 0)
    return next(int(token) for token in known if token is not None)
