"""A few users' interests over time: the picture of what fades."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.evaluation.split import Queries
from recsys.events import EventArrays
from recsys.interest.model import TextTable
from recsys.interest.replay import ReplayQueries, ends_before, replay
from recsys.shelf import Shelf, interests

N_MOMENTS = 40
_TAIL_SHARE = 0.25


def most_active(queries: Queries, n_users: int) -> npt.NDArray[np.int64]:
    """Users with the most queries, the most active first."""
    users, counts = np.unique(queries.user, return_counts=True)
    chosen: npt.NDArray[np.int64] = users[np.argsort(-counts, kind="stable")[:n_users]]
    return chosen


def interests_over_time(
    events: EventArrays,
    users: npt.NDArray[np.int64],
    shelf: Shelf,
    texts: TextTable | None = None,
    n_categories: int = 6,
) -> list[dict[str, Any]]:
    """What the query vector of each user is about, from the first event to some time after.

    Args:
        events: the log.
        users: whose.
        shelf: of the bundle.
        texts: what the events' words are; None = words are passed over.
        n_categories: most categories of one user.

    Returns:
        For each user ``ts`` (n,) Unix seconds, ``length`` (n,) of what the query vector adds to
        that of somebody unknown, which is how sure the profile is, ``last_event`` and
        ``categories`` {name: (n,) share}. Users are told apart by their place in the list, never
        by their id.
    """
    lives = []
    for user in users:
        ts = events.ts[events.bounds[user] : events.bounds[user + 1]]
        span = max(float(ts[-1] - ts[0]), 1.0)
        moments = np.linspace(ts[0] + 1e-3 * span, ts[-1] + _TAIL_SHARE * span, N_MOMENTS)
        who = np.full(len(moments), user)
        asked = ReplayQueries(who, ends_before(events, who, moments), moments)
        u = replay(events, asked, shelf.model, shelf.items, shelf.interest, texts).vectors
        found = [dict(interests(shelf, row)) for row in u]
        taste = np.linalg.norm(u - shelf.nobody.vectors, axis=2).max(axis=1)
        total: dict[str, float] = {}
        for shares in found:
            for name, share in shares.items():
                total[name] = total.get(name, 0.0) + share
        names = sorted(total, key=lambda name: -total[name])[:n_categories]
        lives.append(
            {
                "ts": moments.tolist(),
                "last_event": float(ts[-1]),
                "n_events": len(ts),
                "length": [float(x) for x in taste],
                "categories": {n: [shares.get(n, 0.0) for shares in found] for n in names},
            }
        )
    return lives
