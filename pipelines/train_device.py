"""Where training runs: how many workers of what size, and the device of each."""

from __future__ import annotations

from collections.abc import Mapping

import ray
import ray.train.torch
import torch
from ray.train import ScalingConfig

from recsys.errors import ConfigError
from recsys.training.options import TrainSettings
from recsys.training.placing import Placement

_USE_GPU = "train.use_gpu = true"
_ON_CPUS = "or set train.use_gpu=false to train on CPUs"


def scaling(train: TrainSettings, resources: Mapping[str, float], can_grow: bool) -> ScalingConfig:
    """As many workers as there is room for, within bounds.

    Args:
        train: how many, and what each asks for.
        resources: of the cluster, by Ray's names.
        can_grow: whether nodes may join it; else what is missing now will always be.

    Raises:
        ConfigError: if there is no room for the fewest.
    """
    fewest = min(train.min_workers, train.max_workers)
    needed, n_cpus = fewest * train.cpus_per_worker, resources.get("CPU", 0.0)
    if needed > n_cpus and not can_grow:
        raise ConfigError(
            f"train.min_workers = {train.min_workers}",
            f"needs {needed:g} CPUs, and this machine gives Ray {n_cpus:g}",
            "Lower it or train.cpus_per_worker, or name a cluster in RAY_ADDRESS",
        )
    n_gpus = resources.get("GPU", 0.0)
    if train.use_gpu and fewest > n_gpus and not can_grow:
        raise ConfigError(
            _USE_GPU,
            f"needs {fewest} GPUs, one a worker, and this machine gives Ray {n_gpus:g}",
            f"Lower train.min_workers, name a cluster in RAY_ADDRESS, {_ON_CPUS}",
        )
    return ScalingConfig(
        num_workers=(fewest, train.max_workers) if fewest < train.max_workers else fewest,
        use_gpu=train.use_gpu,
        resources_per_worker={
            "CPU": train.cpus_per_worker,
            **({"GPU": 1} if train.use_gpu else {}),
        },
    )


def check_cuda(train: TrainSettings) -> None:
    """Look, where Ray has a GPU, whether torch sees it: workers that do not would start for ever.

    Raises:
        ConfigError: if it does not.
    """
    if train.use_gpu:
        ray.get(ray.remote(num_gpus=1, num_cpus=0, max_retries=3)(check_cuda_here).remote())


def check_cuda_here() -> None:
    """Whether torch sees a GPU in this process.

    Raises:
        ConfigError: if it does not.
    """
    if not torch.cuda.is_available():
        raise ConfigError(
            _USE_GPU,
            f"Ray gives a GPU, and torch {torch.__version__} sees none",
            f"Install the driver, and torch with CUDA, on every node, {_ON_CPUS}",
        )


def worker_placement(train: TrainSettings) -> Placement:
    """Where this worker's network is; called in the worker.

    Raises:
        ConfigError: if it is to be on a GPU and torch sees none.
    """
    if not train.use_gpu:
        return Placement("cpu")
    check_cuda_here()
    device = ray.train.torch.get_device()
    torch.cuda.set_device(device)  # else sharded weights go to the node's first
    return Placement(device)
