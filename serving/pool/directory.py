"""The directory: an actor that works as the steward of a pool, and tells clients its map."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection, Mapping
from typing import Any

import ray
from ray._private import state as ray_state
from ray.exceptions import GetTimeoutError, RayError, RayTaskError

from recsys.errors import LedgerError, RecsysError, UnavailableError
from recsys.ledger import open_ledger
from serving.pool.actors import end_actor, start_shard
from serving.pool.assignment import MapRegistry, ShardMap, want
from serving.pool.client import CONTROL
from serving.pool.messages import ShardStatus
from serving.pool.scaling import Autoscaler, Seen
from serving.pool.spec import TREND_BOARD, PoolSpec
from serving.pool.steward import Steward

log = logging.getLogger(__name__)

STEP_EVERY_S = 0.5
STATUS_TIMEOUT_S = 2.0
CALL_TIMEOUT_S = 120.0


class Directory:
    """Runs as a named actor. Whatever it does, it does again after a crash.

    Args:
        spec: the pool.
    """

    def __init__(self, spec: PoolSpec) -> None:
        self._registry = MapRegistry(open_ledger(spec.ledger_url), spec.tenant)
        self._shards = RayShards(spec)
        self._steward = Steward(spec, self._registry, self._shards)
        self._rule = spec.settings.serving
        self._autoscaler = Autoscaler(self._rule)
        self._is_settled = False
        threading.Thread(target=self._work, daemon=True, name="steward").start()

    def map(self) -> ShardMap:
        """The current map."""
        return self._steward.map

    def is_settled(self) -> bool:
        """Whether every partition was served by its owner at the last look."""
        return self._is_settled

    def _work(self) -> None:
        while True:
            try:
                self._is_settled = self._steward.step(time.monotonic())
                self._shards.expect(self._steward.map.shards)  # the board may be a new one
                if self._rule.autoscale:
                    self._autoscale()
            except UnavailableError as error:
                log.warning("the map is looked at again: %s", error)
            except (RecsysError, RayError):
                log.exception("the next step tries again")
            time.sleep(STEP_EVERY_S)

    def _autoscale(self) -> None:
        seen = [
            Seen(s.name, s.pid, s.n_appended, s.queue_s, s.rss_bytes)
            for s in self._steward.statuses.values()
        ]
        n_now = self._steward.map.n_wanted
        wanted = self._autoscaler.decide(n_now, seen, time.monotonic())
        if wanted != n_now:
            log.warning("the pool goes from %d to %d shards by its load", n_now, wanted)
            want(self._registry, wanted)


class RayShards:
    """The shards of a pool as Ray actors.

    Args:
        spec: the pool.
    """

    def __init__(self, spec: PoolSpec) -> None:
        self._spec = spec
        self._handles: dict[str, Any] = {}
        self._draining_since: dict[str, float] = {}

    def start(self, role: str) -> None:
        """See ``Shards``."""
        if role not in self._handles:
            self._handles[role] = start_shard(self._spec, role)

    def end(self, role: str) -> None:
        """See ``Shards``."""
        end_actor(self._spec, self._spec.actor_name(role))
        self._handles.pop(role, None)

    def statuses(self, roles: Collection[str]) -> dict[str, ShardStatus]:
        """See ``Shards``."""
        calls = {}
        for role in roles:
            handle = self._handle(role)
            if handle is not None:
                calls[handle.status.options(concurrency_group=CONTROL).remote()] = role
        ready, _ = ray.wait(list(calls), num_returns=len(calls), timeout=STATUS_TIMEOUT_S)
        found = {}
        for ref in ready:
            try:
                found[calls[ref]] = ray.get(ref)
            except RayError:
                self._handles.pop(calls[ref], None)
        return found

    def draining(self, statuses: Mapping[str, ShardStatus]) -> set[str]:
        """See ``Shards``."""
        nodes = set(ray_state.state.get_draining_nodes())
        return {role for role, status in statuses.items() if status.node_id in nodes}

    def prepare(self, role: str, partition: int) -> None:
        """See ``Shards``."""
        self._call(role, "prepare", partition)

    def hand_over(self, role: str, partition: int) -> None:
        """See ``Shards``."""
        self._call(role, "hand_over", partition)

    def open(self, role: str, partitions: Collection[int]) -> None:
        """See ``Shards``."""
        self._call(role, "open", tuple(partitions))

    def keep(self, role: str, partitions: Collection[int]) -> None:
        """See ``Shards``."""
        self._call(role, "keep_copies", tuple(partitions))

    def expect(self, roles: Collection[str]) -> None:
        """See ``Shards``."""
        try:
            name = self._spec.actor_name(TREND_BOARD)
            board = ray.get_actor(name, namespace=self._spec.namespace)
            board.expect.remote(tuple(roles))
        except (RayError, ValueError):
            log.warning("the trend board is away; it asks for full sums when it is back")

    def _call(self, role: str, method: str, argument: Any) -> None:
        handle = self._handle(role)
        if handle is None:
            raise UnavailableError(role, "is not running", "Retry")
        call = getattr(handle, method).options(concurrency_group=CONTROL)
        try:
            ray.get(call.remote(argument), timeout=CALL_TIMEOUT_S)
        except RayTaskError as error:
            cause = error.cause
            if isinstance(cause, LedgerError):
                raise UnavailableError(role, f"could not {method} ({cause})", "Retry") from error
            if isinstance(cause, RecsysError):
                raise cause from None
            raise
        except (RayError, GetTimeoutError) as error:
            self._handles.pop(role, None)
            raise UnavailableError(role, "does not answer", "Retry") from error

    def _handle(self, role: str) -> Any:
        if role not in self._handles:
            try:
                name = self._spec.actor_name(role)
                self._handles[role] = ray.get_actor(name, namespace=self._spec.namespace)
            except ValueError:
                return None
        return self._handles[role]
