"""What is tried of each peer: the stated grid, small and the same for every log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

SYSTEMS = ("ease", "item-knn", "als", "sasrec", "sasrec-text", "hstu")

_EASE = ({"l2": 100.0}, {"l2": 300.0}, {"l2": 1_000.0}, {"l2": 3_000.0})
_KNN = (
    {"likeness": "cosine", "n_neighbours": 50},
    {"likeness": "cosine", "n_neighbours": 200},
    {"likeness": "bm25", "n_neighbours": 50},
    {"likeness": "bm25", "n_neighbours": 200},
)
_ALS = (
    {"n_factors": 16, "alpha": 1.0},
    {"n_factors": 32, "alpha": 1.0},
    {"n_factors": 64, "alpha": 1.0},
    {"n_factors": 32, "alpha": 10.0},
)
_SASREC = (
    {"n_factors": 64, "n_heads": 2, "dropout_rate": 0.5},
    {"n_factors": 64, "n_heads": 2, "dropout_rate": 0.3},
    {"n_factors": 128, "n_heads": 2, "dropout_rate": 0.5},
)
_HSTU = (
    {"n_factors": 64, "n_heads": 2, "dropout_rate": 0.5, "temperature": 0.05},
    {"n_factors": 64, "n_heads": 2, "dropout_rate": 0.3, "temperature": 0.05},
    {"n_factors": 64, "n_heads": 2, "dropout_rate": 0.5, "temperature": 0.1},
)
_POINTS = {
    "ease": _EASE,
    "item-knn": _KNN,
    "als": _ALS,
    "sasrec": _SASREC,
    "sasrec-text": _SASREC,
    "hstu": _HSTU,
}
SEQUENCES = ("sasrec", "sasrec-text", "hstu")
"""Systems that are trained epoch by epoch."""


@dataclass(frozen=True)
class Budget:
    """How long a sequence peer may train at each point of its grid."""

    n_points: int = 3
    """Points tried, the first of the grid."""
    max_epochs: int = 120
    check_every: int = 5
    """Epochs between two looks at the validation queries."""
    patience: int = 3
    """Looks without a better one after which a point is given up."""
    max_s: float = 240.0
    """Seconds of training after which a point is given up."""
    max_len: int = 100
    """Events that a sequence keeps."""
    batch_size: int = 32
    """Sequences in a training step."""
    device: str = "cpu"
    """Where they train; ``cuda`` on a GPU."""


def points(system: str, differ: bool) -> list[dict[str, Any]]:
    """The grid of a system.

    Args:
        system: one of ``SYSTEMS``.
        differ: whether some events are not right answers: then both ``use`` are tried. Sequence
            peers, which take long, try the second ``use`` with the best of the first.
    """
    uses = ("all", "positive") if differ and system not in SEQUENCES else ("all",)
    return [{**point, "use": use} for use in uses for point in _POINTS[system]]
