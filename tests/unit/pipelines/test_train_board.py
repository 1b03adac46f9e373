from __future__ import annotations

from pipelines.train_board import MAX_STUCK, Board


def test_each_start_says_its_step_and_how_many_workers_went_on() -> None:
    board = Board(began_at=0.0)
    assert board.starts() == []
    for start in ((0, 1), (57, 2), (57, 1)):
        assert board.begun(*start) is None
    assert board.starts() == [(0, 1), (57, 2), (57, 1)]


def test_a_run_that_never_comes_further_is_given_up_with_its_last_error() -> None:
    board = Board(began_at=0.0)
    board.begun(3, 1)
    board.seen("the node went away")
    found = [board.begun(4, 1 + number % 2) for number in range(MAX_STUCK + 1)]
    assert found[:MAX_STUCK] == [None] * MAX_STUCK
    assert found[-1] == board.failure()
    kind, _, problem, remedy = found[-1] or ()
    assert (kind, remedy) == ("UnavailableError", "the node went away")
    assert problem == f"started {MAX_STUCK} times from step 4 and never came further"


def test_a_run_that_comes_further_may_start_as_often_as_it_must() -> None:
    board = Board(began_at=0.0)
    assert {board.begun(step, 1) for step in range(5 * MAX_STUCK)} == {None}
