"""What rules know of items: values by name, and which items have the same ones.

An expression is evaluated once for each distinct combination of the values that it reads, its
*classes*, and not once for each item.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.catalog import Catalog
from recsys.rules.reads import AGE, ATTRIBUTES, ITEM

DAY_S = 86_400.0
MAX_KNOWN = 64
"""Combinations of fields whose classes are kept."""
_FIRST, _LAST = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Classes:
    """Items that are alike in some fields."""

    of_row: npt.NDArray[np.int64]
    """(N,) the class of each catalog row, from 0."""
    first: npt.NDArray[np.int64]
    """(C,) one row of each class."""

    def __len__(self) -> int:
        return len(self.first)


class ItemFacts:
    """The items of a catalog, as rules see them.

    Args:
        catalog: N items; ``available_from`` is also when an item was created, as it is for ranking.
    """

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self._values: Mapping[str, Callable[[int], Any]] = {
            "item_id": catalog.item_ids.__getitem__,
            "title": catalog.titles.__getitem__,
            "categories": lambda row: list(catalog.categories[row]),
            ATTRIBUTES: self._attributes,
            "available_from": lambda row: moment(catalog.available_from[row]),
            "available_until": lambda row: moment(catalog.available_until[row]),
            "created_at": lambda row: moment(catalog.available_from[row]),
        }
        self._known: dict[str, Classes] = {}

    def __len__(self) -> int:
        return len(self.catalog)

    def ages_days(self, rows: npt.NDArray[np.integer[Any]] | slice, now: float) -> Floats:
        """(n,) days since items were created; infinite where nobody knows when."""
        found: Floats = (now - self.catalog.available_from[rows]) / DAY_S
        return found

    def facts(
        self, fields: Iterable[str], now: float = math.nan
    ) -> list[tuple[str, Callable[[int], Any]]]:
        """CEL names, each with what gives its value for a catalog row.

        Args:
            fields: as ``Reads.item`` has them.
            now: Unix seconds; may be missing where ``age_days`` is not asked for.
        """
        names = sorted({field.partition(".")[0] for field in fields})
        return [
            (f"{ITEM}.{name}", partial(self._age_days, now) if name == AGE else self._values[name])
            for name in names
        ]

    def classes(self, fields: Iterable[str]) -> Classes:
        """Which items are alike in all of some fields; ``age_days`` follows from the birth."""
        names = sorted({"created_at" if field == AGE else field for field in fields})
        whole = "\0".join(names)
        found = self._known.get(whole)
        if found is None:
            found = self._one(names[0]) if len(names) == 1 else self._several(names)
            while len(self._known) >= MAX_KNOWN:
                self._known.pop(next(iter(self._known), whole), None)
            self._known[whole] = found
        return found

    def _several(self, names: Sequence[str]) -> Classes:
        codes = np.zeros(len(self), np.int64)
        for name in names:
            one = self.classes([name])
            _, codes = np.unique(codes * len(one) + one.of_row, return_inverse=True)
        _, first, of_row = np.unique(codes, return_index=True, return_inverse=True)
        return Classes(of_row.reshape(-1).astype(np.int64), first.astype(np.int64))

    def _one(self, name: str) -> Classes:
        codes: dict[Hashable, int] = {}
        first: list[int] = []
        of_row = np.empty(len(self), np.int64)
        for row, value in enumerate(self._keys(name)):
            code = codes.setdefault(value, len(codes))
            if code == len(first):
                first.append(row)
            of_row[row] = code
        return Classes(of_row, np.array(first, np.int64))

    def _keys(self, name: str) -> Iterable[Hashable]:
        catalog = self.catalog
        plain: Mapping[str, Iterable[Hashable]] = {
            "item_id": catalog.item_ids,
            "title": catalog.titles,
            "categories": catalog.categories,
            "available_from": catalog.available_from.tolist(),
            "available_until": catalog.available_until.tolist(),
            "created_at": catalog.available_from.tolist(),
        }
        if name in plain:
            return plain[name]
        _, dot, attribute = name.partition(".")
        if dot:
            return catalog.attribute(attribute)
        return (tuple(sorted(self._attributes(row).items())) for row in range(len(self)))

    def _age_days(self, now: float, row: int) -> float:
        return (now - float(self.catalog.available_from[row])) / DAY_S

    def _attributes(self, row: int) -> dict[str, str]:
        known = self.catalog.attributes
        return known[row] if len(known) > 0 else {}


def moment(seconds: float) -> datetime:
    """A time as CEL takes it; what lies outside of the years 1 to 9999 is brought to their ends."""
    if seconds <= _FIRST.timestamp():
        return _FIRST
    if seconds >= _LAST.timestamp():
        return _LAST
    return datetime.fromtimestamp(seconds, UTC)
