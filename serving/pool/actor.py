"""The shard as an actor: it opens what it needs, and keeps the trend board and the store fed."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import ray
from ray.exceptions import RayError

from recsys.bundle import load_bundle
from recsys.errors import LedgerError, RecsysError, StoreError
from recsys.ledger import open_ledger
from recsys.store import Store
from serving.pool.messages import ShardStatus, TrendPush
from serving.pool.partition import Ground
from serving.pool.shard import Shard
from serving.pool.spec import TREND_BOARD, PoolSpec
from serving.pool.warm_up import warm_up

log = logging.getLogger(__name__)

PUSH_TIMEOUT_S = 5.0
HEAL_EVERY_S = 60.0
"""Seconds between full sums of the trend: whatever was lost on the way is whole again."""
RETRY_PAUSES_S = (0.2, 0.5, 1.0, 2.0, 4.0)

T = TypeVar("T")


class ShardActor(Shard):
    """A shard that runs by itself; whatever Ray restarts begins here again.

    Args:
        spec: the pool.
        name: of this actor.
        partitions: which it owns.
    """

    def __init__(self, spec: PoolSpec, name: str, partitions: tuple[int, ...]) -> None:
        started = time.perf_counter()
        ground = _retried(lambda: _open(spec))
        super().__init__(ground, spec.n_partitions)
        self._spec = spec
        self._name = name
        self._board: Any = None
        self._sequence = 0
        warm_up(ground)
        _retried(lambda: self.load(partitions))
        self._recovery_s = time.perf_counter() - started
        self._last_snapshot = time.monotonic()
        for work in (self._feed_board, self._feed_store):
            threading.Thread(target=work, daemon=True, name=work.__name__).start()

    def status(self) -> ShardStatus:
        """What this shard holds."""
        partitions, n_users, n_events = self.counts()
        return ShardStatus(self._name, os.getpid(), partitions, n_users, n_events, self._recovery_s)

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
        return TrendPush(self._name, self._sequence, is_full, as_of, trend.columns())

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
