"""The consumer's loop: poll, read, append, quarantine, commit; without Kafka, Ray or a clock.

An offset is committed only after every message below it is in the ledger or in the quarantine. So
whatever dies between two steps, the messages since come again; and since a message is the same
event each time, the ledger knows it. While pool or store are away, reading is paused and the group
still served, so that the consumer keeps its partitions and holds one batch.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from recsys.errors import EventError, LedgerError, StoreError, UnavailableError
from recsys.schema import Event
from serving.pool.messages import AckBatch
from serving.stream.messages import REFUSED, End, Message, MessageReader, Place, Poison
from serving.stream.offsets import Offsets
from serving.stream.progress import Counts, Progress

log = logging.getLogger(__name__)

AWAY = (UnavailableError, LedgerError, StoreError)
"""What passes, sooner or later."""
HOLD_S = 1.0
"""Longest time between two services of the group while reading is paused."""


@dataclass(frozen=True)
class Polled:
    """What a source has to say."""

    items: tuple[Message | End, ...] = ()
    """In the order of each partition; all of partitions that the consumer has now."""
    taken: frozenset[Place] = frozenset()
    """Partitions that were taken away since the last call; what was read of them before is void."""


class Source(Protocol):
    """A member of a consumer group."""

    def poll(self, n_messages: int, timeout_s: float) -> Polled:
        """The next messages, at most so many; waits up to ``timeout_s`` for the first."""
        ...

    def hold(self, timeout_s: float) -> Polled:
        """Pause reading and serve the group for so long; a few messages may come all the same."""
        ...

    def resume(self) -> None:
        """Read on."""
        ...

    def commit(self, offsets: Mapping[Place, int]) -> Mapping[Place, int]:
        """Commit and wait; return what the group took."""
        ...

    def ends(self) -> Mapping[Place, int]:
        """The newest known end of each partition that the consumer has."""
        ...

    def close(self) -> None:
        """Leave the group."""
        ...


@dataclass(frozen=True)
class Outside:
    """What a loop is given of the world."""

    append: Callable[[Sequence[Event]], AckBatch]
    """Makes events durable in the pool; the same ids again are duplicates."""
    quarantine: Callable[[Sequence[Poison]], None]
    """Makes poison durable in the store."""
    now: Callable[[], float]
    """Unix seconds by the pool's clock."""
    rng: np.random.Generator
    """Jitter of the retries."""
    is_stopped: Callable[[], bool] = lambda: False
    """Whether the loop was told to end."""
    observe: Callable[[Progress], None] = lambda _: None
    """Hears after each step how far the loop is."""


@dataclass(frozen=True)
class Pace:
    """How much at a time, how patiently."""

    n_batch: int = 1_000
    """Most messages in one batch."""
    poll_s: float = 1.0
    """Longest wait for a message."""
    retry_min_s: float = 0.2
    """Upper bound of the first pause before a retry; it doubles with each."""
    retry_max_s: float = 15.0
    """Upper bound of every pause."""


@dataclass
class _Work:
    item: Message | End
    event: Event | None = None
    poison: Poison | None = None


