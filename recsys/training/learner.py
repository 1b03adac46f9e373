"""One training step after another: network, optimiser, schedule; the same with and without Ray."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from recsys.errors import DataError
from recsys.settings import Settings
from recsys.training.batches import BatchMaker
from recsys.training.network import InterestNetwork
from recsys.training.placing import Placement
from recsys.training.sequences import Pack
from recsys.training.surroundings import Surroundings
from recsys.training.text_tower import TextTower

_WARM_UP = 0.1
_LANGUAGE = "language."
_CLIP = 1.0


class Learner:
    """The network in training.

    Args:
        surroundings: of the log that may be learned from.
        settings: sections model, train, data, interest, trend, encoder.
        n_steps: over which the learning rate rises and falls.
        seed: of the first weights and of all draws.
        placement: where the network is; None = a CPU.
        wrap: makes the network parallel, for example ``DistributedDataParallel``.
        language: the language model, for the stages ``lora`` and ``full``.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - all that a step depends on
        self,
        surroundings: Surroundings,
        settings: Settings,
        n_steps: int,
        seed: int,
        placement: Placement | None = None,
        wrap: Callable[[nn.Module], nn.Module] | None = None,
        language: TextTower | None = None,
    ) -> None:
        torch.manual_seed(seed)
        self._n_steps = n_steps
        self.surroundings = surroundings
        self.settings = settings
        self.placement = Placement() if placement is None else placement
        self.network = InterestNetwork(surroundings, settings, language).to(self.placement.device)
        if settings.train.precision == "bf16" and not self.placement.compiled:
            self.network.use_half()
        self.parallel: nn.Module = self.network if wrap is None else wrap(self.network)
        self.maker = BatchMaker(surroundings, settings, np.random.default_rng(seed))
        self.optimiser = torch.optim.AdamW(_groups(self.network, settings), fused=True)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimiser, lambda step: _rate_at(step, n_steps)
        )

    def step(self, pack: Pack) -> dict[str, float]:
        """Learn from some runs; returns the mean ``loss`` and ``n_questions``."""
        self.network.train()
        batch = self.maker.training(pack)
        if batch is None and self.parallel is self.network:  # else the others wait for gradients
            return {"loss": 0.0, "n_questions": 0.0}
        self.optimiser.zero_grad(set_to_none=True)
        loss, n_questions = self.parallel(None if batch is None else self.placement.moved(batch))
        if not torch.isfinite(loss):
            raise DataError(
                "training",
                f"diverged: loss {float(loss.detach())} after {self.schedule.last_epoch} steps",
                "Lower train.learning_rate",
            )
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), _CLIP)
        self.optimiser.step()
        self.schedule.step()
        if self.schedule.last_epoch % self.settings.train.refresh_every == 0:
            self.refresh()
        return {"loss": float(loss.detach()), "n_questions": float(n_questions)}

    def refresh(self) -> None:
        """Encode all item texts anew where the language model is trained; call before validation.

        Where several workers train, all must call it.
        """
        if self.network.language is not None:
            self.network.language.refresh()

    def state(self) -> dict[str, Tensor]:
        """Everything that a later ``restore`` needs, as named tensors."""
        own = self.network.state_dict().items()
        out = {f"network.{name}": value for name, value in own if not name.startswith(_LANGUAGE)}
        if self.network.language is not None:  # of the language model only what training changes
            trained = self.network.language.trained()
            out |= {f"{_LANGUAGE}{name}": value for name, value in trained.items()}
        for i, moments in self.optimiser.state_dict()["state"].items():
            for name, value in moments.items():
                out[f"optimiser.{i}.{name}"] = torch.as_tensor(value)
        out["schedule.step"] = torch.tensor(self.schedule.last_epoch)
        out["torch.rng"] = torch.get_rng_state()
        if self.placement.device.type == "cuda":  # its draws are its own
            out["cuda.rng"] = torch.cuda.get_rng_state(self.placement.device)
        drawn: Any = self.maker.rng.bit_generator.state
        words = [drawn["state"][part] >> shift & _WORD for part in _PARTS for shift in (64, 0)]
        words += [drawn[part] for part in _HALF]
        out["numpy.rng"] = torch.from_numpy(np.array(words, np.uint64).view(np.int64))
        return out

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on from what ``state`` gave."""
        part, language = (
            {name.removeprefix(prefix): v for name, v in state.items() if name.startswith(prefix)}
            for prefix in ("network.", _LANGUAGE)
        )
        missing, unexpected = self.network.load_state_dict(part, strict=False)
        if unexpected or any(not name.startswith(_LANGUAGE) for name in missing):
            raise DataError("checkpoint", "belongs to a network of another form", "Use --fresh")
        if self.network.language is not None:
            self.network.language.restore(language)
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in state.items():
            kind, _, rest = name.partition(".")
            if kind == "optimiser":
                index, _, what = rest.partition(".")
                moments.setdefault(int(index), {})[what] = value
        whole = self.optimiser.state_dict()
        self.optimiser.load_state_dict({**whole, "state": moments})
        self.schedule.last_epoch = int(state["schedule.step"])
        share = _rate_at(self.schedule.last_epoch, self._n_steps)
        for group in self.optimiser.param_groups:
            group["lr"] = group["initial_lr"] * share
        torch.set_rng_state(state["torch.rng"].to(torch.uint8))
        if self.placement.device.type == "cuda" and "cuda.rng" in state:  # else it was on a CPU
            torch.cuda.set_rng_state(state["cuda.rng"].to(torch.uint8), self.placement.device)
        words = state["numpy.rng"].numpy().view(np.uint64).tolist()
        generator: Any = self.maker.rng.bit_generator
        inner = {"state": words[0] << 64 | words[1], "inc": words[2] << 64 | words[3]}
        half = dict(zip(_HALF, words[4:], strict=True))
        generator.state = {**generator.state, "state": inner, **half}


_WORD = (1 << 64) - 1
_PARTS = ("state", "inc")
_HALF = ("has_uint32", "uinteger")  # the half of a word that a draw of 32 bits has left


def _groups(network: InterestNetwork, settings: Settings) -> list[dict[str, Any]]:
    """Parameters by how they are trained; half-lives move in factors, so their steps are larger."""
    lives = network.log_half_life_s
    texts = [] if network.language is None else list(network.language.parameters())
    apart = {id(p) for p in (lives, *texts)}
    rest = [p for p in network.parameters() if p.requires_grad and id(p) not in apart]
    rate = settings.train.learning_rate
    matrices, vectors = [p for p in rest if p.ndim > 1], [p for p in rest if p.ndim <= 1]
    groups: list[dict[str, Any]] = [
        {"params": matrices, "lr": rate, "weight_decay": settings.train.weight_decay},
        {"params": vectors, "lr": rate, "weight_decay": 0.0},
    ]
    if lives.requires_grad:
        factor = settings.train.half_life_rate
        groups.append({"params": [lives], "lr": factor * rate, "weight_decay": 0.0})
    trained = [p for p in texts if p.requires_grad]
    if trained:
        groups.append({"params": trained, "lr": settings.train.text_learning_rate})
    return groups


def _rate_at(step: int, n_steps: int) -> float:
    """Share of the highest rate: a linear rise, then half a cosine down to a hundredth."""
    rise = max(1, int(_WARM_UP * n_steps))
    if step < rise:
        return (step + 1) / rise
    done = min(1.0, (step - rise) / max(1, n_steps - rise))
    return 0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * done))
