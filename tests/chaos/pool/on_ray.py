"""The pool as actors on Ray, whose processes and nodes die while it is written to and read.

Shards write the epoch that they believe in beside each row, and each node counts as a machine of
its own, so that nobody can look whether a process of another node still lives.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from recsys.errors import LedgerError, UnavailableError
from recsys.ledger import open_ledger
from serving.pool import actor as actor_module
from serving.pool import actors, ensure, processes
from serving.pool.actor import ShardActor
from serving.pool.assignment import MapRegistry, want
from serving.pool.client import PoolClient
from serving.pool.directory import Directory
from serving.pool.ensure import end_pool, ensure_pool
from serving.pool.spec import DIRECTORY, TREND_BOARD, PoolSpec
from tests.chaos.pool.checker import Verdict, check
from tests.chaos.pool.faulty import Faults, FaultyLedger, rows
from tests.chaos.pool.history import History
from tests.chaos.pool.load import USERS, Load
from tests.chaos.pool.scene import oracle_of, recovered

PATIENCE_S = 120.0
REQUEST_TIMEOUT_S = 20.0
STOP_S = 6.0
MAX_SHARDS = 3


class MarkedShard(ShardActor):
    """A shard whose rows name its epoch, on a machine of its own."""

    def __init__(self, spec: PoolSpec, role: str) -> None:
        node = ray.get_runtime_context().get_node_id()
        if not spec.ledger_url.startswith("sqlite"):  # which refuses a second machine
            processes._host = lambda: node  # type: ignore[assignment]
        real = actor_module.open_ledger
        actor_module.open_ledger = lambda url: FaultyLedger(  # type: ignore[assignment,return-value]
            real(url), Faults(), random.Random(0)
        )
        super().__init__(spec, role)


class MarkedDirectory(Directory):
    """A directory that starts such shards."""

    def __init__(self, spec: PoolSpec) -> None:
        mark()
        super().__init__(spec)


def mark() -> None:
    """Let this process make pools of marked shards."""
    actors.ShardActor = MarkedShard  # type: ignore[misc]
    ensure.Directory = MarkedDirectory  # type: ignore[misc]


class RayRun:
    """One pool on the cluster that this process is connected to.

    Args:
        spec: the pool; its ledger is audited.
        seed: of what befalls it.
        say: hears what is done.
    """

    def __init__(self, spec: PoolSpec, seed: int, say: Callable[[str], None]) -> None:
        self.spec, self._seed, self._say = spec, seed, say
        self._draw = random.Random(seed)
        self._registry = MapRegistry(open_ledger(spec.ledger_url), spec.tenant)

    def __call__(
        self, seconds: float, every_s: float, more: Callable[[str], None] | None
    ) -> Verdict:
        """Write and read for a while, and let something happen every so often.

        Args:
            seconds: in all.
            every_s: between two deeds.
            more: done once, at half-time, to a node of a shard.
        """
        mark()
        ensure_pool(self.spec)
        load = Load(self._client, self.spec.n_partitions, self._seed, patience_s=PATIENCE_S)
        try:
            load.begin()
            self._befall(seconds, every_s, more)
            load.end()
            client = PoolClient(self.spec, PATIENCE_S)
            asyncio.run(load.read(client, USERS, dict(load.versions)))
            self._settle()
        finally:
            end_pool(self.spec)
        return self._judged(load.history)

    def _judged(self, history: History) -> Verdict:
        history.recovered = recovered(self.spec, time.monotonic())
        history.rows = rows(self.spec.ledger_url)
        acknowledged = sum(append.is_acknowledged for append in history.appends)
        self._say(f"{acknowledged} of {len(history.appends)} batches, {len(history.reads)} reads")
        return check(history, oracle_of(self.spec.settings))

    def _client(self, _: random.Random) -> PoolClient:
        return PoolClient(self.spec, REQUEST_TIMEOUT_S)

    def _befall(self, seconds: float, every_s: float, more: Callable[[str], None] | None) -> None:
        begin, n = time.monotonic(), 0
        deeds = [self._kill_shard, self._kill_directory, self._stop_shard, self._kill_board,
                 self._scale]  # fmt: skip
        self._draw.shuffle(deeds)
        while time.monotonic() < begin + seconds:
            due = begin + (n + 0.5) * every_s
            if due > begin + seconds:
                time.sleep(max(0.0, begin + seconds - time.monotonic()))
                break
            time.sleep(max(0.0, due - time.monotonic()))
            if more is not None and n == int(seconds / every_s / 2):
                self._say(f"{time.monotonic() - begin:.0f} s: node")
                more(self._some_node())
            else:
                deed = deeds[n % len(deeds)]
                self._say(f"{time.monotonic() - begin:.0f} s: {deed.__name__.strip('_')}")
                deed()
            n += 1

    def _kill_shard(self) -> None:
        self._send(self._some_shard(), signal.SIGKILL)

    def _stop_shard(self) -> None:
        pid = self._some_shard()
        self._send(pid, signal.SIGSTOP)
        threading.Timer(STOP_S, self._send, (pid, signal.SIGCONT)).start()

    def _kill_directory(self) -> None:
        self._send(self._pid(DIRECTORY), signal.SIGKILL)

    def _kill_board(self) -> None:
        self._send(self._pid(TREND_BOARD), signal.SIGKILL)

    def _scale(self) -> None:
        try:
            want(self._registry, self._draw.randint(1, MAX_SHARDS))
        except (UnavailableError, LedgerError) as error:
            self._say(f"not scaled: {error}")

    def _some_shard(self) -> int | None:
        owners = open_ledger(self.spec.ledger_url).owners(self.spec.tenant)
        found = sorted({owner.process for owner, _ in owners.values()} - {""})
        return int(self._draw.choice(found).split("/")[2]) if found else None

    def _some_node(self) -> str:
        statuses = asyncio.run(PoolClient(self.spec, PATIENCE_S).status())
        return self._draw.choice(sorted({status.node_id for status in statuses}))

    def _pid(self, role: str) -> int | None:
        try:
            handle: Any = ray.get_actor(self.spec.actor_name(role), self.spec.namespace)
            pid: int = ray.get(handle.__ray_call__.remote(_own_pid), timeout=5.0)
        except (RayError, ValueError, TimeoutError):
            return None
        return pid

    def _send(self, pid: int | None, number: signal.Signals) -> None:
        try:
            if pid is not None and _is_ray(pid):
                os.kill(pid, number)
        except ProcessLookupError:
            return

    def _settle(self) -> None:
        """Everything is as it shall be, and the trend board knows all shards."""
        ensure_pool(self.spec, PATIENCE_S)
        deadline = time.monotonic() + PATIENCE_S
        while asyncio.run(PoolClient(self.spec, PATIENCE_S).pull_trend(0)).as_of == float("-inf"):
            assert time.monotonic() < deadline, "the trend board does not hear of all shards"
            time.sleep(0.2)


def _own_pid(_: Any) -> int:
    return os.getpid()


def _is_ray(pid: int) -> bool:
    """Whether a process is still that of an actor: its number may have been given again."""
    try:
        return b"ray::" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
