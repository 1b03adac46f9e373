"""Caps: at most so many items of one category, or of one provider.

An item beyond a cap leaves, wherever it stands: whatever a later step does, the caps hold.
"""

from __future__ import annotations

from dataclasses import replace

import numba
import numpy as np
import numpy.typing as npt

from recsys.reranking.base import Ranked
from recsys.reranking.options import CapsSettings
from recsys.sources.base import Asked

Ints = npt.NDArray[np.int64]


class Caps:
    """See the module; an item without category or provider is under no cap.

    Args:
        options: the caps.
    """

    name = "caps"

    def __init__(self, options: CapsSettings) -> None:
        self._options = options

    def apply(self, ranked: Ranked, asked: Asked, _: int, /) -> Ranked:
        """``Step.apply``."""
        options, shelf = self._options, asked.shelf
        kept = np.ones(len(ranked), np.bool_)
        if options.per_category is not None:
            bounds, position = shelf.category_runs
            n = len(shelf.category_names)
            within_caps(ranked.rows, bounds, position, n, options.per_category, kept)
        if options.per_provider is not None:
            codes = shelf.attribute_codes(options.provider)[ranked.rows]
            known = codes >= 0
            bounds = np.concatenate([[0], np.cumsum(known)]).astype(np.int64)
            n, places = int(codes.max(initial=-1)) + 1, np.arange(len(codes))
            within_caps(places, bounds, codes[known], n, options.per_provider, kept)
        n_over = len(ranked) - int(kept.sum())
        if n_over == 0:
            return ranked
        note = f"{n_over} are over the caps of categories or providers"
        return replace(ranked.pick(np.flatnonzero(kept)), notes=(*ranked.notes, note))


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def within_caps(
    rows: Ints, bounds: Ints, group: Ints, n_groups: int, most: int, kept: npt.NDArray[np.bool_]
) -> None:
    """Take from ``kept`` what would be one too many of any of its groups, in order.

    Args:
        rows: (n,) rows, best first.
        bounds: (N + 1,) offsets of the groups of all rows.
        group: numbers of the groups, from 0.
        n_groups: how many there are.
        most: the cap of each.
        kept: (n,) what is there; written.
    """
    count = np.zeros(n_groups, np.int64)
    for i in range(len(rows)):
        first, last = bounds[rows[i]], bounds[rows[i] + 1]
        for g in range(first, last):
            kept[i] &= count[group[g]] < most
        if kept[i]:
            for g in range(first, last):
                count[group[g]] += 1


STEP = Caps
