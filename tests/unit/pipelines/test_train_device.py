from __future__ import annotations

from pathlib import Path

import pytest
import torch

import pipelines
from pipelines.train_device import check_cuda, scaling, worker_placement
from recsys.errors import ConfigError
from recsys.settings import load
from recsys.training.options import TrainSettings

ROOM = {"CPU": 8.0, "GPU": 2.0}


def settings(**changes: object) -> TrainSettings:
    return TrainSettings(min_workers=2, max_workers=2).model_copy(update=changes)


def test_workers_take_one_gpu_each_where_they_are_asked_to() -> None:
    found = scaling(settings(use_gpu=True), ROOM, can_grow=False)
    assert (found.num_workers, found.use_gpu) == (2, True)
    assert found.resources_per_worker == {"CPU": 1.0, "GPU": 1}
    plain = scaling(settings(max_workers=5), ROOM, can_grow=False)
    assert (plain.num_workers, plain.use_gpu) == ((2, 5), False)
    assert plain.resources_per_worker == {"CPU": 1.0}


@pytest.mark.parametrize("resources", [{"CPU": 8.0}, {"CPU": 8.0, "GPU": 1.0}])
def test_more_gpus_than_this_machine_has_are_refused_with_what_to_do(
    resources: dict[str, float],
) -> None:
    train = settings(use_gpu=True)
    with pytest.raises(ConfigError, match=r"needs 2 GPUs.*gives Ray [01]\b") as refused:
        scaling(train, resources, can_grow=False)
    assert "train.use_gpu=false" in refused.value.remedy and "RAY_ADDRESS" in refused.value.remedy
    assert scaling(train, resources, can_grow=True).use_gpu  # a node may join


def test_more_cpus_than_this_machine_has_are_refused() -> None:
    crowd = settings(min_workers=99, max_workers=99)
    with pytest.raises(ConfigError, match="needs 99 CPUs"):
        scaling(crowd, ROOM, can_grow=False)
    assert scaling(crowd, ROOM, can_grow=True).num_workers == 99


def test_a_worker_that_sees_no_gpu_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    assert worker_placement(TrainSettings()).device == torch.device("cpu")
    assert worker_placement(TrainSettings()).compiled
    check_cuda(TrainSettings())  # asks nobody
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="sees none") as refused:
        worker_placement(TrainSettings(use_gpu=True))
    assert "Install" in refused.value.remedy


def test_the_example_for_gpus_is_sound() -> None:
    found = load(Path(pipelines.__file__).parent / "config" / "train_gpu.yaml")
    train = found.train
    assert (train.use_gpu, train.min_workers, train.max_workers) == (True, 4, 4)
    assert (train.parallel, train.precision, train.stage) == ("fsdp", "bf16", "lora")
    assert train.gradient_checkpointing
    asked = scaling(train, {"CPU": 16.0, "GPU": 4.0}, can_grow=False)
    assert (asked.num_workers, asked.resources_per_worker) == (4, {"CPU": 4.0, "GPU": 1})
