"""The seen filter: what a user has touched is left out, for good or for a while."""

from __future__ import annotations

import numpy as np

from recsys.shelf import Evidence
from recsys.sources.base import Rows


def still_seen(evidence: Evidence, as_of: float, cooldown_s: float | None = None) -> Rows:
    """The rows of items that must not come back yet.

    An item whose last touch is no longer among the recent events was touched before all of these;
    it comes back when even the oldest of them is long enough ago.

    Args:
        evidence: what was seen, and the recent events.
        as_of: Unix seconds.
        cooldown_s: seconds after its last touch at which an item comes back; None = never.
    """
    seen = evidence.seen[evidence.seen >= 0]
    if cooldown_s is None or len(seen) == 0:
        return seen
    ts, item = np.asarray(evidence.recent_ts, np.float64), evidence.recent_item
    is_hot = as_of - ts < cooldown_s
    hot = np.isin(seen, item[is_hot])
    if len(ts) == 0 or np.all(is_hot):
        hot |= ~np.isin(seen, item)
    return seen[hot]
