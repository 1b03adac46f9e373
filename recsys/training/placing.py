"""Batches on their way to the device of the network.

On a CPU the scan and the loss are compiled, and read a batch's NumPy arrays as they are. Any other
device gets every array once a batch, as a tensor, and does the same by tensor operations.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from recsys.training.batches import Batch, Candidates, Ints
from recsys.transitions import chance_scale

_CUDA = "cuda"


class Pairs(NamedTuple):
    """Transitions on a device: what the histories of P questions say of C candidates."""

    row: Tensor
    """(K,) rows of ``weights``: fold and item of each event of each history."""
    share: Tensor
    """(K,) its weight."""
    first: Tensor
    """(P,) where each history begins."""
    bounds: Ints
    """(P + 1,) the same, and where the last one ends, on the host."""
    weights: Tensor
    """((folds + 1) n, n) from a row's item to a column's."""
    slot: Tensor
    """(C,) columns of the candidates; 0 where they have none."""
    is_known: Tensor
    """(C,) bool, whether they have one."""
    scale: float
    """By which chances are multiplied before their logarithm is taken."""


class Placed(NamedTuple):
    """``Candidates`` as tensors on the device of the network; see there."""

    correction: Tensor
    born: Tensor
    gone: Tensor
    cold_since: Tensor
    touched: Tensor
    run: Tensor
    as_of: Tensor
    cutoff: Tensor
    cell: Tensor
    trend: Tensor
    fresh: Tensor
    target: Tensor
    seen: Tensor
    """(G, C) bool, whether an item shows a trend where it is cold."""
    which: Tensor
    """(M,) the question of each right answer."""
    weight: Tensor
    """(M,) one over the number of right answers of that question."""
    pairs: Pairs | None
    """None = there are no transitions, or compiled code reads them from ``host``."""
    host: Candidates

    @property
    def n_questions(self) -> int:
        """P."""
        return len(self.host.run)


class Placement:
    """Where a network is, and in which form it reads batches there.

    Args:
        device: of the network.
        compiled: whether the scan and the loss are compiled, which only a CPU can do; None = on a
            CPU they are.
    """

    def __init__(self, device: torch.device | str = "cpu", compiled: bool | None = None) -> None:
        self.device = torch.device(device)
        self.compiled = self.device.type == "cpu" if compiled is None else compiled
        self._weights: tuple[Any, Tensor] = (None, torch.empty(0))

    def moved(self, batch: Batch) -> Batch:
        """A batch as the network reads it; the very same one where its code is compiled."""
        if self.compiled:
            return batch
        tensors: Any = {k: self._on(v) for k, v in batch._asdict().items() if isinstance(v, Tensor)}
        return batch._replace(**tensors, placed=self.candidates(batch.candidates))

    def candidates(self, candidates: Candidates) -> Placed:
        """The candidates of P questions as tensors."""
        counts = np.diff(candidates.target_bounds)
        which = np.repeat(np.arange(len(counts)), counts)
        weight = (1.0 / counts[which]).astype(np.float32)
        own = {name: self._on(getattr(candidates, name)) for name in _SAME}
        return Placed(
            **own,
            seen=(own["trend"] != 0.0).any(2) & ~self._on(candidates.muted),
            which=self._on(which),
            weight=self._on(weight),
            pairs=None if self.compiled else self._pairs(candidates),
            host=candidates,
        )

    def _pairs(self, candidates: Candidates) -> Pairs | None:
        past, slot = candidates.past, candidates.slot
        if past is None or slot is None or candidates.transitions is None:
            return None
        n = candidates.transitions.shape[2]
        fold = np.repeat(past.fold, np.diff(past.bounds))
        return Pairs(
            row=self._on(fold * n + past.slot),
            share=self._on(past.counted),
            first=self._on(past.bounds[:-1]),
            bounds=past.bounds,
            weights=self._kept(candidates.transitions).reshape(-1, n),
            slot=self._on(np.maximum(slot, 0)),
            is_known=self._on(slot >= 0),
            scale=chance_scale(candidates.n_items),
        )

    def _kept(self, weights: npt.NDArray[np.float32]) -> Tensor:
        """What is the same in every batch is moved once."""
        if self._weights[0] is not weights:
            self._weights = (weights, torch.from_numpy(weights.copy()).to(self.device))
        return self._weights[1]

    def _on(self, values: Tensor | npt.NDArray[Any]) -> Tensor:
        tensor = values if isinstance(values, Tensor) else torch.from_numpy(values)
        if self.device.type == _CUDA:  # from pinned memory the copy waits for nobody
            return tensor.pin_memory().to(self.device, non_blocking=True)
        return tensor.to(self.device)


_SAME = Placed._fields[: Placed._fields.index("seen")]
