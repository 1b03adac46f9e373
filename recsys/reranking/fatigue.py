"""Impression fatigue: what was shown and not answered loses, and is forgiven with time.

    fatigue_i = -lambda n_i      n_i = sum over unanswered impressions of i of 2^(-age / half-life)

Scores are log odds up to a constant, so n impressions leave ``exp(-lambda n)`` of the odds. An
impression is answered by any act of the user on the item from then on.
"""

from __future__ import annotations

import numpy as np

from recsys.interest.shown import IMPRESSION
from recsys.ranking import Floats
from recsys.reranking.base import Ranked
from recsys.reranking.options import FatigueSettings
from recsys.shelf import Evidence
from recsys.sources.base import Asked, Rows


class Fatigue:
    """See the module; a discount of 0 changes nothing.

    Args:
        options: lambda, and how impressions fade.
    """

    name = "fatigue"

    def __init__(self, options: FatigueSettings) -> None:
        self._options = options

    def apply(self, ranked: Ranked, asked: Asked, _: int, /) -> Ranked:
        """``Step.apply``."""
        discount = self._options.discount
        if discount == 0.0 or len(ranked) == 0:
            return ranked
        n = unanswered(asked.evidence, ranked.rows, asked.as_of, self._options.half_life_s)
        return ranked.with_part(self.name, np.float32(-discount) * n) if n.any() else ranked


def unanswered(evidence: Evidence, rows: Rows, as_of: float, half_life_s: float) -> Floats:
    """(n,) decayed impressions of items (n,) that the user did not act on.

    Args:
        evidence: its ``shown_*``, and impressions among its recent events; these tell the acts.
        rows: distinct catalog rows.
        as_of: Unix seconds.
        half_life_s: in which an impression halves.
    """
    item, ts = np.asarray(evidence.recent_item), np.asarray(evidence.recent_ts, np.float64)
    is_shown = np.zeros(len(item), np.bool_)
    if len(evidence.recent_kind) == len(item):
        is_shown = evidence.recent_kind == IMPRESSION
    shown = np.concatenate([np.asarray(evidence.shown_item), item[is_shown]]).astype(np.int64)
    at = np.concatenate([np.asarray(evidence.shown_ts, np.float64), ts[is_shown]])
    place = np.argsort(rows)
    spot = np.searchsorted(rows, shown, sorter=place)
    spot = place[np.minimum(spot, len(rows) - 1)]
    known = rows[spot] == shown
    spot, at = spot[known], at[known]
    acted = np.full(len(rows), -np.inf)
    acts, when = item[~is_shown], ts[~is_shown]
    for row, moment in zip(acts.tolist(), when.tolist(), strict=True):
        acted[rows == row] = np.maximum(acted[rows == row], moment)
    is_open = at > acted[spot]
    weight = np.exp2(-np.maximum(0.0, as_of - at[is_open]) / half_life_s)
    found: Floats = np.bincount(spot[is_open], weights=weight, minlength=len(rows)).astype(
        np.float32
    )
    return found


STEP = Fatigue
