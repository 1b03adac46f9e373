"""What the workers of one training run must agree on, so that a text tower can run in all of them.

Sharded weights are gathered at each forward pass, so all workers must make equally many; and each
worker encodes only its share of the catalog when the bank of detached vectors is made anew.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch import distributed as dist
from torch.distributed.tensor import DTensor, distribute_tensor


class Peers(Protocol):
    """The workers that train one model together."""

    rank: int
    """This worker."""
    n: int
    """All workers."""

    def most(self, count: int) -> int:
        """The largest of all workers' counts; every worker must ask."""
        ...

    def total(self, table: Tensor) -> Tensor:
        """The sum of all workers' tables, which have one shape; every worker must ask."""
        ...


class Alone:
    """One worker, which agrees with itself."""

    rank = 0
    n = 1

    def most(self, count: int) -> int:
        """Its own count."""
        return count

    def total(self, table: Tensor) -> Tensor:
        """Its own table."""
        return table


class ProcessGroup:
    """The workers of the torch process group that this process is in.

    Args:
        device: where small tensors are exchanged: ``cpu`` for gloo, ``cuda`` for nccl.
    """

    def __init__(self, device: str = "cpu") -> None:
        self.rank = dist.get_rank()
        self.n = dist.get_world_size()
        self._device = device

    def most(self, count: int) -> int:
        """The largest of all workers' counts."""
        counted = torch.tensor(count, device=self._device)
        dist.all_reduce(counted, op=dist.ReduceOp.MAX)
        return int(counted)

    def total(self, table: Tensor) -> Tensor:
        """The sum of all workers' tables, on the device of this worker's table."""
        summed = table.to(self._device)
        dist.all_reduce(summed)
        return summed.to(table.device)


def whole(tensor: Tensor) -> Tensor:
    """A detached tensor with all of its elements, gathered where it is sharded among workers."""
    full: Tensor = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
    return full.detach()


def assign(parameter: Tensor, value: Tensor) -> None:
    """Write a whole tensor into a parameter, each worker its shard."""
    if isinstance(parameter, DTensor):
        value = distribute_tensor(
            value.to(parameter.device), parameter.device_mesh, parameter.placements
        )
    with torch.no_grad():
        parameter.copy_(value)
