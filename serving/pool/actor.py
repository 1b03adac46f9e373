"""The shard as an actor: it opens what it needs, and keeps the trend board and the store fed."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import psutil
import ray
from ray.exceptions import RayError

from recsys.bundle import load_bundle
from recsys.errors import LedgerError, RecsysError, StoreError
from recsys.ledger import open_ledger
from recsys.schema import Event
from recsys.store import Store
from serving.pool.assignment import MapRegistry
from serving.pool.leases import Leases
from serving.pool.messages import AckBatch, ShardStatus, TrendPush
from serving.pool.meters import RayMeters
from serving.pool.partition import Ground
from serving.pool.processes import this_process
from serving.pool.shard import Shard
from serving.pool.spec import TREND_BOARD, PoolSpec
from serving.pool.warm_up import warm_up, warm_up_eviction

log = logging.getLogger(__name__)

PUSH_TIMEOUT_S = 5.0
HEAL_EVERY_S = 60.0
"""Seconds between full sums of the trend: whatever was lost on the way is whole again."""
RETRY_PAUSES_S = (0.2, 0.5, 1.0, 2.0, 4.0)
N_TIMES = 1_000
"""Batches whose times are averaged."""

T = TypeVar("T")


class ShardActor(Shard):
    """A shard that runs by itself; whatever Ray restarts begins here again.

    It opens what the map gives it without waiting for the directory, so that a crash of both is
    no more than a crash of one.

    Args:
        spec: the pool.
        role: of this shard.
    """

    def __init__(self, spec: PoolSpec, role: str) -> None:
        ground = _retried(lambda: _open(spec))
        owner = this_process(role, spec.settings.serving.lease_s)
        leases = Leases(ground.ledger, spec.tenant, owner)
        super().__init__(ground, spec.n_partitions, leases, RayMeters(role))
        self._spec = spec
        self._role = role
        self._board: Any = None
        self._sequence = 0
        self._recovery_s = 0.0
        self._n_appended = 0
        self._times: deque[float] = deque(maxlen=N_TIMES)
        self._process = psutil.Process()
        self._forgetting = threading.Lock()
        self._pushed = time.monotonic()
        warm_up(ground)
        works = (self._recover, self._keep, self._follow, self._feed_board, self._feed_store)
        for work in works:
            threading.Thread(target=work, daemon=True, name=work.__name__).start()

    def append(self, events: Sequence[Event]) -> AckBatch:
        """See ``Shard.append``."""
        started = time.perf_counter()
        ack = super().append(events)
        self._times.append(time.perf_counter() - started)
        self._n_appended += len(events)
        return ack

    def status(self) -> ShardStatus:
        """What this shard holds."""
        partitions, n_users, n_events = self.counts()
        times = list(self._times)
        return ShardStatus(
            name=self._role,
            pid=os.getpid(),
            partitions=partitions,
            n_users=n_users,
            n_events=n_events,
            recovery_s=self._recovery_s,
            node_id=ray.get_runtime_context().get_node_id(),
            failed=self.failed(),
            n_appended=self._n_appended,
            queue_s=sum(times) / len(times) if times else 0.0,
            rss_bytes=self._process.memory_info().rss,
            copies=self.copied(),
        )

    def _recover(self) -> None:
        """Open what the map of this generation gives to this shard; the directory does the rest."""
        started = time.perf_counter()
        try:
            found = _retried(MapRegistry(self._ground.ledger, self._spec.tenant).read)
            if found is not None and found.generation == self._spec.generation:
                self.open(found.partitions_of(self._role))
        except RecsysError:
            log.exception("the directory opens the partitions")
        self._recovery_s = time.perf_counter() - started
        warm_up_eviction(self._ground)

    def _keep(self) -> None:
        """Renew the leases before they lapse, forget who was erased, and say how things are."""
        while True:
            time.sleep(self._leases.owner.lease_s / 4)
            try:
                self.renew()
            except LedgerError:
                log.exception("leases are not renewed; what lapses is refused")
            self._notice_erasures()
            partitions, n_users, _ = self.counts()
            n_waiting, rss = self._appends.n_waiting, self._process.memory_info().rss
            self._meters.state(len(partitions), n_users, rss, n_waiting)
            self._meters.copies(len(self.copied()))
            self._meters.trend_age(time.monotonic() - self._pushed)

    def _follow(self) -> None:
        """Keep the copies of others' partitions at the ledger's heels."""
        while True:
            time.sleep(self._leases.owner.lease_s / 2)
            try:
                self.catch_up_copies()
            except Exception:
                log.exception("copies are behind; taking them over takes longer")

    def _notice_erasures(self) -> None:
        """In a thread of its own, for folding a partition anew may outlast a lease."""
        if not self._forgetting.acquire(blocking=False):
            return

        def work() -> None:
            try:
                self.forget()
            except RecsysError:
                log.exception("who was erased is forgotten a little later")
            finally:
                self._forgetting.release()

        threading.Thread(target=work, daemon=True, name="forget").start()

    def _feed_board(self) -> None:
        """Push for ever. A push that was not answered is repeated as it was."""
        push, healed = self._next_push(is_full=True), time.monotonic()
        while True:
            taken = self._push(push)
            if taken is False:  # something is missing in between
                push = self._next_push(is_full=True)
                continue
            time.sleep(self._spec.settings.serving.trend_push_s)
            if taken:
                self._pushed = time.monotonic()
                is_due = time.monotonic() - healed > HEAL_EVERY_S
                push = self._next_push(is_full=is_due)
                healed = time.monotonic() if is_due else healed

    def _push(self, push: TrendPush) -> bool | None:
        """What the board answered; None while it is away."""
        try:
            if self._board is None:
                name = self._spec.actor_name(TREND_BOARD)
                self._board = ray.get_actor(name, namespace=self._spec.namespace)
            taken: bool = ray.get(self._board.push.remote(push), timeout=PUSH_TIMEOUT_S)
        except (RayError, TimeoutError, ValueError):
            self._board = None
            return None
        return taken

    def _next_push(self, is_full: bool) -> TrendPush:
        as_of = time.time() + self._spec.settings.serving.clock_offset_s
        is_full, trend = self.take_trend(is_full)
        self._sequence += 1
        return TrendPush(self._role, self._sequence, is_full, as_of, trend.columns())

    def _feed_store(self) -> None:
        while True:
            time.sleep(self._spec.settings.serving.snapshot_every_s)
            try:
                self.save_snapshots()
            except RecsysError:
                log.exception("snapshots are late; the ledger has everything")


def _open(spec: PoolSpec) -> Ground:
    bundle = load_bundle(Store(spec.store_uri), spec.tenant, spec.bundle_id)
    return Ground.of(bundle, open_ledger(spec.ledger_url), spec.settings)


def _retried(call: Callable[[], T]) -> T:
    """Do what may fail for a moment: an actor whose constructor raises is never started again."""
    for pause_s in RETRY_PAUSES_S:
        try:
            return call()
        except (StoreError, LedgerError) as error:
            log.warning("trying again in %.1f s: %s", pause_s, error)
            time.sleep(pause_s)
    return call()
