"""The fitted model: a weight for each named feature, on top of the encoder's score.

    score_i = encoder_i + sum_f w_f x_if          x_f: recsys.ranker.features.f

The encoder's weight is 1, so a model without weights is the encoder. Weights are per unit of the
feature; where the two tastes are read, ``alpha`` shares what both weigh between them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load, save

from recsys.errors import DataError
from recsys.interest.beside import AlignedNeighbours, NeighbourPart
from recsys.ranker.alpha import Alpha
from recsys.ranker.calibration import Calibration
from recsys.ranker.options import RankerSettings

MODEL, NEIGHBOURS = "ranker.json", "ranker_neighbours.safetensors"
"""Files of a bundle."""

SHORT, LONG = "short_taste", "long_taste"


@runtime_checkable
class _Stored(Protocol):
    def to_tensors(self) -> dict[str, npt.NDArray[Any]]: ...


@dataclass(frozen=True)
class Ranker:
    """Never changed."""

    weights: Mapping[str, float]
    """Feature -> weight, in the order of ``options.features``."""
    options: RankerSettings
    """That it was fitted with."""
    alpha: Alpha = field(default_factory=Alpha)
    calibration: Calibration = field(default_factory=Calibration)
    neighbours: NeighbourPart | None = None
    """Of its own, which the encoder's score does not have."""
    spreads: Mapping[str, float] = field(default_factory=dict)
    """Feature -> its spread within a question, where it was fitted; the unit of steps by feedback.
    A feature without one is not moved."""
    figures: Mapping[str, Any] = field(default_factory=dict)
    """How it came about."""

    def __post_init__(self) -> None:
        unsound = [name for name, weight in self.weights.items() if not np.isfinite(weight)]
        if tuple(self.weights) != self.options.features or unsound:
            named = f"weights of {list(self.weights)}, not of {list(self.options.features)}"
            problem = f"has {named}" if not unsound else f"has no finite weight of {unsound}"
            raise DataError("ranking model", problem, "Publish the bundle again")

    @property
    def is_identity(self) -> bool:
        """Whether it leaves the encoder's score as it is."""
        return not any(self.weights.values())

    @property
    def pull(self) -> tuple[float, float]:
        """What the two tastes weigh together, and the share of the long one: ``alpha_0``."""
        short, long = self.weights.get(SHORT, 0.0), self.weights.get(LONG, 0.0)
        both = short + long
        return both, long / both if both > 0.0 else 0.5

    def aligned(self, rows: npt.NDArray[np.int64]) -> Ranker:
        """The same for another catalog.

        Args:
            rows: (M,) row of each of its items in ours; -1 = we lack it, so it has no neighbours.
        """
        if self.neighbours is None:
            return self
        return replace(self, neighbours=AlignedNeighbours(self.neighbours, rows))

    @classmethod
    def identity(cls, options: RankerSettings, figures: Mapping[str, Any]) -> Ranker:
        """The model that leaves everything to the encoder."""
        return cls(dict.fromkeys(options.features, 0.0), options, figures=figures)


def ranker_files(ranker: Ranker | None) -> dict[str, bytes]:
    """File name -> content; nothing where there is no model."""
    if ranker is None:
        return {}
    written = {
        "weights": dict(ranker.weights),
        "options": ranker.options.model_dump(mode="json"),
        "alpha": ranker.alpha.as_dict(),
        "calibration": ranker.calibration.as_dict(),
        "spreads": dict(ranker.spreads),
        "figures": dict(ranker.figures),
    }
    files = {MODEL: json.dumps(written, indent=1).encode()}
    if isinstance(ranker.neighbours, _Stored):
        found = ranker.neighbours.to_tensors()
        tensors = {name: np.ascontiguousarray(values) for name, values in found.items()}
        files[NEIGHBOURS] = bytes(save(tensors))
    return files


def ranker_of(files: Mapping[str, bytes]) -> Ranker | None:
    """The model of a bundle; None where it has none.

    Raises:
        DataError: if its files are none.
    """
    if MODEL not in files:
        return None
    from recsys.neighbours import Neighbours  # noqa: PLC0415 - scipy, only when needed

    try:
        found = json.loads(files[MODEL])
        near = files.get(NEIGHBOURS)
        return Ranker(
            weights={name: float(weight) for name, weight in found["weights"].items()},
            options=RankerSettings.model_validate(found["options"]),
            alpha=Alpha.from_dict(found["alpha"]),
            calibration=Calibration.from_dict(found["calibration"]),
            neighbours=None if near is None else Neighbours.from_tensors(load(near)),
            spreads={name: float(value) for name, value in found["spreads"].items()},
            figures=found["figures"],
        )
    except (SafetensorError, KeyError, TypeError, ValueError, ValidationError) as error:
        raise DataError("ranking model", f"cannot be read ({error!r})", "Publish again") from error
