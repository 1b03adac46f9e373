"""Two bundles asked the same: their slates at one past moment, and how right each was later.

Both read the record once, each through its own vectors, settings and model; queries see exactly the
events before them. The later events are new to both bundles, so neither has an advantage.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.job import Job
from pipelines.past import Past, read_events, read_past
from recsys.evaluation.intervals import UserBootstrap
from recsys.evaluation.metrics import accuracy
from recsys.evaluation.protocol import ask, recommend
from recsys.evaluation.split import Queries, draw_users, time_queries
from recsys.evaluation.touched import Touches
from recsys.interest.replay import ends_before
from recsys.interest.zero_shot import is_positive

K = 10
MIN_QUERIES = 50
"""Fewer later queries than this decide nothing."""
MAX_QUERIES = 2_000

_NOWHERE = 1 << 30

Floats = npt.NDArray[np.float64]


class Pair:
    """Two bundles of a tenant on one record.

    Args:
        job: store, ledger, tenant, settings.
        a: id of one bundle.
        b: id of the other one; its positive kinds and passive kinds are those that count.

    Raises:
        DataError: if the record holds no event.
        NotFoundError: if a bundle does not exist.
    """

    def __init__(self, job: Job, a: str, b: str) -> None:
        table: pa.Table = read_events(job)
        self.pasts = tuple(read_past(job, bundle_id, table) for bundle_id in (a, b))
        self._settings = self.pasts[1].settings
        self._rng = np.random.default_rng(job.settings.evaluation.seed)
        self._n_bootstrap = job.settings.evaluation.n_bootstrap

    @property
    def moment(self) -> float:
        """Just after the older bundle's latest event; of bundles without events, the record's."""
        until = min(past.bundle.data_until for past in self.pasts)
        ts = self.pasts[0].events.ts
        return float(np.nextafter(until if until > ts.min() else ts.max(), np.inf))

    @property
    def since(self) -> float:
        """The first moment of which neither bundle knows anything."""
        until = max(past.bundle.data_until for past in self.pasts)
        return float(np.nextafter(until, np.inf))

    def slates(self, n_users: int) -> tuple[list[list[str]], ...]:
        """Slates of K item ids, of both bundles, for drawn users at ``moment``."""
        as_of, events = self.moment, self.pasts[0].events
        ends = ends_before(
            events, np.arange(len(events.user_ids)), np.full(len(events.user_ids), as_of)
        )
        active = np.flatnonzero(ends > events.bounds[:-1])
        user = np.sort(self._rng.permutation(active)[:n_users]).astype(np.int64)
        found = []
        for past in self.pasts:
            queries = Queries(
                user=user,
                as_of=np.full(len(user), as_of),
                history_end=ends[user],
                target_bounds=np.zeros(len(user) + 1, np.int64),
                target=np.zeros(0, np.int64),
            )
            found.append([_ids(past, rows) for rows in _rows(past, queries)])
        return tuple(found)

    def later(self) -> dict[str, Any] | None:
        """NDCG@10 of both on what was new to the users after ``since``.

        Returns:
            ``since``, ``n_queries``, ``ndcg10`` [of a, of b], and ``difference`` (b less a: mean,
            low, high, p); None where there are fewer than ``MIN_QUERIES``.
        """
        seed = int(self._rng.integers(1 << 31))
        both = [self._asked_later(past, seed) for past in self.pasts]
        if len(both[0]) < MIN_QUERIES:
            return None
        left, right = (_ndcg(*pair) for pair in zip(self.pasts, both, strict=True))
        resampled = UserBootstrap(both[0].user, self._n_bootstrap, np.random.default_rng(seed))
        return {
            "since": self.since,
            "n_queries": len(both[0]),
            "ndcg10": [float(left.mean()), float(right.mean())],
            "difference": resampled.compare(right, left),
        }

    def _asked_later(self, past: Past, seed: int) -> Queries:
        events, settings = past.events, self._settings
        positive = is_positive(events.kind, events.value, settings.interest)
        queries = time_queries(events, positive, self.since)
        repeat = Touches(events, settings.data.passive_kinds).is_repeat(queries)
        queries = queries.asking(~repeat)
        return draw_users(queries, MAX_QUERIES, np.random.default_rng(seed))


def _rows(past: Past, queries: Queries) -> npt.NDArray[np.int32]:
    """(Q, K) catalog rows of the slates, in the order of the queries."""
    asked = ask(past.events, past.scene, queries, past.touches, past.settings)
    order = np.argsort(queries.as_of, kind="stable")  # the order of ``asked``
    rows = recommend(past.scene, asked, K)["rows"]
    found = np.empty_like(rows)
    found[order] = rows
    return found


def _ids(past: Past, rows: npt.NDArray[np.int32]) -> list[str]:
    return [past.catalog.item_ids[row] for row in rows.tolist() if row >= 0]


def _ndcg(past: Past, queries: Queries) -> Floats:
    """(Q,) NDCG@10."""
    rows = _rows(past, queries)[queries.target_query]  # (M, K)
    hit = rows == queries.target[:, None]
    ranks = np.where(hit.any(axis=1), hit.argmax(axis=1), _NOWHERE)
    n_candidates = np.full(len(queries), len(past.catalog))
    found: Floats = accuracy(ranks, queries.target_bounds, n_candidates, K)["ndcg"]
    return found
