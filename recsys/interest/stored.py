"""A bundle's model as files: vectors with what is warm, the learned tensors, the neighbours.

A zero-shot model has no tensors of its own: it is the settings and the ranking weights, which stand
in the bundle's manifest. So a bundle without ``model.safetensors`` is a zero-shot bundle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from recsys.encoder.projection import projection_from_bytes
from recsys.errors import ConfigError, DataError
from recsys.interest.beside import NeighbourPart
from recsys.interest.learned import LearnedInterest
from recsys.interest.model import InterestModel, ItemTable
from recsys.interest.zero_shot import ZeroShot
from recsys.ranking import RankingWeights, with_settings
from recsys.settings import RankingSettings, Settings

VECTORS = "vectors.safetensors"
PROJECTION = "projection.safetensors"
MODEL = "model.safetensors"
NEIGHBOURS = "neighbours.safetensors"

ZERO_SHOT, LEARNED = "zero-shot", "learned"
"""How a manifest names its model."""


class Tensors(Protocol):
    """What is stored by its tensors."""

    def to_tensors(self) -> dict[str, npt.NDArray[Any]]:
        """Name -> array."""
        ...


def items_to_bytes(vectors: npt.NDArray[np.float32], warm: npt.NDArray[np.bool_] | None) -> bytes:
    """Vectors (N, D), and which items are warm (N,) where a difference is made."""
    tensors: dict[str, npt.NDArray[Any]] = {"vectors": np.ascontiguousarray(vectors)}
    if warm is not None:
        tensors["warm"] = warm
    return bytes(save(tensors))


def items_from_bytes(data: bytes) -> ItemTable:
    """The inverse of ``items_to_bytes``."""
    tensors = load(data)
    warm = tensors.get("warm", np.ones(len(tensors["vectors"]), np.bool_))
    return ItemTable(tensors["vectors"], warm)


def model_of(
    files: Mapping[str, bytes],
    weights: RankingWeights,
    settings: Settings,
    has_encoder: bool = False,
) -> InterestModel:
    """The model of a bundle.

    Args:
        files: the bundle's, by name.
        weights: the ranking weights, which are all that a zero-shot model has.
        settings: of the bundle.
        has_encoder: whether users' own words can be encoded; if so, a zero-shot model reads them
            as items are read, by the bundle's projection.

    Raises:
        DataError: if the learned tensors are none, or do not fit the settings.
    """
    if MODEL not in files:
        projection = projection_from_bytes(files[PROJECTION]) if has_encoder else None
        return ZeroShot(settings.interest, weights, projection)
    try:
        tensors = load(files[MODEL])
        return LearnedInterest.from_tensors(tensors, settings.interest, settings.data.kinds)
    except (SafetensorError, KeyError, ValueError) as error:
        raise DataError("model", f"cannot be read ({error!r})", "Publish it again") from error


def model_within(model: InterestModel, ranking: RankingSettings) -> InterestModel:
    """The model of a process whose own settings may fix ranking weights.

    Raises:
        ConfigError: if they fix weights of another number of half-lives, or those of a learned
            model, which reads its weights off each profile.
    """
    if isinstance(model, ZeroShot):
        return replace(model, weights=with_settings(model.weights, ranking))
    for name in ("interest", "negative", "trend"):
        if getattr(ranking, name) is not None:
            raise ConfigError(
                f"setting ranking.{name}",
                "cannot replace the weights of a learned model",
                "Leave it out, or serve a bundle of `pipelines.embed`",
            )
    return model


def neighbours_of(files: Mapping[str, bytes]) -> NeighbourPart | None:
    """The neighbours of a bundle; None where it has none.

    Raises:
        DataError: if their tensors are none.
    """
    if NEIGHBOURS not in files:
        return None
    from recsys.neighbours import Neighbours  # noqa: PLC0415 - scipy, only when needed
    from recsys.transitions import Transitions  # noqa: PLC0415

    try:
        tensors = load(files[NEIGHBOURS])
        kind = Transitions if "numbers" in tensors else Neighbours
        return kind.from_tensors(tensors)
    except (SafetensorError, KeyError, ValueError) as error:
        raise DataError("neighbours", f"cannot be read ({error!r})", "Publish again") from error


def tensor_files(model: Tensors | None, neighbours: Tensors | None) -> dict[str, bytes]:
    """File name -> content of the optional parts of a bundle."""
    parts = {MODEL: model, NEIGHBOURS: neighbours}
    return {name: _saved(part) for name, part in parts.items() if part is not None}


def _saved(part: Tensors) -> bytes:
    return bytes(save({k: np.ascontiguousarray(v) for k, v in part.to_tensors().items()}))
