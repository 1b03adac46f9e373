from __future__ import annotations

import numpy as np
import pytest

from recsys.errors import DataError
from recsys.evaluation.split import (
    Queries,
    draw_queries,
    draw_users,
    last_event_queries,
    time_at_share,
    time_queries,
)
from recsys.events import EventArrays


def _events(rows: list[tuple[int, int, float]]) -> EventArrays:
    """Rows of (user, item, ts), already sorted."""
    user, item, ts = (np.array(column) for column in zip(*rows, strict=True))
    n_users = int(user.max()) + 1
    return EventArrays(
        user_ids=[f"u{u}" for u in range(n_users)],
        bounds=np.searchsorted(user, np.arange(n_users + 1)).astype(np.int64),
        user=user.astype(np.int32),
        item=item.astype(np.int32),
        kind=np.array(["click"] * len(rows), dtype=object),
        ts=ts.astype(np.float64),
        value=np.full(len(rows), np.nan),
    )


EVENTS = _events(
    [(0, 1, 10), (0, 2, 20), (0, 3, 20), (0, 1, 30), (1, 5, 20), (1, -1, 30), (2, 4, 5), (2, 4, 25)]
)
ALL = np.ones(8, bool)


def _told(queries: Queries) -> list[tuple[int, float, int, list[int]]]:
    bounds = queries.target_bounds
    return [
        (int(u), float(t), int(e), queries.target[bounds[q] : bounds[q + 1]].tolist())
        for q, (u, t, e) in enumerate(
            zip(queries.user, queries.as_of, queries.history_end, strict=True)
        )
    ]


def test_all_targets_of_one_user_and_instant_are_one_query_with_a_strict_history() -> None:
    assert _told(time_queries(EVENTS, ALL, 20)) == [
        (0, 20.0, 1, [2, 3]),
        (0, 30.0, 3, [1]),
        (1, 20.0, 4, [5]),
        (2, 25.0, 7, [4]),
    ]


def test_only_positive_events_in_the_window_are_asked_for() -> None:
    positive = ALL.copy()
    positive[1] = False
    assert _told(time_queries(EVENTS, positive, 20, 25)) == [(0, 20.0, 1, [3]), (1, 20.0, 4, [5])]


def test_the_history_begins_at_the_instant_even_if_its_first_event_is_no_target() -> None:
    positive = ALL.copy()
    positive[1] = False
    assert time_queries(EVENTS, positive, 20).history_end[0] == 1


def test_a_target_that_comes_twice_in_an_instant_counts_once() -> None:
    events = _events([(0, 7, 1), (0, 3, 2), (0, 3, 2)])
    assert _told(time_queries(events, np.ones(3, bool), 2)) == [(0, 2.0, 1, [3])]


def test_leave_one_out_asks_for_the_last_event_in_order() -> None:
    assert _told(last_event_queries(EVENTS, ALL)) == [(0, 30.0, 3, [1]), (2, 25.0, 7, [4])]


def test_a_strict_leave_one_out_does_not_see_the_targets_own_instant() -> None:
    events = _events([(0, 1, 1), (0, 2, 9), (0, 3, 9)])
    positive = np.ones(3, bool)
    assert _told(last_event_queries(events, positive)) == [(0, 9.0, 2, [3])]
    assert _told(last_event_queries(events, positive, strict=True)) == [(0, 9.0, 1, [3])]


def test_the_split_time_leaves_its_share_before_it(rng: np.random.Generator) -> None:
    ts = rng.random(1000)
    assert (ts < time_at_share(ts, 0.8)).mean() == pytest.approx(0.8, abs=0.001)


@pytest.mark.parametrize("ts", [np.zeros(0), np.ones(5)])
def test_a_split_that_leaves_one_side_empty_is_refused(ts: np.ndarray) -> None:
    with pytest.raises(DataError, match="split"):
        time_at_share(ts, 0.8)


def test_whole_users_are_drawn(rng: np.random.Generator) -> None:
    queries = time_queries(EVENTS, ALL, 0)
    drawn = draw_users(queries, 4, rng)
    assert 1 <= len(drawn) <= 4
    for user in np.unique(drawn.user):
        assert (drawn.user == user).sum() == (queries.user == user).sum()


def test_drawn_queries_keep_their_targets(rng: np.random.Generator) -> None:
    queries = time_queries(EVENTS, ALL, 0)
    assert all(row in _told(queries) for row in _told(draw_queries(queries, 2, rng)))
    assert draw_queries(queries, 99, rng) is queries


def test_targets_can_be_kept_apart() -> None:
    queries = time_queries(EVENTS, ALL, 20)
    kept = queries.with_targets(np.isin(queries.target, [2, 4]))
    assert [row[3] for row in _told(kept)] == [[2], [], [], [4]]
    assert kept.target_query.tolist() == [0, 3]
    asking = queries.asking(np.isin(queries.target, [2, 4]))
    assert [row[3] for row in _told(asking)] == [[2], [4]]
    assert asking.as_of.tolist() == queries.as_of[[0, 3]].tolist()
