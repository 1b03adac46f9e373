"""Candidates: what the sources found together, each item with those that found it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.settings import RetrievalSettings
from recsys.sources.base import Asked, Rows, Source
from recsys.sources.names import check_quotas

WHOLE = "all"
"""The source of every item where the whole catalog is scored."""
GIVEN = "given"
"""The source of items that the caller chose."""


@dataclass(frozen=True)
class Candidates:
    """n items in catalog order."""

    rows: Rows
    """(n,) distinct, ascending."""
    found_by: npt.NDArray[np.int64]
    """(n,) bit i is set where the source ``names[i]`` found the item."""
    names: tuple[str, ...]
    """At most 62 sources."""
    is_whole: bool = False
    """Whether this is the catalog, row by row."""


def source(name: str) -> Source:
    """The source of a name.

    Raises:
        ValueError: if there is none.
    """
    check_quotas({name: 0})
    found: Source = import_module(f"recsys.sources.{name}").SOURCE
    return found


def sources_of(quotas: Mapping[str, int]) -> list[tuple[Source, int]]:
    """Sources with how many items each may bring; those that may bring none are left out."""
    return [(source(name), quota) for name, quota in quotas.items() if quota > 0]


def quotas_of(process: RetrievalSettings, bundle: RetrievalSettings) -> dict[str, int]:
    """The quotas of a process where it sets others than the defaults, else those of its bundle."""
    is_set = process.sources != RetrievalSettings().sources
    return (process if is_set else bundle).sources


def whole_catalog(n_items: int) -> Candidates:
    """Every item, in small catalogs: no source is asked, and each item's source is ``all``."""
    return Candidates(np.arange(n_items), np.ones(n_items, np.int64), (WHOLE,), is_whole=True)


def given(rows: npt.NDArray[np.integer[Any]]) -> Candidates:
    """Items that the caller chose; negative rows and repeats are passed over."""
    chosen = np.unique(rows[rows >= 0]).astype(np.int64)
    return Candidates(chosen, np.ones(len(chosen), np.int64), (GIVEN,))


def gather(asked: Asked, sources: Sequence[tuple[Source, int]]) -> Candidates:
    """Ask sources.

    Args:
        asked: the question.
        sources: each with about how many items it may bring.
    """
    found = [np.asarray(one.find(asked, wanted), np.int64) for one, wanted in sources]
    names = tuple(one.name for one, _ in sources)
    if len(found) == 0:
        return Candidates(np.zeros(0, np.int64), np.zeros(0, np.int64), names)
    bits = np.concatenate([np.full(len(rows), 1 << i) for i, rows in enumerate(found)])
    return _merged(np.concatenate(found), bits, names)


def also(candidates: Candidates, rows: Rows, name: str) -> Candidates:
    """Candidates with those of one more source."""
    bits = np.concatenate([candidates.found_by, np.full(len(rows), 1 << len(candidates.names))])
    return _merged(np.concatenate([candidates.rows, rows]), bits, (*candidates.names, name))


def _merged(rows: Rows, bits: npt.NDArray[np.int64], names: tuple[str, ...]) -> Candidates:
    distinct, place = np.unique(rows, return_inverse=True)
    found_by = np.zeros(len(distinct), np.int64)
    np.bitwise_or.at(found_by, place.reshape(-1), bits)
    return Candidates(distinct, found_by, names)


def names_in(found_by: int, names: Sequence[str]) -> list[str]:
    """The sources whose bits are set."""
    return [name for i, name in enumerate(names) if found_by >> i & 1]
