"""The trained model on its way from a worker to the driver: named tensors, nothing pickled."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from pipelines.train_run import Tensors
from recsys.encoder.projection import AffineProjection
from recsys.interest.learned import LearnedInterest
from recsys.settings import Settings
from recsys.training.export import Exported

_LIVES = ("half_lives_s", "negative_half_lives_s")


def result_tensors(result: Exported) -> Tensors:
    """A trained model as named tensors; ``result_of`` reads them."""
    arrays: dict[str, Any] = {f"model.{k}": v for k, v in result.model.to_tensors().items()}
    arrays |= {
        "items.vectors": result.vectors,
        "items.warm": result.warm,
        "projection.weight": result.projection.weight,
        "projection.offset": result.projection.offset,
        "half_lives_s": np.array(result.interest.half_lives_s),
        "negative_half_lives_s": np.array(result.interest.negative_half_lives_s),
        "clamped": np.array(result.clamped, np.float64),
    }
    return {name: torch.from_numpy(np.ascontiguousarray(a)) for name, a in arrays.items()}


def result_of(tensors: Tensors, settings: Settings) -> Exported:
    """The inverse of ``result_tensors``, with the settings of the training."""
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    lives = {name: tuple(arrays[name].tolist()) for name in _LIVES}
    interest = settings.interest.model_copy(update=lives)
    model = {k.partition(".")[2]: v for k, v in arrays.items() if k.startswith("model.")}
    return Exported(
        model=LearnedInterest.from_tensors(model, interest, settings.data.kinds),
        interest=interest,
        vectors=arrays["items.vectors"],
        warm=arrays["items.warm"],
        projection=AffineProjection(arrays["projection.weight"], arrays["projection.offset"]),
        clamped=tuple(arrays["clamped"].tolist()),
    )
