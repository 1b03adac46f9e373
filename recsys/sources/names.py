"""The names of the sources, without loading them: settings are checked against them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_NO_SOURCES = ("__init__", "base", "gather", "names")


@cache
def source_names() -> tuple[str, ...]:
    """Every source that there is, sorted: the files of this package that are one."""
    files = sorted(path.stem for path in Path(__file__).parent.glob("*.py"))
    return tuple(name for name in files if name not in _NO_SOURCES)


def check_quotas(quotas: dict[str, int]) -> dict[str, int]:
    """The quotas themselves.

    Raises:
        ValueError: if one is of no source that there is.
    """
    unknown = [name for name in quotas if name not in source_names()]
    if len(unknown) > 0:
        raise ValueError(f"{unknown[0]} is no source; there are {', '.join(source_names())}")
    return quotas
