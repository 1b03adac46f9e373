"""One run: hosts, a steward, writers and readers, and what the plan does to them."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import threading
import time
from pathlib import Path

from recsys.errors import LedgerError, RecsysError, UnavailableError
from recsys.ledger import open_ledger
from serving.pool import steward as steward_module
from serving.pool.assignment import MapRegistry, want
from serving.pool.client import PoolClient
from serving.pool.spec import PoolSpec
from serving.pool.steward import Steward
from tests.chaos.pool.checker import Verdict, check
from tests.chaos.pool.faulty import rows
from tests.chaos.pool.history import History
from tests.chaos.pool.hosts import Hosts, Process, socket_client
from tests.chaos.pool.load import USERS, Load
from tests.chaos.pool.plan import LOAD_S, TMPFS, Deed, Plan, plan_of
from tests.chaos.pool.scene import TMPFS_BYTES, Scenes, oracle_of, recovered
from tests.postgres import PostgresServer

STEP_S = 0.03
START_TIMEOUT_S, SETTLE_TIMEOUT_S = 20.0, 25.0
REQUEST_TIMEOUT_S = 1.5


class CrashError(Exception):
    """The steward is no more."""


class StuckError(Exception):
    """The pool does not serve all its partitions though nothing befalls it any more."""


def run(scenes: Scenes, seed: int, theme: str | None = None) -> tuple[Plan, History, Verdict]:
    """Run a seed, and judge it."""
    plan = plan_of(seed, scenes.postgres is not None, scenes.has_tmpfs, theme)
    with scenes.new(seed, plan.ledger, plan.n_shards, plan.standby) as (folder, spec):
        history = Run(plan, spec, folder, scenes.postgres).history()
    return plan, history, check(history, oracle_of(spec.settings))


class Run:
    """One plan on one scene."""

    def __init__(
        self, plan: Plan, spec: PoolSpec, folder: Path, postgres: PostgresServer | None
    ) -> None:
        self._plan, self._spec, self._folder, self._postgres = plan, spec, folder, postgres
        self._ledger = open_ledger(spec.ledger_url)
        self._hosts = Hosts(spec, plan, folder)
        self._over = threading.Event()
        self._settled_at = 0.0
        self._has_crashed = False

    def history(self) -> History:
        """What happened."""
        steward = threading.Thread(target=self._steward, daemon=True)
        load = Load(self._client, self._spec.n_partitions, self._plan.seed, self._plan.jumps)
        try:
            steward.start()
            threading.Thread(target=self._wake, daemon=True).start()
            self._wait_settled(START_TIMEOUT_S)
            load.begin()
            self._befall()
            self._hosts.calm()
            load.end()
            self._wait_settled(SETTLE_TIMEOUT_S)
            try:
                asyncio.run(load.read(self._client(random.Random(0)), USERS, dict(load.versions)))
            except UnavailableError as error:
                load.history.unread.append(str(error))
        finally:
            self._over.set()
            steward.join(10.0)
            self._hosts.end_all()
        load.history.recovered = recovered(self._spec, time.monotonic())
        load.history.rows = rows(self._spec.ledger_url)
        self._ledger.close()
        return load.history

    def _client(self, draw: random.Random) -> PoolClient:
        return socket_client(self._spec, self._hosts, REQUEST_TIMEOUT_S, draw)

    def _steward(self) -> None:
        steward = None
        steward_module.failpoint = self._point
        while not self._over.is_set():
            try:
                if steward is None:
                    registry = MapRegistry(self._ledger, self._spec.tenant)
                    steward = Steward(self._spec, registry, self._hosts)
                is_settled = steward.step(time.monotonic())
                self._hosts.maps.append(steward.map)
                if is_settled:
                    self._settled_at = time.monotonic()
            except CrashError:
                steward = None
            except RecsysError:
                pass
            time.sleep(STEP_S)

    def _wake(self) -> None:
        """In a thread of its own: who stands still in a transaction lets the steward wait."""
        while not self._over.is_set():
            self._hosts.wake(time.monotonic())
            time.sleep(STEP_S)

    def _point(self, name: str) -> None:
        if name == self._plan.steward_point and not self._has_crashed and not self._hosts.is_calm:
            self._has_crashed = True
            raise CrashError

    def _wait_settled(self, timeout_s: float) -> None:
        begin = time.monotonic()
        while self._settled_at <= begin:
            if time.monotonic() > begin + timeout_s:
                logs = "".join(p.read_text()[-2_000:] for p in self._folder.glob("*.log"))
                raise StuckError(f"after {timeout_s} s; {self._plan}; {logs}")
            time.sleep(0.01)

    def _befall(self) -> None:
        begin = time.monotonic()
        for deed in self._plan.deeds:
            time.sleep(max(0.0, begin + deed.at_s - time.monotonic()))
            self._do(deed)
        time.sleep(max(0.0, begin + LOAD_S - time.monotonic()))
        (self._folder / "ledger" / "ballast").unlink(missing_ok=True)

    def _do(self, deed: Deed) -> None:
        if deed.what == "scale":
            self._scale(1 + int(deed.value * 4))
        elif deed.what == "tear":
            _tear(self._folder / "store" / "snapshots", random.Random(deed.value))
        elif deed.what == "database":
            assert self._postgres is not None
            self._postgres.kill()
            time.sleep(0.1)
            self._postgres.start()
        elif deed.what.startswith("disk"):
            self._disk(is_full=deed.what == "disk full", value=deed.value)
        else:
            self._do_to_one(deed)

    def _do_to_one(self, deed: Deed) -> None:
        running = sorted(self._hosts.running.items())
        if len(running) == 0:
            return
        role, process = running[int(deed.value * len(running))]
        if deed.what == "kill":
            process.send(signal.SIGKILL)
        elif deed.what == "stop":
            process.send(signal.SIGSTOP)
        elif deed.what == "orphan":
            self._hosts.orphan(role)
        elif deed.what == "drain":
            self._hosts.drained.add(role)

    def _scale(self, n_shards: int) -> None:
        try:
            want(MapRegistry(self._ledger, self._spec.tenant), n_shards)
        except (
            UnavailableError,
            LedgerError,
        ):  # the map changes, or the database is away
            return

    def _disk(self, is_full: bool, value: float) -> None:
        ballast = self._folder / "ledger" / "ballast"
        if self._plan.ledger == TMPFS:
            if is_full:
                with ballast.open("wb") as file:
                    _fill(file.fileno(), TMPFS_BYTES)
            else:
                ballast.unlink(missing_ok=True)
            return
        for process in self._hosts.every():
            self._tell(process, "fill_disk", int(value * 60_000) if is_full else None)

    def _tell(self, process: Process, method: str, *arguments: object) -> None:
        try:
            self._hosts._own.ask(process.address, method, arguments, 1.0)
        except UnavailableError:
            return


def _fill(file: int, n_bytes: int) -> None:
    try:
        for _ in range(n_bytes // 4_096):
            os.write(file, bytes(4_096))
    except OSError:
        return


def _tear(folder: Path, draw: random.Random) -> None:
    """Flip a byte of one file of a snapshot, or cut it."""
    files = sorted(folder.rglob("*.arrow"))
    if len(files) == 0:
        return
    for path in draw.sample(files, min(3, len(files))):
        try:
            data = bytearray(path.read_bytes())
            if draw.random() < 0.3:
                data = data[: len(data) // 2]
            else:
                data[draw.randrange(len(data))] ^= 0xFF
            path.unlink()  # whoever has it in mapped memory keeps the old one
            path.write_bytes(data)
        except (OSError, ValueError):
            continue
