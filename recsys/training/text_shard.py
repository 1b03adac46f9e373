"""A text tower shared out among workers (FSDP2): each holds a part of every weight.

Layer by layer, so that a worker never holds more than one layer's whole weights beside its own
share. The tower is a root of its own: shard it apart from the network that it feeds.
"""

from __future__ import annotations

from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from transformers.modeling_layers import GradientCheckpointingLayer

from recsys.training.text_tower import TextTower


def shard(tower: TextTower, mesh: DeviceMesh | None = None) -> None:
    """Shard a tower in place; its optimiser is to be made afterwards.

    Args:
        tower: made with the same weights, and with ``peers``, in all workers.
        mesh: the workers; None = all of the default process group.
    """
    for layer in tower.model.modules():
        if isinstance(layer, GradientCheckpointingLayer):
            fully_shard(layer, mesh=mesh)
    fully_shard(tower, mesh=mesh)
