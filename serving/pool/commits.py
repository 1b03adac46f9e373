"""Group commit: appends that wait at the same time share one transaction.

The first of the waiting threads commits for all. The commit and what follows it (the fold) are one
step under one lock, so whatever is folded is a prefix of the ledger: a snapshot may name it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass
class _Waiting(Generic[Item, Result]):
    items: Sequence[Item]
    results: list[Result] = field(default_factory=list)
    error: BaseException | None = None
    done: bool = False


class GroupCommit(Generic[Item, Result]):
    """Joins the batches of concurrent callers.

    Args:
        commit: makes a joined batch durable and effective; one result per item, in order.
        lock: held while a batch is committed; None = one of its own.
    """

    def __init__(
        self,
        commit: Callable[[list[Item]], Sequence[Result]],
        lock: threading.Lock | None = None,
    ) -> None:
        self._commit = commit
        self._queue: list[_Waiting[Item, Result]] = []
        self._queue_lock = threading.Lock()
        self._lock = threading.Lock() if lock is None else lock

    @property
    def n_waiting(self) -> int:
        """Batches that wait for the next commit."""
        return len(self._queue)

    def __call__(self, items: Sequence[Item]) -> list[Result]:
        """Commit items, alone or together with those of other threads.

        Raises:
            Exception: what ``commit`` raised; then no caller of the joined batch was acknowledged.
        """
        mine: _Waiting[Item, Result] = _Waiting(items)
        with self._queue_lock:
            self._queue.append(mine)
        with self._lock:
            if not mine.done:
                self._lead()
        if mine.error is not None:
            raise mine.error
        return mine.results

    def _lead(self) -> None:
        with self._queue_lock:
            batch, self._queue = self._queue, []
        try:
            results = self._commit([item for waiting in batch for item in waiting.items])
        except Exception as error:  # noqa: BLE001 - handed to every waiting caller
            for waiting in batch:
                waiting.error, waiting.done = error, True
            return
        start = 0
        for waiting in batch:
            end = start + len(waiting.items)
            waiting.results, waiting.done = list(results[start:end]), True
            start = end
