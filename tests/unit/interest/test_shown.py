"""The latest impressions per user."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.interest.id_map import IdBytes
from recsys.interest.shown import KEPT_S, ShownItems

T = 1.7e9
told = st.lists(
    st.tuples(st.sampled_from(["ann", "bob", "cy"]), st.integers(0, 5), st.integers(0, 9)),
    max_size=40,
)


def filled(events: list[tuple[str, int, int]], n_shown: int, at_once: int = 7) -> ShownItems:
    shown = ShownItems(n_shown)
    for first in range(0, len(events), at_once):
        part = events[first : first + at_once]
        users, items, times = (list(column) for column in zip(*part, strict=True))
        shown.add(IdBytes.of(users), np.array(items), T + np.array(times, np.float64))
    return shown


def read(shown: ShownItems, user: str) -> list[tuple[float, int]]:
    items, times = shown.of(IdBytes.of([user])).of(0)
    return list(zip((times - T).tolist(), items.tolist(), strict=True))


@given(events=told, n_shown=st.integers(1, 6), seed=st.integers(0, 99))
def test_the_latest_stay_in_whatever_order_they_come(
    events: list[tuple[str, int, int]], n_shown: int, seed: int
) -> None:
    mixed = [events[n] for n in np.random.default_rng(seed).permutation(len(events))]
    one, other = filled(events, n_shown), filled(mixed, n_shown, at_once=3)
    for user in ("ann", "bob", "cy", "nobody"):
        mine = sorted((float(ts), item) for who, item, ts in events if who == user)
        assert read(one, user) == read(other, user) == mine[-n_shown:]


def test_many_users_are_read_at_once() -> None:
    shown = filled([("ann", 1, 1), ("bob", 2, 2), ("ann", 3, 0)], 4)
    found = shown.of(IdBytes.of(["bob", "nobody", "ann"]))
    assert found.bounds.tolist() == [0, 1, 1, 3]
    assert found.item.tolist() == [2, 3, 1]


def test_columns_go_there_and_back_also_into_fewer_places() -> None:
    shown = filled([("ann", n, n) for n in range(5)] + [("bob", 7, 3)], 4)
    for n_shown, left in ((4, [1, 2, 3, 4]), (2, [3, 4])):
        again = ShownItems(n_shown)
        again.fill(shown.columns())
        assert [item for _, item in read(again, "ann")] == left
        assert read(again, "bob") == [(3.0, 7)]


def test_the_faded_make_room() -> None:
    shown = ShownItems(2)
    for n in range(40):
        at = np.array([T if n % 2 == 0 else T + 2 * KEPT_S])
        shown.add(IdBytes.of([f"u{n}"]), np.array([n]), at)
    assert len(shown) < 30
    for n in range(1, 40, 2):
        assert shown.of(IdBytes.of([f"u{n}"])).item.tolist() == [n]
    assert shown.n_bytes < 40 * 28 * 1.5


@pytest.mark.parametrize("n_shown", [0, 3])
def test_none_are_kept_where_none_are_asked_for(n_shown: int) -> None:
    assert len(filled([("ann", 1, 1)], n_shown)) == min(n_shown, 1)
