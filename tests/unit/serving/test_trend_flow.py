"""From shards over the board to the gateway's copy of the trend."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from recsys.trend import TrendState
from serving.pool.messages import TrendPush, TrendUpdate
from serving.pool.trend_board import N_DELTAS, TrendBoard
from serving.trend_mirror import TrendMirror

HALF_LIVES = (10.0, 100.0)
N_ITEMS = 4


def trend(*events: tuple[int, float]) -> TrendState:
    state = TrendState(HALF_LIVES)
    if events:
        item, ts = zip(*events, strict=True)
        state.add(np.array(item), np.array(ts, np.float64), np.ones(len(item)))
    return state


def push(
    shard: str, sequence: int, state: TrendState, is_full: bool = False, as_of: float = 0.0
) -> TrendPush:
    return TrendPush(shard, sequence, is_full, as_of, state.columns())


@pytest.fixture
def board() -> TrendBoard:
    return TrendBoard(["a", "b"])


@pytest.fixture
def mirror() -> TrendMirror:
    return TrendMirror(HALF_LIVES, N_ITEMS)


def test_the_copy_is_the_sum_of_all_shards(board: TrendBoard, mirror: TrendMirror) -> None:
    assert board.push(push("a", 1, trend((1, 0.0)), is_full=True))
    assert board.push(push("b", 1, trend((1, 5.0), (2, 5.0)), is_full=True))
    mirror.apply(board.pull(mirror.version))
    assert board.push(push("a", 2, trend((3, 7.0))))
    update = board.pull(mirror.version)
    assert not update.is_full and len(update.parts) == 1
    mirror.apply(update)
    whole = trend((1, 0.0), (1, 5.0), (2, 5.0), (3, 7.0))
    np.testing.assert_allclose(mirror.mass(20.0), whole.at(20.0, N_ITEMS), rtol=1e-6)
    np.testing.assert_allclose(mirror.features(20.0), np.log1p(whole.at(20.0, N_ITEMS)), rtol=1e-6)


def test_a_board_before_the_first_push_is_empty(board: TrendBoard, mirror: TrendMirror) -> None:
    mirror.apply(board.pull(0))
    assert mirror.as_of is None
    assert not mirror.mass(0.0).any()


def test_as_of_is_that_of_the_slowest_shard(board: TrendBoard, mirror: TrendMirror) -> None:
    board.push(push("a", 1, trend(), is_full=True, as_of=50.0))
    mirror.apply(board.pull(0))
    assert mirror.as_of is None
    board.push(push("b", 1, trend(), is_full=True, as_of=40.0))
    mirror.apply(board.pull(mirror.version))
    assert mirror.as_of == 40.0
    board.push(push("b", 2, trend(), as_of=60.0))
    mirror.apply(board.pull(mirror.version))
    assert mirror.as_of == 50.0


def test_a_board_that_was_started_again_gives_no_version_twice(mirror: TrendMirror) -> None:
    first = TrendBoard(["a"])
    first.push(push("a", 1, trend((1, 0.0)), is_full=True))
    mirror.apply(first.pull(mirror.version))
    again = TrendBoard(["a"])
    again.push(push("a", 2, trend((1, 0.0), (2, 0.0)), is_full=True))
    again.push(push("a", 3, trend((3, 0.0))))
    update = again.pull(mirror.version)
    assert update.is_full  # what the mirror holds is not what the new board counts from
    mirror.apply(update)
    np.testing.assert_allclose(mirror.mass(0.0)[:4, 0], [0.0, 1.0, 1.0, 1.0])


def test_a_repeated_push_counts_once(board: TrendBoard) -> None:
    board.push(push("a", 1, trend(), is_full=True))
    assert board.push(push("a", 2, trend((0, 0.0))))
    assert board.push(push("a", 2, trend((0, 0.0))))
    (whole,) = board.pull(0).parts
    assert whole["mass"].tolist() == [[1.0, 1.0]]


def test_a_gap_makes_the_board_ask_for_the_whole(board: TrendBoard) -> None:
    assert not board.push(push("a", 1, trend((0, 0.0))))
    board.push(push("a", 1, trend((0, 0.0)), is_full=True))
    assert not board.push(push("a", 3, trend((0, 0.0))))


def test_a_shard_that_restarts_replaces_what_it_said(
    board: TrendBoard, mirror: TrendMirror
) -> None:
    board.push(push("a", 1, trend((0, 0.0)), is_full=True))
    board.push(push("a", 2, trend((0, 0.0))))
    mirror.apply(board.pull(0))
    board.push(push("a", 1, trend((0, 0.0), (0, 0.0), (1, 0.0)), is_full=True))
    update = board.pull(mirror.version)
    assert update.is_full
    mirror.apply(update)
    assert mirror.mass(0.0)[:2, 0].tolist() == [2.0, 1.0]


def test_a_copy_that_is_up_to_date_gets_nothing(board: TrendBoard, mirror: TrendMirror) -> None:
    board.push(push("a", 1, trend((0, 0.0)), is_full=True))
    mirror.apply(board.pull(0))
    update = board.pull(mirror.version)
    assert not update.is_full and update.parts == ()


def test_a_copy_that_slept_too_long_gets_the_whole(board: TrendBoard, mirror: TrendMirror) -> None:
    board.push(push("a", 1, trend((0, 0.0)), is_full=True))
    mirror.apply(board.pull(0))
    for number in range(N_DELTAS + 1):
        board.push(push("a", number + 2, trend((1, 0.0))))
    update = board.pull(mirror.version)
    assert update.is_full
    mirror.apply(update)
    assert mirror.mass(0.0)[1, 0] == N_DELTAS + 1


def test_a_board_that_restarted_gives_the_whole_to_holders_of_later_versions(
    board: TrendBoard,
) -> None:
    board.push(push("a", 1, trend((0, 0.0)), is_full=True))
    assert board.pull(99).is_full


def test_an_update_leaves_what_other_threads_are_reading_as_it_was(
    board: TrendBoard, mirror: TrendMirror
) -> None:
    board.push(push("a", 1, trend((1, 0.0)), is_full=True))
    mirror.apply(board.pull(0))
    reading = mirror._state
    board.push(push("a", 2, trend((0, 5.0))))
    mirror.apply(board.pull(mirror.version))
    np.testing.assert_array_equal(reading.items, [1])
    assert reading.t_ref == 0.0
    np.testing.assert_array_equal(mirror._state.items, [0, 1])


def test_moments_that_are_asked_for_at_the_same_time_do_not_mix() -> None:
    class Interrupted(TrendMirror):
        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, value)
            if name == "_mass" and value is not None and value[0][1] == 0.0:
                self.mass(100.0)  # another thread, just now

    mirror = Interrupted(HALF_LIVES, N_ITEMS)
    mirror.apply(TrendUpdate(1, 0.0, is_full=True, parts=(trend((1, 0.0)).columns(),)))
    np.testing.assert_array_equal(mirror.mass(0.0), trend((1, 0.0)).at(0.0, N_ITEMS))
