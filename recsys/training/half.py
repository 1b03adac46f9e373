"""Half precision where training can bear it: wide matrix products in bfloat16, all else float32."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def halved(layers: nn.Module, given: Tensor, is_half: bool) -> Tensor:
    """Layers applied to float32 numbers; the result is float32 too.

    Args:
        layers: linear ones, and what stands between them.
        given: (..., n).
        is_half: do their matrix products in bfloat16; the weights stay as they are.
    """
    if not is_half:
        exact: Tensor = layers(given)
        return exact
    with torch.autocast(given.device.type, dtype=torch.bfloat16):
        rounded: Tensor = layers(given)
    return rounded.float()
