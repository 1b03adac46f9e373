"""The names of the features, without loading them: settings are checked against them."""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def feature_names() -> tuple[str, ...]:
    """Every feature that there is, sorted: the files of ``recsys.ranker.features``."""
    files = sorted(path.stem for path in (Path(__file__).parent / "features").glob("*.py"))
    return tuple(name for name in files if name != "__init__")


def check_features(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names themselves.

    Raises:
        ValueError: if one is of no feature that there is, or stands there twice.
    """
    unknown = [name for name in names if name not in feature_names()]
    if len(unknown) > 0:
        raise ValueError(f"{unknown[0]} is no feature; there are {', '.join(feature_names())}")
    if len(set(names)) < len(names):
        raise ValueError("a feature is named twice")
    return names
