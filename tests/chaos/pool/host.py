"""A shard in a process of its own, which answers over a socket and may be killed at any time.

It does what ``serving.pool.actor`` does without Ray: it opens what the map gives it, renews its
leases and writes snapshots. Processes are forked from one that has everything loaded.
"""

from __future__ import annotations

import logging
import os
import random
import resource
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from typing import Any, NamedTuple

from recsys.bundle import load_bundle
from recsys.errors import LedgerError, RecsysError
from recsys.ledger import open_ledger
from recsys.store import Store
from serving.pool import failpoints
from serving.pool.assignment import MapRegistry
from serving.pool.holdings import Holdings
from serving.pool.leases import Leases, boot_clock
from serving.pool.messages import ShardStatus
from serving.pool.partition import Ground
from serving.pool.processes import this_process
from serving.pool.shard import Shard
from serving.pool.spec import PoolSpec
from tests.chaos.pool.faulty import Faults, FaultyLedger

log = logging.getLogger(__name__)

STORE_WRITE = "store.write"
"""A point of ours: before each file and each pointer of a snapshot is written."""


BROKEN = "HALFLIFE_CHAOS_BROKEN"
"""Variable that breaks the fence of ``reads`` or ``writes``, to see that it is found out."""


class HostTask(NamedTuple):
    """What a host is told when it starts."""

    spec: PoolSpec
    role: str
    address: str
    """Path of its socket."""
    seed: str
    failpoints: str
    faults: Faults
    clock_speed: float
    clock_ahead_s: float
    snapshot_every_s: float


class Host(Shard):
    """A shard that can be asked by name of method."""

    def __init__(self, task: HostTask) -> None:
        self._task = task
        store = Store(task.spec.store_uri)
        bundle = load_bundle(store, task.spec.tenant, task.spec.bundle_id)
        draw = random.Random(task.seed)
        self._faulty = FaultyLedger(open_ledger(task.spec.ledger_url), task.faults, draw)
        ground = Ground.of(bundle, self._faulty, task.spec.settings)  # type: ignore[arg-type]
        owner = this_process(task.role, task.spec.settings.serving.lease_s)
        leases = Leases(ground.ledger, task.spec.tenant, owner, self._clock)
        super().__init__(ground, task.spec.n_partitions, leases)
        for work in (self._recover, self._keep, self._follow, self._feed_store):
            threading.Thread(target=work, daemon=True).start()

    def _clock(self) -> float:
        return boot_clock() * self._task.clock_speed + self._task.clock_ahead_s

    def status(self) -> ShardStatus:
        """See ``ShardActor.status``."""
        partitions, n_users, n_events = self.counts()
        return ShardStatus(
            self._task.role,
            os.getpid(),
            partitions,
            n_users,
            n_events,
            0.0,
            failed=self.failed(),
            copies=self.copied(),
        )

    def fill_disk(self, n_bytes: int | None) -> None:
        """Let no file grow by more than so many bytes from now on; None = as it was."""
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        soft = hard
        if n_bytes is not None:
            soft = max(_sizes(), default=0) + n_bytes
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    def calm(self) -> None:
        """No more faults."""
        self._faulty.faults = Faults()
        failpoints._armed.clear()
        self.fill_disk(None)

    def _recover(self) -> None:
        spec = self._task.spec
        try:
            found = MapRegistry(self._ground.ledger, spec.tenant).read()
            if found is not None and found.generation == spec.generation:
                self.open(found.partitions_of(self._task.role))
        except RecsysError:
            log.exception("the steward opens the partitions")

    def _keep(self) -> None:
        while True:
            time.sleep(self._leases.owner.lease_s / 4)
            try:
                self.renew()
            except LedgerError:
                log.exception("leases are not renewed")

    def _follow(self) -> None:
        while True:
            time.sleep(self._leases.owner.lease_s / 2)
            try:
                self.catch_up_copies()
            except RecsysError:
                log.exception("copies are behind")

    def _feed_store(self) -> None:
        while True:
            time.sleep(self._task.snapshot_every_s)
            try:
                self.save_snapshots()
            except RecsysError:
                log.exception("snapshots are late")


def _sizes() -> list[int]:
    """Of the files that this process has open."""
    found = []
    for opened in Path("/proc/self/fd").iterdir():
        try:
            if opened.is_file():
                found.append(opened.stat().st_size)
        except OSError:
            continue
    return found


def serve(task: HostTask, log_path: str) -> None:
    """Run a host until it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(filename=log_path, level=logging.WARNING, force=True)
    failpoints._armed.update(failpoints.parsed(task.failpoints))
    failpoints._draw = random.Random(task.seed)
    _arm_store()
    _break(os.environ.get(BROKEN, ""))
    listener = Listener(task.address, backlog=64)
    try:
        host = Host(task)
    except RecsysError:  # as an actor whose constructor raises; the steward starts another
        log.exception("cannot start")
        os._exit(1)
    while True:
        threading.Thread(target=_answer, args=(host, listener.accept()), daemon=True).start()


def _answer(host: Host, connection: Connection) -> None:
    while True:
        try:
            method, arguments = connection.recv()
        except (EOFError, OSError):
            return
        answer: tuple[str, Any]
        try:
            answer = ("ok", getattr(host, method)(*arguments))
        except Exception as error:
            if not isinstance(error, RecsysError):
                log.exception("%s failed", method)
            answer = ("error", error)
        try:
            connection.send(answer)
        except OSError:
            return


def _break(what: str) -> None:
    if what == "reads":
        Leases.check = lambda *_: None  # type: ignore[method-assign]
        Holdings.lose = lambda *_: None  # type: ignore[method-assign]
    if what == "writes":
        append = FaultyLedger.append

        def unfenced(ledger: FaultyLedger, partitions: Any, events: Any, epochs: Any) -> Any:
            ledger.true_epochs = ledger.ledger.epochs(events[0].tenant, list(set(partitions)))
            return append(ledger, partitions, events, epochs)

        FaultyLedger.append = unfenced  # type: ignore[assignment,method-assign]


def _arm_store() -> None:
    for name in ("put_content", "swap_pointer"):
        setattr(Store, name, _pointed(getattr(Store, name)))


def _pointed(method: Callable[..., Any]) -> Callable[..., Any]:
    def called(*arguments: Any) -> Any:
        failpoints.failpoint(STORE_WRITE)
        return method(*arguments)

    return called
