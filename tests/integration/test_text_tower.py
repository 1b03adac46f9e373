"""Real language models learn from a slice of MovieLens what was liked by the same people."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor

from pipelines.datasets import fetch
from pipelines.models import model_folder
from recsys.catalog import catalog_from_items
from recsys.encoder.text import TextEncoder
from recsys.events import event_arrays
from recsys.settings import EncoderSettings
from recsys.training.options import TrainSettings
from recsys.training.text_merge import merged_encoder
from recsys.training.text_tower import TextTower

pytestmark = pytest.mark.slow

N_FILMS = 48
N_PAIRS = 16
TEMPERATURE = 0.1


class Slice:
    """The most rated films, and how often one is liked directly after another."""

    def __init__(self) -> None:
        files = fetch("movielens-100k")
        catalog = catalog_from_items(pq.read_table(files.items))
        events = event_arrays(pq.read_table(files.events), catalog.index)
        liked = np.bincount(events.item[events.value >= 4.0], minlength=len(catalog))
        films = np.argsort(-liked, kind="stable")[:N_FILMS]
        local = np.full(len(catalog), -1)
        local[films] = np.arange(N_FILMS)
        kept = (local[events.item] >= 0) & (events.value >= 4.0)
        item, user = local[events.item[kept]], events.user[kept]
        together = user[1:] == user[:-1]
        self.texts = [catalog.item_text(row) for row in films]
        self.pairs = np.stack([item[:-1], item[1:]], axis=1)[together]


@pytest.fixture(scope="module")
def films() -> Slice:
    return Slice()


def losses_of(tower: TextTower, films: Slice, n_steps: int, rate: float) -> list[float]:
    """Train on a few pairs; the loss is that of the next film among those of the step."""
    rng = np.random.default_rng(7)
    pairs = torch.from_numpy(films.pairs[rng.choice(len(films.pairs), N_PAIRS, replace=False)])
    optimiser = torch.optim.AdamW([p for p in tower.parameters() if p.requires_grad], lr=rate)
    torch.manual_seed(7)  # of the dropout
    losses = []
    for _ in range(n_steps + 1):
        rows, place = torch.unique(pairs, return_inverse=True)
        vectors = tower(rows)
        scores = vectors[place[:, 0]] @ vectors.T / TEMPERATURE
        loss: Tensor = torch.nn.functional.cross_entropy(scores, place[:, 1])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


class Case(NamedTuple):
    model: str
    pooling: Literal["mean", "last"]
    stage: Literal["lora", "full"]
    n_steps: int
    rate: float


@pytest.mark.parametrize(
    "case",
    [
        Case("minilm-l6", "mean", "lora", n_steps=10, rate=2e-3),
        Case("minilm-l6", "mean", "full", n_steps=10, rate=5e-5),
        Case("smollm2-135m", "last", "lora", n_steps=4, rate=1e-3),
        Case("smollm2-135m", "mean", "full", n_steps=3, rate=2e-5),
    ],
    ids=lambda case: f"{case.model}-{case.stage}",
)
def test_the_language_model_learns_from_behaviour(films: Slice, tmp_path: Path, case: Case) -> None:
    settings = EncoderSettings(
        model=case.model, pooling=case.pooling, max_tokens=16, batch_tokens=512
    )
    train = TrainSettings(stage=case.stage, gradient_checkpointing=case.model == "smollm2-135m")
    folder = model_folder(case.model)
    frozen = TextEncoder(folder, settings).encode(films.texts)
    tower = TextTower(folder, films.texts, settings, train)
    np.testing.assert_allclose(tower.table().numpy(), frozen, atol=1e-5)
    before = {name: weight.clone() for name, weight in tower.trained().items()}
    losses = losses_of(tower, films, case.n_steps, case.rate)
    assert losses[-1] < 0.95 * losses[0], losses
    changed = sum(not torch.equal(w, before[name]) for name, w in tower.trained().items())
    assert changed == len(before) > 0
    merged_encoder(tower, tmp_path)
    tower.refresh()
    tuned = TextEncoder(tmp_path, settings).encode(films.texts)
    np.testing.assert_allclose(tuned, tower.table().numpy(), atol=1e-5)
    assert np.abs(tuned - frozen).max() > 1e-3
