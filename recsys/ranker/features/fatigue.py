"""Impressions of an item that the user did not answer, decayed.

An impression is answered by any act of the user on the item from then on.
"""

from __future__ import annotations

import numpy as np

from recsys.ranker.viewed import Doubles, Viewed

IS_PERSONAL = True


def read(viewed: Viewed) -> Doubles:
    """(V, n) at least 0."""
    events, held = viewed.events, viewed.held
    seen = np.flatnonzero(events.is_shown)
    item = np.concatenate([viewed.shown_item, events.item[seen]])
    if len(item) == 0:
        return np.zeros((len(held), len(viewed.rows)))
    at = np.concatenate([viewed.shown_ts, events.ts[seen]])
    beside = np.ones((len(held), len(viewed.shown_item)), np.bool_)
    is_held = np.concatenate([beside, held[:, seen]], axis=1)  # (V, I)
    is_same = events.item[:, None] == item
    is_answer = is_same & (events.ts[:, None] >= at) & ~events.is_shown[:, None]  # (R, I)
    is_open = is_held & ((held.astype(np.float64) @ is_answer) == 0.0)
    age = np.maximum(viewed.moments[:, None] - at, 0.0)
    left = is_open * np.exp2(-age / viewed.options.short_half_life_s)
    found: Doubles = left @ (item[:, None] == viewed.rows).astype(np.float64)
    return found
