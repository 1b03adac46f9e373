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
from recsys.transitions import Transitions

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
    if result.transitions is not None:
        arrays |= {f"transitions.{k}": v for k, v in result.transitions.to_tensors().items()}
    return {name: torch.from_numpy(np.array(a)) for name, a in arrays.items()}


def result_of(tensors: Tensors, settings: Settings) -> Exported:
    """The inverse of ``result_tensors``, with the settings of the training."""
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    lives = {name: tuple(arrays[name].tolist()) for name in _LIVES}
    interest = settings.interest.model_copy(update=lives)
    model, transitions = (_part(arrays, name) for name in ("model", "transitions"))
    return Exported(
        model=LearnedInterest.from_tensors(model, interest, settings.data.kinds),
        interest=interest,
        vectors=arrays["items.vectors"],
        warm=arrays["items.warm"],
        projection=AffineProjection(arrays["projection.weight"], arrays["projection.offset"]),
        transitions=Transitions.from_tensors(transitions) if transitions else None,
        clamped=tuple(arrays["clamped"].tolist()),
    )


def _part(arrays: dict[str, Any], name: str) -> dict[str, Any]:
    return {k.partition(".")[2]: v for k, v in arrays.items() if k.startswith(f"{name}.")}
