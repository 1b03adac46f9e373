"""What each recent event adds to the score of each item: the score with it minus that without it.

    effect_ij = score_i(profile) - score_i(profile folded without event j)

The trend, the births of the items and what the user has seen are held as they are: one event of
one user is taken out, not the event out of the world. It is a leave-one-out effect, so the effects
of several events do not sum to that of all of them. A score is that of ``recsys.ranking``, before
anything reorders the slate.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.freshness import freshness
from recsys.interest.beside import NeighbourPart, parts_of
from recsys.interest.contributions import without_each
from recsys.interest.model import Banks, FoldBatch, Query
from recsys.ranker.scoring import added
from recsys.ranker.viewed import Events, Viewed
from recsys.ranking import Floats, interest_parts, trend_parts
from recsys.shelf import Evidence, Shelf

Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.integer[Any]]


class Histories:
    """One user's history, and the same without each of the R recent events.

    Args:
        shelf: of the bundle.
        evidence: of the user; without kinds or state there is nothing to fold, and R counts as 0.
    """

    def __init__(self, shelf: Shelf, evidence: Evidence) -> None:
        self._shelf, self.evidence = shelf, evidence
        is_whole = len(evidence.recent_kind) == len(evidence.recent_item)
        self.n_events = len(evidence.recent_item) if is_whole and evidence.banks is not None else 0

    @cached_property
    def banks(self) -> Banks:
        """R + 1 profiles: the whole one, then that without event 0, 1, ..., R - 1."""
        evidence, shelf = self.evidence, self._shelf
        assert evidence.banks is not None, "n_events says so"
        lives = (*shelf.interest.half_lives_s, *shelf.interest.negative_half_lives_s)
        behind = evidence.behind
        recent = FoldBatch(
            np.asarray(evidence.recent_item, np.int32),
            np.asarray(evidence.recent_ts, np.float64),
            evidence.recent_kind,
            np.asarray(evidence.recent_value, np.float64),
            None if behind is None else behind.recent_text,
        )
        rest = (None, None) if behind is None else (behind.banks, behind.texts)
        return without_each(shelf.model, shelf.items, evidence.banks, recent, lives, *rest)

    @cached_property
    def held(self) -> Bools:
        """(R + 1, R or R + 1) what each history holds of the recent events, and the one behind."""
        n = self.n_events
        held = np.vstack([np.ones((1, n), bool), ~np.eye(n, dtype=bool)])
        if self.evidence.behind is None or len(self.evidence.behind.next_item) == 0:
            return held
        moves_up = np.arange(n + 1) > 0
        return np.hstack([held, moves_up[:, None]])

    @cached_property
    def events(self) -> tuple[Events, Bools]:
        """What features of a ranking model read: the events that ``held`` is about."""
        evidence, behind = self.evidence, self.evidence.behind
        item, ts = evidence.recent_item, evidence.recent_ts
        worth = evidence.recent_importance
        if self.held.shape[1] > len(item) and behind is not None:
            item = np.concatenate([item, behind.next_item])
            ts = np.concatenate([ts, behind.next_ts])
            worth = np.concatenate([worth, behind.next_importance])
        return Events.of(item, ts, worth, evidence.recent_kind)

    def near(
        self, neighbours: NeighbourPart, which: npt.NDArray[np.int64], moments: Doubles, rows: Rows
    ) -> Floats:
        """(V, n) what neighbours add to items in V of the histories."""
        found, known = self.events
        events = (found.item, found.ts, found.importance)
        return parts_of(neighbours, events, self.held[which][:, known], moments, rows)


class Scoring:
    """Scores of some items in several histories of one user, the population held fixed.

    Args:
        shelf: of the bundle.
        histories: of the user.
        trend_features: (N, Ht) of all items.
        as_of: the moment of the slate, Unix seconds.
        rows: (n,) the items.
    """

    def __init__(
        self, shelf: Shelf, histories: Histories, trend_features: Floats, as_of: float, rows: Rows
    ) -> None:
        self._shelf, self._histories, self._rows = shelf, histories, rows
        self.as_of = as_of
        self._vectors, self._warm = shelf.items.vectors[rows], shelf.items.warm[rows]
        self._trend = trend_features[rows]
        self._young = freshness(shelf.catalog.available_from[rows], as_of, shelf.trend.half_lives_s)

    def scores(self, which: npt.NDArray[np.int64], moments: Doubles) -> Floats:
        """(V, n) scores as ``recsys.slate`` has them.

        Args:
            which: (V,) histories: 0 = the whole one, e + 1 = without event e.
            moments: (V,) Unix seconds that the profile is read at.
        """
        query = self._shelf.model.query(self._histories.banks.pick(which), moments)
        found = interest_parts(query.vectors, self._vectors)
        encoder = {"trend": trend_parts(query, self._warm, self._trend)}
        found += encoder["trend"]
        if query.fresh.any():
            found += query.fresh @ self._young.T
        near = self._shelf.neighbours
        if near is not None:
            encoder["neighbours"] = self._histories.near(near, which, moments, self._rows)
            found += encoder["neighbours"]
        for more in self._added(which, moments, query, encoder):
            found += more
        return found

    def _added(
        self,
        which: npt.NDArray[np.int64],
        moments: Doubles,
        query: Query,
        encoder: dict[str, Floats],
    ) -> Iterable[Floats]:
        """What the ranking model adds, feature by feature."""
        ranker, evidence = self._shelf.ranker, self._histories.evidence
        if ranker is None or ranker.is_identity:
            return ()
        events, known = self._histories.events
        shown = np.asarray(evidence.shown_item) >= 0
        viewed = Viewed(
            shelf=self._shelf,
            rows=self._rows,
            trend=self._trend,
            as_of=self.as_of,
            moments=np.asarray(moments, np.float64),
            query=query,
            events=events,
            held=self._histories.held[which][:, known],
            encoder=encoder,
            options=ranker.options,
            shown_item=np.asarray(evidence.shown_item, np.int64)[shown],
            shown_ts=np.asarray(evidence.shown_ts, np.float64)[shown],
        )
        return added(ranker, viewed).values()

    @cached_property
    def effects(self) -> Doubles:
        """(n, R) what each recent event adds to the score of each item."""
        n = self._histories.n_events
        if n == 0:
            return np.zeros((len(self._rows), 0))
        found = self.scores(np.arange(n + 1), np.full(n + 1, self.as_of)).astype(np.float64)
        added: Doubles = (found[0] - found[1:]).T
        return added
