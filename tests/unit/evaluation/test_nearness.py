from __future__ import annotations

import numpy as np

from recsys.evaluation.nearness import MIN_QUERIES, choose_neighbours, with_only
from recsys.evaluation.split import time_queries
from recsys.evaluation.touched import Touches
from recsys.events import EventArrays
from recsys.neighbours import NeighbourOptions, Neighbours

N_PAIRS, N_USERS, DAY_S = 20, 120, 86_400.0


def _visits(rng: np.random.Generator) -> EventArrays:
    """Users come once a day and choose both items of a pair, ten seconds apart."""
    chosen = np.stack([rng.permutation(N_PAIRS)[:8] for _ in range(N_USERS)])
    item = np.stack([2 * chosen, 2 * chosen + 1], axis=2).reshape(N_USERS, -1)
    day = np.repeat(np.arange(8), 2) * DAY_S + np.tile([0.0, 10.0], 8)
    ts = day[None] + rng.integers(0, 3_600, (N_USERS, 1))
    user = np.repeat(np.arange(N_USERS), 16)
    return EventArrays(
        user_ids=[f"u{u:03d}" for u in range(N_USERS)],
        bounds=np.arange(N_USERS + 1, dtype=np.int64) * 16,
        user=user.astype(np.int32),
        item=item.ravel().astype(np.int32),
        kind=np.full(len(user), "click", object),
        ts=ts.ravel(),
        value=np.full(len(user), np.nan),
    )


def test_short_pairs_and_short_half_lives_are_chosen_where_visits_are_short(
    rng: np.random.Generator,
) -> None:
    events = _visits(rng)
    since, worth = 7 * DAY_S, np.ones(len(events))
    queries = time_queries(events, np.ones(len(events), bool), since)
    touches = Touches(events, ())
    chosen, figures = choose_neighbours(events, worth, events.ts < since, queries, touches)
    assert min(chosen.half_lives_s) <= 3_600.0
    assert chosen.max_items == NeighbourOptions().max_items
    assert figures["n_queries"] >= MIN_QUERIES
    assert max(figures["ndcg10"].values()) > 0.45  # every second item of a visit can be known
    past = with_only(events, events.ts < since)
    fitted = Neighbours.fit(past, np.ones(len(past)), 2 * N_PAIRS, chosen)
    near = fitted.part(np.array([4]), np.array([0.0]), 10.0, np.ones(1))
    assert int(np.argmax(near)) == 5


def test_few_queries_choose_nothing(rng: np.random.Generator) -> None:
    events = _visits(rng)
    queries = time_queries(events, np.ones(len(events), bool), 7 * DAY_S)
    few, base = queries.pick(np.arange(MIN_QUERIES - 1)), NeighbourOptions(l2=7.0)
    worth, touches = np.ones(len(events)), Touches(events, ())
    chosen, figures = choose_neighbours(events, worth, events.ts < 0, few, touches, base)
    assert (chosen, figures["ndcg10"]) == (base, {})


def test_events_that_are_kept_leave_every_user_in_place(rng: np.random.Generator) -> None:
    events = _visits(rng)
    kept = rng.random(len(events)) < 0.1
    some = with_only(events, kept)
    assert some.user_ids == events.user_ids
    for user in range(N_USERS):
        run = slice(events.bounds[user], events.bounds[user + 1])
        found = some.item[some.bounds[user] : some.bounds[user + 1]]
        np.testing.assert_array_equal(found, events.item[run][kept[run]])
