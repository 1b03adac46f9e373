"""Several workers train one model: what they agree on, and how the network is shared.

Every worker makes the same number of steps. One whose rows have run out goes on with empty batches
until the last has finished, so nobody waits in vain. A worker's loss weighs as many questions as it
has, so the gradient is that of one worker with the whole batch.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import ray.train
import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from recsys.training.learner import Learner
from recsys.training.text_shard import shard
from recsys.training.text_tower import TextTower

_LANGUAGE = "network.language."  # what begins so is shared out by the language model itself


class Workers:
    """The workers of this run, seen from one of them."""

    def __init__(self) -> None:
        context = ray.train.get_context()
        self.rank: int = context.get_world_rank()
        """This worker."""
        self.n: int = context.get_world_size()
        """All workers."""
        self._small = None
        if self.n > 1 and dist.get_backend() != "gloo":
            self._small = dist.new_group(backend="gloo")  # numbers on the host wait for no GPU

    def sums(self, *values: float) -> list[float]:
        """Sums over the workers of each value; every worker must ask."""
        if self.n == 1:
            return list(values)
        table = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(table, group=self._small)
        summed: list[float] = table.tolist()
        return summed

    def most(self, count: int) -> int:
        """The largest of all workers' counts; every worker must ask."""
        if self.n == 1:
            return count
        counted = torch.tensor(count)
        dist.all_reduce(counted, op=dist.ReduceOp.MAX, group=self._small)
        return int(counted)

    def total(self, table: Tensor) -> Tensor:
        """The sum of all workers' tables, which have one shape; every worker must ask."""
        if self.n > 1:
            dist.all_reduce(table)
        return table


class Joined(nn.Module):
    """The network of one worker among several.

    Args:
        network: ``forward(batch)`` gives the mean loss and the number of questions.
        workers: that step together.
    """

    def __init__(self, network: nn.Module, workers: Workers) -> None:
        super().__init__()
        self.network = network
        self._workers = workers

    def forward(self, batch: Any) -> tuple[Tensor, Tensor]:
        """The loss, its gradient a share of all workers'; a batch of None takes part with none."""
        mine = 0 if batch is None else len(batch.last)
        (everybody,) = self._workers.sums(mine)
        if batch is None:
            return self._nothing(), torch.tensor(0)
        loss, n_questions = self.network(batch)
        own = loss.detach()  # what is reported; the gradient alone is weighed
        return own + (loss - own) * (self._workers.n * mine / everybody), n_questions

    def _nothing(self) -> Tensor:
        """Zero, in which every trained weight takes part."""
        language: Any = getattr(self.network, "language", None)
        own = [
            (weight * 0.0).sum()
            for name, weight in self.network.named_parameters()
            if weight.requires_grad and not name.startswith("language.")
        ]
        if language is not None:  # the others wait for its part of a step
            own.append(language(torch.zeros(0, dtype=torch.int64)).sum() * 0.0)
        return torch.stack(own).sum()


def wrapper(
    workers: Workers, parallel: str, device: str = "cpu"
) -> Callable[[nn.Module], nn.Module] | None:
    """What ``Learner`` is given to make its network parallel; None for one worker.

    Args:
        workers: that step together.
        parallel: ``ddp`` or ``fsdp``.
        device: ``cpu`` or ``cuda``.
    """
    if workers.n == 1 and parallel == "ddp":
        return None

    def wrap(network: nn.Module) -> nn.Module:
        joined = Joined(network, workers)
        if parallel == "fsdp":
            mesh = init_device_mesh(device, (workers.n,))  # torch alone would take any GPU it sees
            language = getattr(network, "language", None)
            if isinstance(language, TextTower):
                shard(language, mesh)
            fully_shard(joined, mesh=mesh)  # in place
            return joined
        return DistributedDataParallel(joined)

    return wrap


@contextmanager
def gathered(learner: Learner) -> Any:
    """The whole weights of a sharded network, for what does not go through its ``forward``."""
    module: Any = learner.parallel
    if not isinstance(module, FSDPModule):
        yield
        return
    module.unshard()
    try:
        yield
    finally:
        module.reshard()


def whole_state(learner: Learner) -> dict[str, Tensor]:
    """``learner.state()`` with whole tensors; every worker must ask."""
    return {name: _whole(value) for name, value in learner.state().items()}


def restore_state(learner: Learner, state: dict[str, Tensor], workers: Workers) -> None:
    """Go on from ``whole_state``; workers but the first draw from generators of their own."""
    if isinstance(learner.parallel, FSDPModule):
        trained = [p for group in learner.optimiser.param_groups for p in group["params"]]
        like: dict[str, Any] = {f"network.{k}": v for k, v in learner.network.state_dict().items()}
        for i, parameter in enumerate(trained):
            like |= {f"optimiser.{i}.{name}": parameter for name in ("exp_avg", "exp_avg_sq")}
        state = {
            name: value if name.startswith(_LANGUAGE) else _sharded(value, like.get(name))
            for name, value in state.items()
        }
    learner.restore(state)
    set_apart(learner, workers)


def set_apart(learner: Learner, workers: Workers) -> None:
    """Give each worker but the first draws of its own; the first has those of a run alone."""
    if workers.rank == 0:
        return
    seed = [learner.settings.train.seed, workers.rank, learner.schedule.last_epoch]
    learner.maker.rng = type(learner.maker.rng)(type(learner.maker.rng.bit_generator)(seed))
    torch.manual_seed(hash(tuple(seed)) & 0x7FFF_FFFF)


def _whole(value: Tensor) -> Tensor:
    return value.full_tensor() if isinstance(value, DTensor) else value


def _sharded(value: Tensor, like: Any) -> Tensor:
    if not isinstance(like, DTensor) or value.shape != like.shape:
        return value
    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements)
