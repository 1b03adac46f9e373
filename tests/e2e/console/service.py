"""The application on a loopback port without Ray, over a pool in this process."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn
from fastapi import FastAPI

from recsys.archive import store_partitions
from recsys.bundle import Bundle
from recsys.ledger import Owner, open_ledger
from recsys.settings import Settings
from serving.api.routes import create_app
from serving.gateway import Gateway
from serving.pool.leases import Leases
from serving.pool.partition import Ground
from serving.pool.shard import Shard
from serving.stage import Stage
from tests.unit.serving.conftest import LocalPool

LEASE_S = 3_600.0
"""Nobody renews it."""
PATIENCE_S = 20.0


@dataclass(frozen=True)
class Service:
    """What runs."""

    url: str
    app: FastAPI
    pool: LocalPool


def application(
    bundle: Bundle, ledger_url: str, settings: Settings, now: Callable[[], float]
) -> tuple[FastAPI, LocalPool]:
    """The application over all partitions of a bundle's store, and its pool."""
    ground = Ground.of(bundle, open_ledger(ledger_url), settings)
    owner = Owner(
        "console", socket.gethostname(), f"process-{time.monotonic_ns()}", lease_s=LEASE_S
    )
    n_partitions = store_partitions(bundle.store)
    leases = Leases(ground.ledger, ground.tenant, owner, gone=lambda _: True)
    shard = Shard(ground, n_partitions, leases)
    shard.open(range(n_partitions))
    pool = LocalPool(shard)
    return create_app(Stage.of(Gateway(bundle, pool, settings, now))), pool


@contextmanager
def served(app: FastAPI, pool: LocalPool) -> Iterator[Service]:
    """Serve an application while the block lasts."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app, log_level="warning", access_log=False, ws="none")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        deadline = time.monotonic() + PATIENCE_S
        while not server.started:
            assert time.monotonic() < deadline, "the application does not start"
            time.sleep(0.01)
        try:
            yield Service(f"http://127.0.0.1:{listener.getsockname()[1]}", app, pool)
        finally:
            server.should_exit = True
            thread.join(PATIENCE_S)
            assert not thread.is_alive(), "the application does not stop"
