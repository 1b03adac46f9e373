"""Discoveries: events in which a user touches an item for the first time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from recsys.events import UNKNOWN_ITEM, EventArrays
from recsys.interest.zero_shot import codes_of, is_positive
from recsys.settings import Settings

Bools = npt.NDArray[np.bool_]


def first_touches(events: EventArrays, passive_kinds: Sequence[str]) -> Bools:
    """(T,) whether an event is the user's first of that item that is not passive.

    Args:
        events: with each user's whole history.
        passive_kinds: kinds in which a user did nothing.
    """
    passive = codes_of(events.kind, dict.fromkeys(passive_kinds, 1), 0) == 1
    known = np.flatnonzero((events.item != UNKNOWN_ITEM) & ~passive)
    key = events.user[known].astype(np.int64) << 32 | events.item[known].astype(np.int64)
    fresh = np.zeros(len(events), bool)
    fresh[known[np.unique(key, return_index=True)[1]]] = True
    return fresh


def counts_for_trend(events: EventArrays, settings: Settings) -> Bools:
    """(T,) which events count for trend: see ``trend.counts``."""
    positive = is_positive(events.kind, events.value, settings.interest)
    if settings.trend.counts == "all":
        return positive
    return positive & first_touches(events, settings.data.passive_kinds)
