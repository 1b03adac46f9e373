"""Text towers on tiny models, and a toy objective for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from recsys.settings import EncoderSettings
from recsys.training.options import TrainSettings
from recsys.training.text_tower import TextTower
from tests.unit.encoder.models import save_decoder, save_encoder

TEXTS = [
    "red apple pie", "horror film", "", "ghost house horror", "red apple pie", "green apple",
    "romance film", "blue house", "ghost film", "apple pie romance blue house film",
]  # fmt: skip
"""Item 2 says nothing; items 0 and 4 say the same."""
LIKED_TOGETHER = [(0, 5), (1, 8), (3, 9), (6, 7)]


def save_models(folder: Path) -> dict[str, Path]:
    """A tiny encoder and a tiny decoder."""
    return {kind: save(folder / kind) for kind, save in _SAVES.items()}


def tower_on(folder: Path, pooling: Any = "mean", **train: Any) -> TextTower:
    """A tower on ``TEXTS``, stage ``lora`` unless told, batches of a few texts."""
    settings = TrainSettings(**{"stage": "lora", "lora_dropout": 0.0, **train})
    return TextTower(folder, TEXTS, EncoderSettings(pooling=pooling, batch_tokens=16), settings)


def toy_loss(tower: TextTower) -> Tensor:
    """Items that were liked together should be nearer than others."""
    left, right = torch.tensor(LIKED_TOGETHER).T
    scores = tower(left) @ tower(right).T / 0.1
    return torch.nn.functional.cross_entropy(scores, torch.arange(len(left)))


def fit(tower: TextTower, n_steps: int, rate: float = 1e-2) -> list[float]:
    """Losses of a few steps of AdamW."""
    optimiser = torch.optim.AdamW([p for p in tower.parameters() if p.requires_grad], lr=rate)
    torch.manual_seed(3)  # of the dropout
    losses = []
    for _ in range(n_steps):
        loss = toy_loss(tower)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


_SAVES = {"encoder": save_encoder, "decoder": save_decoder}
