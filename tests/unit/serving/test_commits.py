"""Group commit."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from serving.pool.commits import GroupCommit


def test_each_caller_gets_the_results_of_its_own_items() -> None:
    commit: GroupCommit[int, int] = GroupCommit(lambda items: [10 * item for item in items])
    assert commit([1, 2]) == [10, 20]
    assert commit([]) == []


def test_callers_that_wait_share_one_transaction() -> None:
    batches: list[list[int]] = []
    first_is_in, go_on = threading.Event(), threading.Event()

    def slow(items: Sequence[int]) -> list[int]:
        batches.append(list(items))
        first_is_in.set()
        assert go_on.wait(10.0)
        return list(items)

    commit: GroupCommit[int, int] = GroupCommit(slow)
    results: dict[int, list[int]] = {}

    def call(number: int) -> None:
        results[number] = commit([number, -number])

    threads = [threading.Thread(target=call, args=(number,)) for number in range(1, 9)]
    threads[0].start()
    assert first_is_in.wait(10.0)
    for thread in threads[1:]:
        thread.start()
    while len(commit._queue) < 7:
        threading.Event().wait(0.001)
    go_on.set()
    for thread in threads:
        thread.join()
    assert results == {number: [number, -number] for number in range(1, 9)}
    assert [len(batch) for batch in batches] == [2, 14]


def test_a_failed_commit_is_raised_to_its_callers_and_spoils_nothing() -> None:
    answers = iter([OSError("disk"), None])

    def commit(items: Sequence[int]) -> list[int]:
        error = next(answers)
        if error is not None:
            raise error
        return list(items)

    group: GroupCommit[int, int] = GroupCommit(commit)
    with pytest.raises(OSError, match="disk"):
        group([1])
    assert group([2]) == [2]
