"""Reading one profile out of a partition, as of a moment."""

from __future__ import annotations

import numpy as np

from recsys.interest.recent import RecentEvents
from recsys.interest.zero_shot import gaps, queries, read_parts
from recsys.ranking import RankingWeights
from recsys.settings import InterestSettings
from serving.pool.messages import ProfileView
from serving.pool.partition import Partition

UNKNOWN_KIND = "unknown"

_NOTHING_RECENT = RecentEvents(
    np.zeros(0, np.int32), np.zeros(0), np.zeros(0, np.float32), np.zeros(0, np.uint8)
)


def profile_view(
    partition: Partition,
    user_id: str,
    as_of: float,
    weights: RankingWeights,
    interest: InterestSettings,
) -> ProfileView:
    """A profile, or an empty one of somebody who is not known.

    Args:
        partition: that the user belongs to.
        user_id: whose.
        as_of: Unix seconds; before the user's latest event it counts as that.
        weights: of the half-lives, for the query.
        interest: the half-lives.
    """
    table = partition.table
    rows = table.rows([user_id])
    row = int(rows[0])
    is_known = row >= 0
    banks = table.banks(rows)
    t_ref = float(banks.t_ref[0])
    as_of = max(as_of, t_ref)
    gap_s = gaps(banks.t_ref, as_of)
    parts = read_parts(
        banks.sums, banks.mass, gap_s, interest.half_lives_s, interest.confidence_mass
    )
    recent = table.recent(row) if is_known else _NOTHING_RECENT
    return ProfileView(
        user_id=user_id,
        is_known=is_known,
        partition=partition.number,
        version=partition.position.ledger_seq,
        as_of=as_of,
        t_ref=t_ref,
        n_events=int(table.n_events[row]) if is_known else 0,
        u=queries(banks, as_of, weights, interest)[0],
        mass=parts.mass_now[0],
        confidence=parts.confidence[0],
        recent_item=recent.item,
        recent_ts=recent.ts,
        recent_importance=recent.importance,
        recent_kind=tuple(
            table.kinds[code] if code < len(table.kinds) else UNKNOWN_KIND for code in recent.kind
        ),
        seen=table.seen(row) if is_known else np.zeros(0, np.int32),
    )
