"""Reading profiles as of a moment: copied under the lock of their partition, read after it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from recsys.interest.model import Banks, InterestModel
from recsys.interest.recent import RecentEvents
from recsys.interest.zero_shot import ZeroShot, gaps, read_parts
from recsys.settings import InterestSettings
from serving.pool.messages import ProfileView
from serving.pool.partition import Partition

UNKNOWN_KIND = "unknown"

_NOTHING_RECENT = RecentEvents(
    np.zeros(0, np.int32),
    np.zeros(0),
    np.zeros(0, np.float32),
    np.zeros(0, np.uint8),
    np.zeros(0, np.float32),
)


class HeldProfile(NamedTuple):
    """A copy of what a partition holds of a user; of somebody unknown it is empty."""

    user_id: str
    is_known: bool
    partition: int
    version: int
    banks: Banks
    """Of this one user."""
    n_events: int
    recent: RecentEvents
    recent_kind: tuple[str, ...]
    seen: npt.NDArray[np.int32]


def hold(partition: Partition, user_id: str) -> HeldProfile:
    """Copy what a partition holds of a user; call it while nobody else touches the partition."""
    table = partition.table
    rows = table.rows([user_id])
    row = int(rows[0])
    is_known = row >= 0
    recent = table.recent(row) if is_known else _NOTHING_RECENT
    return HeldProfile(
        user_id=user_id,
        is_known=is_known,
        partition=partition.number,
        version=partition.position.ledger_seq,
        banks=table.banks(rows),
        n_events=int(table.n_events[row]) if is_known else 0,
        recent=recent,
        recent_kind=tuple(
            table.kinds[code] if code < len(table.kinds) else UNKNOWN_KIND for code in recent.kind
        ),
        seen=table.seen(row) if is_known else np.zeros(0, np.int32),
    )


def profile_views(
    held: Sequence[HeldProfile], as_of: float, model: InterestModel, interest: InterestSettings
) -> list[ProfileView]:
    """Profiles at a moment.

    Args:
        held: B copies.
        as_of: Unix seconds; before a user's latest event it counts as that.
        model: what makes queries of them.
        interest: the half-lives.
    """
    if len(held) == 0:
        return []
    banks = Banks(*(np.concatenate(c) for c in zip(*(h.banks for h in held), strict=True)))
    moments = np.maximum(as_of, banks.t_ref)
    query = model.query(banks, moments)
    gap_s = gaps(banks.t_ref, moments)
    parts = read_parts(
        banks.sums, banks.mass, gap_s, interest.half_lives_s, interest.confidence_mass
    )
    return [
        ProfileView(
            user_id=user.user_id,
            is_known=user.is_known,
            partition=user.partition,
            version=user.version,
            as_of=float(moments[b]),
            t_ref=float(banks.t_ref[b]),
            n_events=user.n_events,
            query=query.of(b),
            mass=parts.mass_now[b],
            confidence=parts.confidence[b],
            recent_item=user.recent.item,
            recent_ts=user.recent.ts,
            recent_importance=user.recent.importance,
            recent_kind=user.recent_kind,
            recent_value=user.recent.value,
            seen=user.seen,
            banks=None if isinstance(model, ZeroShot) else user.banks,
        )
        for b, user in enumerate(held)
    ]
