from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from recsys.evaluation.split import Queries, time_queries
from recsys.evaluation.touched import Touches, last_positive, own_mass, recent_before
from recsys.events import EventArrays, event_arrays
from recsys.interest.model import FoldBatch, ItemTable
from recsys.interest.profiles import ProfileTable
from recsys.interest.zero_shot import ZeroShot
from recsys.ranking import default_weights
from recsys.settings import Settings, load
from recsys.testing.fakes import tiny_log

INDEX = {"a": 0, "b": 1, "c": 2}
ROWS: list[tuple[str, str | None, str, float]] = [
    ("u", "a", "click", 1),
    ("u", "b", "impression", 2),
    ("u", "a", "click", 3),
    ("u", "b", "click", 5),
    ("u", "a", "click", 5),
    ("u", "c", "click", 9),
    ("v", "unlisted", "click", 1),
    ("v", "b", "dislike", 2),
    ("v", "b", "click", 4),
]


@pytest.fixture
def events() -> EventArrays:
    return event_arrays(tiny_log(ROWS), INDEX)


@pytest.fixture
def positive(events: EventArrays) -> np.ndarray:
    return events.kind == "click"


def _queries(events: EventArrays, positive: np.ndarray) -> Queries:
    return time_queries(events, positive, 4)


def test_what_was_touched_before_is_told_in_order_of_the_first_touch(events: EventArrays) -> None:
    touches = Touches(events, ["impression"])
    bounds, item = touches.before(np.array([0, 0, 1, -1]), np.array([3, 6, 9, 0]))
    assert [item[a:b].tolist() for a, b in pairwise(bounds)] == [
        [0],  # an impression is no touch
        [0, 1, 2],
        [1],  # a dislike is one; an item that the catalog lacks is none
        [],
    ]


def test_a_repeat_is_a_target_that_was_touched_before_its_instant(
    events: EventArrays, positive: np.ndarray
) -> None:
    queries = _queries(events, positive)
    assert queries.target.tolist() == [0, 1, 2, 1]
    repeat = Touches(events, ["impression"]).is_repeat(queries)
    assert repeat.tolist() == [True, False, False, True]


def test_own_mass_is_the_decayed_count_of_positive_events(
    events: EventArrays, positive: np.ndarray
) -> None:
    queries = _queries(events, positive)
    touched = Touches(events, ["impression"]).before(queries.user, queries.history_end)
    found = own_mass(events, positive, queries, touched, [2.0, 1e30])
    expected = []
    for q in range(len(queries)):
        history = range(events.bounds[queries.user[q]], queries.history_end[q])
        for item in touched[1][touched[0][q] : touched[0][q + 1]]:
            ages = [
                queries.as_of[q] - events.ts[e]
                for e in history
                if events.item[e] == item and positive[e]
            ]
            expected.append([sum(0.5 ** (age / 2.0) for age in ages), len(ages)])
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_the_last_positive_item_is_of_the_same_users_history(
    events: EventArrays, positive: np.ndarray
) -> None:
    queries = _queries(events, positive)
    assert last_positive(events, positive, queries).tolist() == [0, 0, -1]
    assert last_positive(events, np.zeros(len(events), bool), queries).tolist() == [-1, -1, -1]


def test_in_one_instant_the_later_row_is_the_last(events: EventArrays) -> None:
    clicks = events.kind == "click"
    nine = time_queries(events, clicks, 9)
    assert last_positive(events, clicks, nine).tolist() == [0]


def _ring(events: EventArrays, user: int, end: int, settings: Settings) -> ProfileTable:
    """What the online pool holds of a user."""
    interest = settings.interest
    table = ProfileTable(2, interest, settings.data.kinds)
    rows = table.rows(["u"], create=True)
    run = slice(int(events.bounds[user]), end)
    batch = FoldBatch(events.item[run], events.ts[run], events.kind[run], events.value[run])
    model = ZeroShot(interest, default_weights(interest, settings.trend))
    items = ItemTable.all_warm(np.ones((6, 2)) / np.sqrt(2))
    for event in np.random.default_rng(4).permutation(len(batch.ts)):  # late ones too
        one = batch.pick(slice(event, event + 1))
        table.fold(rows, one, model, items)
    return table


def test_recent_events_of_the_past_are_those_that_the_ring_held(rng: np.random.Generator) -> None:
    settings = load(assignments=["interest.n_recent=4"])
    kinds = ["click", "dislike", "impression", "rating"]
    rows = [
        (f"u{rng.integers(3)}", f"i{rng.integers(8)}", kinds[rng.integers(4)], float(ts))
        for ts in rng.integers(0, 25, 120)  # many share their instant
    ]
    values = {n: 1.0 + n % 5 for n, row in enumerate(rows) if row[2] == "rating"}
    log = event_arrays(tiny_log(rows, values), {f"i{n}": n for n in range(6)})
    user = np.repeat(np.arange(3), 40)
    end = np.concatenate([rng.integers(log.bounds[u], log.bounds[u + 1] + 1, 40) for u in range(3)])
    found = recent_before(log, user, end, settings.interest, settings.data)
    for query in range(len(user)):
        ring = _ring(log, int(user[query]), int(end[query]), settings).recent(0)
        item, ts, importance = found.part(query, query + 1).of(0)
        np.testing.assert_array_equal(item, ring.item)
        np.testing.assert_array_equal(ts, ring.ts)
        np.testing.assert_array_equal(np.sort(importance), np.sort(ring.importance))


def test_somebody_unknown_has_no_recent_events(events: EventArrays) -> None:
    settings = Settings()
    ends = np.array([3, 2])
    found = recent_before(events, np.array([-1, 0]), ends, settings.interest, settings.data)
    assert found.bounds.tolist() == [0, 0, 1]
    assert found.of(1)[0].tolist() == [0]
