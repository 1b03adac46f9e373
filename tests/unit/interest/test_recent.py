"""Recent events and seen items against a list that is sorted anew each time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.interest.recent import histories
from recsys.interest.records import place_of
from recsys.interest.rings import touch
from recsys.interest.user_memory import UserMemory

Event = tuple[int, int, float, int, float]  # row, item, ts, kind, value

EVENTS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.integers(0, 30),
        st.integers(0, 50).map(lambda n: 1.7e9 + n / 8),
        st.integers(0, 5),
        st.just(0.5),
    ),
    max_size=250,
)


def memory(n_recent: int, n_users: int = 3) -> UserMemory:
    users = UserMemory(place_of(2, 4, is_half=False), n_recent)
    users.add(n_users)
    return users


def add(users: UserMemory, events: list[Event], tick: int = 1) -> None:
    columns: Any = list(zip(*events, strict=True)) if events else [()] * 5
    row, item, ts, kind, value = columns
    n = len(row)
    at = users.at(np.array(row, np.int64))
    arrays = (
        np.array(ts, np.float64),
        np.array(item, np.int32),
        np.array(kind, np.uint8),
        np.array(value, np.float32),
        np.ones(n, np.bool_),
    )
    touch(at, users.ring.ready(n), users.seen.ready(n), users.n_recent, tick, arrays)


def assert_is(users: UserMemory, events: list[Event]) -> None:
    found = histories(users.all(), users.n_recent)
    for user in range(len(users)):
        mine = sorted((e[2], e[1], e[3]) for e in events if e[0] == user)
        latest = mine[::-1][: users.n_recent]
        some = slice(int(found.bounds[user]), int(found.bounds[user + 1]))
        told = zip(found.ts[some], found.item[some], found.kind[some], strict=True)
        assert [(float(t), int(i), int(k)) for t, i, k in told] == latest
        seen = found.seen[found.seen_bounds[user] : found.seen_bounds[user + 1]]
        assert seen.tolist() == sorted({e[1] for e in events if e[0] == user})
        assert found.n_events[user] == len(mine)


@settings(max_examples=80, deadline=None)
@given(EVENTS, st.sampled_from([1, 3, 8, 9, 20]), st.integers(1, 40))
def test_any_order_and_any_batches_keep_the_latest_and_all_that_was_seen(
    events: list[Event], n_recent: int, size: int
) -> None:
    users = memory(n_recent)
    for first in range(0, len(events), size):
        add(users, events[first : first + size])
    assert_is(users, events)


@pytest.mark.parametrize("n_items", [10, 5_000])
def test_much_seen_takes_memory_by_what_is_distinct(rng: np.random.Generator, n_items: int) -> None:
    users, events = memory(4), []
    for _ in range(20):
        some = [
            (0, int(i), 1.7e9 + len(events) + n, 1, 0.0)
            for n, i in enumerate(rng.integers(0, n_items, 500))
        ]
        add(users, some)
        events += some
    assert_is(users, events)
    n_blocks = int(users.seen._state[0])
    assert n_blocks < 30 if n_items == 10 else 300 < n_blocks < 1_200


def test_who_leaves_gives_the_memory_back(rng: np.random.Generator) -> None:
    users = memory(4, 0)
    for _ in range(30):
        users.add(5)
        events = [(int(r), int(i), 1.7e9 + i, 1, 0.0) for r, i in rng.integers(0, 5, (400, 2))]
        add(users, events)
        users.remove(np.array([4, 3, 2, 1, 0]))
    assert len(users) == 0
    assert int(users.ring._state[0]) <= 5 * 3
    assert int(users.seen._state[0]) <= 5 * 30


def test_what_is_packed_comes_back_to_the_last_bit(rng: np.random.Generator) -> None:
    users = memory(5)
    events = [(int(r), int(i), 1.7e9 + i, 1, 0.5) for r, i in rng.integers(0, 3, (90, 2))]
    add(users, events)
    before = histories(users.all(), 5)
    packed = users.pack(np.array([2, 1, 0]))
    users.remove(np.array([2, 1, 0]))
    users.unpack(packed[::-1])
    for a, b in zip(histories(users.all(), 5), before, strict=True):
        np.testing.assert_array_equal(a, b)
    assert users.pack(np.array([2, 1, 0])) == packed


def test_memory_grows_without_moving_what_is_there() -> None:
    users = memory(4, 10)
    first = users.at(np.arange(10))
    users.add(20_000)
    np.testing.assert_array_equal(users.at(np.arange(10)), first)
    assert len(np.unique(users.all())) == len(users)
