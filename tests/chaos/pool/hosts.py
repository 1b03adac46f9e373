"""The hosts of a run: started, asked, killed, stopped; and the client that asks them."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import signal
import threading
import time
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Client, Connection
from pathlib import Path
from typing import Any

from recsys.errors import LedgerError, RecsysError, UnavailableError
from serving.pool.assignment import ShardMap
from serving.pool.calls import ActorCalls
from serving.pool.client import PoolClient
from serving.pool.messages import ShardStatus
from serving.pool.spec import DIRECTORY, PoolSpec
from tests.chaos.pool.host import HostTask, serve
from tests.chaos.pool.plan import Plan

STATUS_TIMEOUT_S, CALL_TIMEOUT_S = 0.4, 5.0
MAX_STOP_S = 0.9
"""A process that stopped itself is woken up after so long."""

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.chaos.pool.preloaded"])


class Process:
    """A host's process."""

    def __init__(self, task: HostTask, log: Path) -> None:
        self.address = task.address
        self._process = _context.Process(target=serve, args=(task, str(log)), daemon=True)
        self._process.start()
        self.pid = self._process.pid or 0
        self.stopped_at: float | None = None

    def is_alive(self) -> bool:
        return self._process.is_alive()

    def send(self, number: signal.Signals) -> None:
        if self.is_alive():
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return

    def end(self) -> None:
        self.send(signal.SIGKILL)
        self._process.join(10.0)

    def is_stopped(self) -> bool:
        try:
            text = Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8")
        except OSError:
            return False
        return text[text.rindex(")") + 2] == "T"


class Hosts:
    """See ``Shards``; what dies is started again, as Ray would."""

    def __init__(self, spec: PoolSpec, plan: Plan, folder: Path) -> None:
        self.spec, self._plan, self._folder = spec, plan, folder
        self.running: dict[str, Process] = {}
        self.orphans: list[Process] = []
        self.drained: set[str] = set()
        self.maps: list[ShardMap] = []
        """That the steward knew, newest last."""
        self.is_calm = False
        self._lock = threading.RLock()
        self._n_started = 0
        self._own = _Asker()

    def start(self, role: str) -> None:
        with self._lock:
            held = self.running.get(role)
            if held is not None and held.is_alive():
                return
            self._n_started += 1
            number = self._n_started
            draw = random.Random(f"{self._plan.seed}/{role}/{number}")
            plan = self._plan.calmed() if self.is_calm else self._plan
            task = HostTask(
                spec=self.spec,
                role=role,
                address=str(self._folder / f"{number}.sock"),
                seed=f"{plan.seed}/{role}/{number}",
                failpoints=plan.failpoints,
                faults=plan.faults,
                clock_speed=draw.uniform(1 - plan.skew, 1 + plan.skew),
                clock_ahead_s=draw.uniform(-1e6, 1e6) * (plan.skew > 0),
                snapshot_every_s=plan.snapshot_every_s,
            )
            self.running[role] = Process(task, self._folder / f"{number}-{role}.log")

    def end(self, role: str) -> None:
        with self._lock:
            held = self.running.pop(role, None)
        if held is not None:
            held.end()

    def statuses(self, roles: Collection[str]) -> dict[str, ShardStatus]:
        found = {}
        for role in roles:
            try:
                found[role] = self._own.ask(self.address(role), "status", (), STATUS_TIMEOUT_S)
            except UnavailableError:
                continue
        return found

    def draining(self, statuses: Mapping[str, ShardStatus]) -> set[str]:
        return self.drained & set(statuses)

    def prepare(self, role: str, partition: int) -> None:
        self._call(role, "prepare", partition)

    def hand_over(self, role: str, partition: int) -> None:
        self._call(role, "hand_over", partition)

    def open(self, role: str, partitions: Collection[int]) -> None:
        self._call(role, "open", tuple(partitions))

    def keep(self, role: str, partitions: Collection[int]) -> None:
        self._call(role, "keep_copies", tuple(partitions))

    def _call(self, role: str, method: str, argument: Any) -> None:
        try:
            self._own.ask(self.address(role), method, (argument,), CALL_TIMEOUT_S)
        except LedgerError as error:
            raise UnavailableError(role, f"could not {method} ({error})") from error

    def address(self, role: str) -> str:
        """Where a role is now."""
        with self._lock:
            held = self.running.get(role)
        if held is None:
            raise UnavailableError(role, "is not running")
        return held.address

    def orphan(self, role: str) -> None:
        """Its node is lost: another takes its name, and nobody told the process."""
        with self._lock:
            held = self.running.pop(role, None)
            if held is not None:
                self.orphans.append(held)

    def every(self) -> list[Process]:
        with self._lock:
            return [*self.running.values(), *self.orphans]

    def wake(self, now: float, longest_s: float = MAX_STOP_S) -> None:
        """Let those go on that stopped long ago."""
        for process in self.every():
            if not process.is_stopped():
                process.stopped_at = None
            elif process.stopped_at is None and longest_s > 0:
                process.stopped_at = now
            elif longest_s == 0 or now - (process.stopped_at or 0) > longest_s:
                process.send(signal.SIGCONT)

    def calm(self) -> None:
        """No faults from now on; who is alive is told so."""
        self.is_calm = True
        self.drained.clear()
        self.wake(time.monotonic(), 0)
        for process in self.orphans:
            process.end()
        for process in list(self.running.values()):
            try:
                self._own.ask(process.address, "calm", (), CALL_TIMEOUT_S)
            except UnavailableError:
                process.end()

    def end_all(self) -> None:
        for process in self.every():
            process.send(signal.SIGKILL)
        for process in self.every():
            process.end()


