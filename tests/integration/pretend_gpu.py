"""A training step on a pretended device: tensors have a place there, and no numbers.

Two places in one operation are an error, as on a GPU and unlike on a CPU that takes its form. The
device changes torch for a whole process, so it gets its own:
``python -m tests.integration.pretend_gpu``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from recsys.training import plain_loss
from recsys.training.batches import Batch, BatchMaker
from recsys.training.candidate_loss import Scored
from recsys.training.fitting import Material
from recsys.training.network import InterestNetwork
from recsys.training.placing import Placement
from recsys.training.sequences import pack, questions
from tests.unit.training.logs import catalog, events, settings, text_vectors

DEVICE = "pretended"


class Pretended(Placement):
    """Moves batches to the pretended device."""

    def __init__(self, mode: FakeTensorMode) -> None:
        super().__init__(DEVICE)
        self._mode = mode

    def _on(self, values: Any) -> torch.Tensor:
        tensor = values if isinstance(values, torch.Tensor) else torch.from_numpy(values.copy())
        return self._mode.from_tensor(tensor).to(self.device)

    def _kept(self, weights: Any) -> torch.Tensor:
        return self._on(weights)


def move(network: nn.Module) -> None:
    """What ``network.to(DEVICE)`` does, for tensors without numbers."""
    for module in network.modules():
        for name, old in module.named_parameters(recurse=False):
            new = torch.empty(old.shape, dtype=old.dtype, device=DEVICE)
            module.register_parameter(name, nn.Parameter(new, old.requires_grad))
        for name, old in module.named_buffers(recurse=False):
            module.register_buffer(name, torch.empty(old.shape, dtype=old.dtype, device=DEVICE))


def step(network: InterestNetwork, batch: Batch) -> None:
    """Loss, gradients and an update."""
    optimiser = torch.optim.AdamW(network.parameters(), fused=True)
    loss, _ = network(batch)
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimiser.step()
    trained = [p for p in network.parameters() if p.requires_grad and p.grad is not None]
    assert len(trained) > 20
    for tensor in (loss, *trained, *(p.grad for p in trained)):
        assert tensor is not None and tensor.device.type == DEVICE


@torch.no_grad()
def ask(network: InterestNetwork, batch: Batch, n_questions: int) -> None:
    """Logits, as validation wants them."""
    network.eval()
    base, own = network.tower(batch)
    at = batch.candidate_at
    asked = network.weighed(network.ask(batch, base, own))
    scored = Scored(base[at] + own[at], base[at], *asked, network.strength)
    logits = plain_loss.plain_logits(scored, batch.placed, slice(0, n_questions))
    assert logits.device.type == DEVICE and len(logits) == n_questions


def main() -> None:
    """Train and validate one model for each way in which events are forgotten."""
    _setup_privateuseone_for_python_backend(DEVICE)
    plain_loss._SLICE_FLOATS = 20_000  # several slices
    for kernel in ("exponential", "hyperbolic"):
        some, rng = settings(f"model.kernel={kernel}"), np.random.default_rng(0)
        made = Material.of(events(rng), catalog(), text_vectors(rng), some)
        maker, runs = BatchMaker(made.log, some, rng), pack(made.rows)
        batch, asked = maker.training(runs), questions(runs, "strict")
        assert batch is not None
        rows = np.arange(made.log.n_items)
        later = maker.batch(runs, asked, (rows, np.zeros(len(rows), np.float32)))
        network = InterestNetwork(made.log, some)
        with FakeTensorMode(allow_non_fake_inputs=True) as mode:
            placement = Pretended(mode)
            move(network)
            step(network, placement.moved(batch))
            ask(network, placement.moved(later), len(asked))


if __name__ == "__main__":
    main()
