"""Two gloo workers train a tower, whole in each or sharded between them, as one would."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, multiprocessing
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from recsys.encoder.text import TextEncoder
from recsys.settings import EncoderSettings
from recsys.training.options import TrainSettings
from recsys.training.text_merge import merged_encoder
from recsys.training.text_peers import ProcessGroup
from recsys.training.text_shard import shard
from recsys.training.text_tower import TextTower
from tests.unit.training.towers import TEXTS, save_models

pytestmark = pytest.mark.slow

ROWS = (torch.tensor([0, 1, 3, 5, 6, 7, 8, 9]), torch.tensor([1, 2]))
"""What each worker back-propagates: the first needs more batches than the second."""
N_STEPS = 3
CASES = [(stage, parallel) for stage in ("lora", "full") for parallel in ("ddp", "fsdp")]


def settings(stage: str) -> tuple[EncoderSettings, TrainSettings]:
    return EncoderSettings(batch_tokens=16), TrainSettings.model_validate(
        {"stage": stage, "lora_dropout": 0.0, "gradient_checkpointing": True}
    )


def steps(model: torch.nn.Module, rows: tuple[Tensor, ...], n: int) -> None:
    """A few steps towards vectors whose first dimension is large; gradients are means of n."""
    optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.5)
    for _ in range(N_STEPS):
        loss = -sum((model(part)[:, 0].sum() for part in rows), torch.zeros(())) / n
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def work(rank: int, folder: Path) -> None:
    """What each worker does, for all cases: starting it takes longer than all of them."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    for stage, parallel in CASES:
        train_case(rank, folder, stage, parallel)
    dist.destroy_process_group()


def train_case(rank: int, folder: Path, stage: str, parallel: str) -> None:
    tower = TextTower(folder / "decoder", TEXTS, *settings(stage), ProcessGroup())
    model: torch.nn.Module = tower
    if parallel == "ddp":
        model = DistributedDataParallel(tower)
    else:
        shard(tower)
    steps(model, (ROWS[rank],), 1)
    tower.refresh()
    table, trained = tower.table(), tower.trained()
    files = merged_encoder(tower, folder / f"tuned-{stage}-{parallel}")
    assert (files is None) == (rank == 1)
    tower.restore({name: torch.zeros_like(value) for name, value in trained.items()})
    tower.restore(trained)
    torch.save((table, tower.table(), trained), folder / f"{stage}-{parallel}-{rank}")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("workers")
    save_models(folder)
    multiprocessing.spawn(work, (folder,), nprocs=2)
    return folder


@pytest.mark.parametrize(("stage", "parallel"), CASES)
def test_two_workers_train_as_one(results: Path, stage: str, parallel: str) -> None:
    alone = TextTower(results / "decoder", TEXTS, *settings(stage))
    steps(alone, ROWS, 2)
    alone.refresh()
    for rank in (0, 1):
        table, again, trained = torch.load(results / f"{stage}-{parallel}-{rank}")
        torch.testing.assert_close(table, alone.table(), atol=1e-5, rtol=1e-4)
        assert torch.equal(table, again)
        for name, weight in alone.trained().items():
            torch.testing.assert_close(trained[name], weight, atol=1e-5, rtol=1e-4)
    encoder = TextEncoder(results / f"tuned-{stage}-{parallel}", alone.settings)
    tuned = torch.from_numpy(encoder.encode(TEXTS[:2]))
    torch.testing.assert_close(tuned, alone.table()[:2], atol=1e-5, rtol=1e-4)