class SocketCalls(ActorCalls):
    """Asks shards that are hosts."""

    def __init__(self, spec: PoolSpec, hosts: Hosts, draw: random.Random) -> None:
        super().__init__(spec, spec.settings.serving.attempt_timeout_s)
        self._hosts, self._draw = hosts, draw
        self._addresses: dict[str, str] = {}
        self._askers = threading.local()
        self._threads = ThreadPoolExecutor(4)

    def forget(self) -> None:
        """See ``ActorCalls``."""
        self._addresses.clear()

    async def ask(
        self, role: str, method: str, group: str | None, deadline: float, *args: Any
    ) -> Any:
        """See ``ActorCalls``."""
        if role == DIRECTORY:
            if len(self._hosts.maps) == 0:
                raise UnavailableError("directory", "is not running")
            return self._draw.choice(self._hosts.maps[-2:])  # it may lag behind
        if role not in self._addresses:
            self._addresses[role] = self._hosts.address(role)
        left_s = min(self._attempt_s, deadline - time.monotonic())
        call = (self._addresses[role], method, args, left_s)
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._ask_now, call)

    def _ask_now(self, call: tuple[str, str, tuple[Any, ...], float]) -> Any:
        if not hasattr(self._askers, "asker"):
            self._askers.asker = _Asker()
        return self._askers.asker.ask(*call)


def socket_client(
    spec: PoolSpec, hosts: Hosts, timeout_s: float, draw: random.Random
) -> PoolClient:
    """The client of a pool whose shards are hosts; all but the transport is ``PoolClient``."""
    return PoolClient(spec, timeout_s, SocketCalls(spec, hosts, draw))


class _Asker:
    """Connections of one thread."""

    def __init__(self) -> None:
        self._open: dict[str, Connection] = {}
        self._lock = threading.Lock()

    def ask(self, address: str, method: str, arguments: tuple[Any, ...], timeout_s: float) -> Any:
        with self._lock:
            try:
                if address not in self._open:
                    self._open[address] = Client(address)
                connection = self._open[address]
                connection.send((method, arguments))
                if not connection.poll(max(0.0, timeout_s)):
                    raise TimeoutError
                kind, answer = connection.recv()
            except (OSError, EOFError, TimeoutError) as error:
                held = self._open.pop(address, None)
                if held is not None:
                    held.close()
                raise UnavailableError(address, "does not answer") from error
        if kind == "ok":
            return answer
        if isinstance(answer, RecsysError):
            raise answer
        raise RuntimeError(f"{method} failed: {answer!r}") from answer