class StreamLoop:
    """One consumer.

    Args:
        source: where messages come from.
        reader: makes events of them.
        outside: pool, quarantine, clock.
        pace: sizes and pauses.
    """

    def __init__(
        self, source: Source, reader: MessageReader, outside: Outside, pace: Pace | None = None
    ) -> None:
        self._source = source
        self._reader = reader
        self._outside = outside
        self._pace = Pace() if pace is None else pace
        self._offsets = Offsets()
        self._work: list[_Work] = []
        self._early: list[Message | End] = []  # came while reading was paused
        self._open_since: float | None = None  # the oldest message that is not committed was read
        self.counts = Counts()

    def run(self) -> Counts:
        """Consume until told to stop; then commit what is acknowledged and leave the group.

        Raises:
            RecsysError: what does not pass by waiting.
        """
        try:
            while not self._outside.is_stopped():
                self.step()
            self._commit()
        finally:
            self._source.close()
        return self.counts

    def step(self) -> None:
        """One batch, from poll to commit; or nothing, if none comes in time."""
        self._poll()
        if len(self._work) > 0:
            self._read()
            if not (self._patiently(self._append) and self._patiently(self._quarantine)):
                return
            self._offsets.acknowledge(work.item for work in self._work)
            self._work = []
        self._commit()
        self._outside.observe(self.progress())

    def progress(self) -> Progress:
        """How far the loop is."""
        since = self._open_since
        age_s = 0.0 if since is None else max(0.0, self._outside.now() - since)
        lags = self._offsets.lags(self._source.ends())
        return Progress(replace(self.counts, reasons=dict(self.counts.reasons)), lags, age_s)

    def _poll(self) -> None:
        early, self._early = self._early, []
        self._work = [_Work(item) for item in early]
        n_free = self._pace.n_batch - len(early)
        if n_free > 0:
            polled = self._source.poll(n_free, self._pace.poll_s if len(early) == 0 else 0.0)
            self._drop(polled.taken)
            self._work += [_Work(item) for item in polled.items]
        if len(self._work) > 0 and self._open_since is None:
            self._open_since = self._outside.now()

    def _read(self) -> None:
        now = self._outside.now()
        for work in self._work:
            if isinstance(work.item, Message):
                read = self._reader.read(work.item, now)
                if isinstance(read, Poison):
                    work.poison = read
                else:
                    work.event = read

    def _append(self) -> None:
        self._send([w for w in self._work if w.event is not None and w.poison is None])

    def _send(self, work: list[_Work]) -> None:
        if len(work) == 0:
            return
        try:
            ack = self._outside.append([w.event for w in work if w.event is not None])
        except EventError:  # the pool does not take one of them: which?
            if len(work) > 1:
                middle = len(work) // 2
                self._send(work[:middle])
                self._send(work[middle:])
            elif isinstance(work[0].item, Message):
                work[0].poison = Poison(work[0].item, REFUSED)
            return
        self.counts.n_events += ack.n_accepted
        self.counts.n_duplicates += ack.n_duplicates
        self.counts.n_erased += len(ack.refused)  # the quarantine would keep them

    def _quarantine(self) -> None:
        poison = [w.poison for w in self._work if w.poison is not None]
        if len(poison) == 0:
            return
        self._outside.quarantine(poison)
        for one in poison:
            place, offset = one.message.place, one.message.offset
            log.warning("poison at %s:%d: %s", place.source, offset, one.reason)
            self.counts.add_poison(one.reason)

    def _patiently(self, act: Callable[[], None]) -> bool:
        """Do what may fail for a while, until it succeeds; False = told to stop before."""
        for pause_s in self._pauses():
            try:
                act()
            except AWAY as error:
                self.counts.n_retries += 1
                log.warning("trying again in %.1f s: %s", pause_s, error)
                self._hold(pause_s)
                if self._outside.is_stopped():
                    return False
            else:
                break
        self._source.resume()
        return True

    def _pauses(self) -> Iterator[float]:
        """Growing, with full jitter: consumers that lost the same pool do not return at once."""
        bound = self._pace.retry_min_s
        while True:
            yield float(self._outside.rng.uniform(0.0, bound))
            bound = min(2.0 * bound, self._pace.retry_max_s)

    def _hold(self, pause_s: float) -> None:
        deadline = self._outside.now() + pause_s
        while True:
            left_s = min(HOLD_S, max(0.0, deadline - self._outside.now()))
            polled = self._source.hold(left_s)
            self._drop(polled.taken)
            self._early += polled.items
            self._outside.observe(self.progress())
            if self._outside.now() >= deadline or self._outside.is_stopped():
                return

    def _drop(self, taken: Collection[Place]) -> None:
        if len(taken) == 0:
            return
        self._work = [work for work in self._work if work.item.place not in taken]
        self._early = [item for item in self._early if item.place not in taken]
        self._offsets.forget(taken)

    def _commit(self) -> None:
        due = self._offsets.due()
        if len(due) > 0:
            done = self._source.commit(due)
            self._offsets.commit(done)
            self.counts.n_commits += len(done) > 0
        if len(self._offsets.due()) == 0 and len(self._early) == 0:
            self._open_since = None


__all__ = ["Outside", "Pace", "Polled", "Source", "StreamLoop"]
