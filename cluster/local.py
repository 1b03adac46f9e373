"""Halflife on one machine: ``python -m cluster.local up | status | down --store S``.

``up`` starts one process of our own (``run``) that starts a Ray of its own on free ports, with the
pool and the application on it. ``down`` ends that family and nothing else, so any number of stores,
and any other Ray, live side by side. HTTP binds the loopback; some of Ray's own ports listen on
every interface, and Ray asks for a token that only this family of processes knows.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import signal
import sys
import tempfile
import threading
import time
import uuid
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import httpx
import ray
import typer

from cluster import processes, registry
from cluster.deploy import app_args, deploy, is_healthy, wait_until_healthy, withdraw
from cluster.registry import LocalCluster
from cluster.settings_text import settings_yaml
from pipelines.job import (
    WORKER_ENVIRONMENT,
    ConfigOption,
    Job,
    LedgerOption,
    SetOption,
    StoreOption,
    TenantOption,
    finish,
    main,
    open_job,
)
from recsys.errors import UnavailableError
from recsys.ledger import open_ledger
from recsys.settings import ENVIRONMENT_PREFIX, load
from serving.app import pool_spec
from serving.auth.exposure import check_exposure
from serving.local_ray import noted
from serving.pool.assignment import MapRegistry, want
from serving.pool.processes import this_process
from serving.pool.spec import shard_roles

START_TIMEOUT_S = 240.0
STOP_GRACE_S = 30.0
OBJECT_STORE_BYTES = 200 << 20
MIN_LOGICAL_CPUS = 8
POLL_S = 0.2

RAY_ENVIRONMENT = {
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_enable_worker_prestart": "0",
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "30",  # after it, Serve starts its proxy over
    "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",  # a proxy that died is missed after a few
    "RAY_SERVE_FREEZE_GC_ON_STARTUP": "1",  # a catalog is many objects, and they stay
    "RAY_SERVE_LOG_TO_STDERR": "0",  # the same lines are in the replica's log file
}

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)

_here: dict[tuple[str, str], LocalCluster] = {}
"""Services on the Ray of this very process, by store and tenant."""

PortOption = Annotated[
    int | None, typer.Option("--port", help="Port of the service; 0 = any free one.")
]

TakeOverOption = Annotated[
    bool,
    typer.Option(
        "--take-over",
        help="Take over what another machine owned in a SQLite ledger. Only if that one is gone.",
    ),
]


def up(job: Job, port: int | None = None, timeout_s: float = START_TIMEOUT_S) -> LocalCluster:
    """Bring the service up and return when it is healthy; one that runs already is kept.

    In a process that is connected to a Ray it is put on that Ray; else on one of its own, which
    outlives this process.

    Args:
        job: store, ledger, tenant and settings.
        port: of the service; 0 = any free one, None = ``serving.port``.
        timeout_s: seconds in which it must be healthy.

    Raises:
        ConfigError: if the port is in use, or the ledger's URL is of no known kind.
        NotFoundError: if nothing was ingested, or no bundle is published.
        UnavailableError: if it does not become healthy in time.
    """
    with registry.alone(job):
        running = find(job)
        if running is not None and is_healthy(running.url):
            return replace(running, was_up=True)
        if running is not None:
            _take_down(job, running)
        host = job.settings.serving.host
        port = job.settings.serving.port if port is None else port
        port = processes.free_port(host) if port == 0 else port
        processes.check_port(host, port)
        check_exposure(job.settings.serving, host, job.settings.serving.grpc_port)
        pool_spec(app_args(job))  # fails at once where something is missing
        open_ledger(job.ledger_url).close()
        if ray.is_initialized():
            url = deploy(job, host, port)
            wait_until_healthy(url, timeout_s)
            here = LocalCluster(url, job.store.uri, job.tenant, "", os.getpid(), "")
            _here[_key(job)] = here
            return here
        return _start(job, port, timeout_s)


def down(job: Job) -> int:
    """End what ``up`` started for this store and tenant; return the number of processes ended."""
    with registry.alone(job):
        running = _here.get(_key(job)) or registry.read(job)
        return 0 if running is None else _take_down(job, running)


def find(job: Job) -> LocalCluster | None:
    """The service of a store and tenant, if its process is alive."""
    if _key(job) in _here:
        return _here[_key(job)]
    state = registry.read(job)
    if state is None or not processes.is_alive(state.pid, state.id):
        return None
    return state


def _start(job: Job, port: int, timeout_s: float) -> LocalCluster:
    folder = Path(tempfile.mkdtemp(prefix="hl-", dir=_short_folder()))
    config = folder / "settings.yaml"
    config.write_text(settings_yaml(job.settings), encoding="utf-8")
    tag = uuid.uuid4().hex
    command = [sys.executable, "-m", "cluster.local", "run", "--store", job.store.uri]
    command += ["--ledger", job.ledger_url, "--tenant", job.tenant]
    command += ["--config", str(config), "--port", str(port), "--folder", str(folder)]
    pid = processes.start(command, tag, folder / "log.txt", _environment())
    url = f"http://{job.settings.serving.host}:{port}"
    started = LocalCluster(url, job.store.uri, job.tenant, tag, pid, str(folder))
    registry.write(job, started)
    try:
        _wait(started, timeout_s)
    except BaseException:
        _end(job, started)
        raise
    return started


def _wait(started: LocalCluster, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_healthy(started.url):
        is_dead = not processes.is_alive(started.pid, started.id)
        if is_dead or time.monotonic() > deadline:
            problem = "ended while it started" if is_dead else f"is not up after {timeout_s:.0f} s"
            text = started.log.read_text(encoding="utf-8", errors="replace")
            raise UnavailableError(
                f"service of {started.store}", problem, f"Its last words:\n{text[-2_000:]}"
            )
        time.sleep(0.25)


def _key(job: Job) -> tuple[str, str]:
    return job.store.uri, job.tenant


def _take_down(job: Job, running: LocalCluster) -> int:
    if _here.pop(_key(job), None) is None:
        return _end(job, running)
    if ray.is_initialized():
        withdraw(job)
    return 0


def _end(job: Job, running: LocalCluster) -> int:
    n_ended = processes.end(running.pid, running.id, STOP_GRACE_S)
    shutil.rmtree(running.folder, ignore_errors=True)
    registry.forget(job)
    return n_ended


def _environment() -> dict[str, str]:
    """Ours, without settings (they come resolved, in a file) and without any other Ray."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(ENVIRONMENT_PREFIX)}
    kept.pop("RAY_ADDRESS", None)
    return {**kept, **_ray_environment(), **WORKER_ENVIRONMENT}


def _ray_environment() -> dict[str, str]:
    return {**RAY_ENVIRONMENT, "RAY_AUTH_TOKEN": secrets.token_hex(32)}


def _short_folder() -> str:
    """Ray's sockets lie below it, and a socket's path has at most 107 characters."""
    usual = tempfile.gettempdir()
    return usual if len(usual) <= 30 else "/tmp"  # noqa: S108 - mkdtemp makes it private


def _describe(cluster: LocalCluster) -> dict[str, Any]:
    try:
        health = httpx.get(f"{cluster.url}/healthz", timeout=5.0).json()
    except (httpx.HTTPError, ValueError) as error:
        health = {"status": "away", "detail": str(error)}
    return {**asdict(cluster), "log": str(cluster.log), "health": health}


@app.command(name="up")
def up_command(  # noqa: PLR0913, PLR0917 - the options of the command
    store: StoreOption,
    port: PortOption = None,
    ledger: LedgerOption = None,
    tenant: TenantOption = "default",
    config: ConfigOption = None,
    assignments: SetOption = None,
    take_over: TakeOverOption = False,
) -> None:
    """Bring pool and application up; return when they are healthy."""
    job = open_job(store, ledger, tenant, config, assignments)
    if take_over:
        release_others(job)
    finish(_describe(up(job, port)))


def release_others(job: Job) -> int:
    """Release the partitions that other machines own; return how many.

    Whoever owned them can write no more, and may read for the length of its lease, which is waited.
    """
    ledger = open_ledger(job.ledger_url)
    host = this_process("", 0.0).host
    held = ledger.owners(job.tenant)
    others = {p: epoch for p, (owner, epoch) in held.items() if owner.host != host}
    if others:
        ledger.release(job.tenant, others)
        time.sleep(max(held[p][0].lease_s for p in others))
    ledger.close()
    return len(others)


@app.command(name="down")
def down_command(
    store: StoreOption, ledger: LedgerOption = None, tenant: TenantOption = "default"
) -> None:
    """End what ``up`` started for this store, and nothing else."""
    finish({"n_processes_ended": down(open_job(store, ledger, tenant))})


@app.command()
def status(
    store: StoreOption, ledger: LedgerOption = None, tenant: TenantOption = "default"
) -> None:
    """Say what runs for this store; exit status 1 if nothing does."""
    running = find(open_job(store, ledger, tenant))
    finish({"state": "down"} if running is None else {"state": "up", **_describe(running)})
    raise typer.Exit(0 if running is not None and is_healthy(running.url) else 1)


@app.command()
def scale(
    store: StoreOption,
    shards: Annotated[
        int, typer.Option("--shards", min=1, help="Shards that the pool shall have.")
    ],
    ledger: LedgerOption = None,
    tenant: TenantOption = "default",
    wait_s: Annotated[
        float, typer.Option("--wait", min=0.0, help="Seconds to wait until it is done; 0 = do not.")
    ] = 120.0,
) -> None:
    """Change the number of shards of a running pool: partitions move, nothing stops.

    The wish is noted in the ledger, so any machine that reaches it may ask; the directory of the
    pool does the work. Example: python -m cluster.local scale --store S --shards 3
    """
    finish(scaled(open_job(store, ledger, tenant), shards, wait_s))


def scaled(job: Job, n_shards: int, wait_s: float) -> dict[str, Any]:
    """Ask for a number of shards, and wait until they own everything.

    Args:
        job: store, ledger and tenant.
        n_shards: wanted.
        wait_s: most seconds to wait; 0 = not at all.

    Returns:
        ``n_shards``, ``n_moved`` partitions, ``is_done`` and ``seconds``.

    Raises:
        UnavailableError: if there is no pool, or it is not done in time: then it goes on.
    """
    ledger = open_ledger(job.ledger_url)
    registry = MapRegistry(ledger, job.tenant)
    started = time.monotonic()
    before = want(registry, n_shards)
    roles = set(shard_roles(n_shards))
    after, is_done = before, False
    while not is_done and time.monotonic() - started < wait_s:
        time.sleep(POLL_S)
        after = registry.read() or after
        held = {owner.name for owner, _ in ledger.owners(job.tenant).values()}
        is_done = set(after.shards) == roles == held == set(after.owners)
    if wait_s > 0.0 and not is_done:
        raise UnavailableError(
            f"pool of {job.store.uri}",
            f"has not come to {n_shards} shards after {wait_s:.0f} s; it goes on",
            "Look at `python -m cluster.local status`; shards may wait for free CPUs or memory",
        )
    n_moved = sum(a != b for a, b in zip(before.owners, after.owners, strict=True))
    seconds = round(time.monotonic() - started, 2)
    return {"n_shards": n_shards, "n_moved": n_moved, "is_done": is_done, "seconds": seconds}


@app.command()
def settings(config: ConfigOption = None, assignments: SetOption = None) -> None:
    """Print every setting with its value, unit and meaning, as YAML for ``--config``."""
    sys.stdout.write(settings_yaml(load(config, os.environ, assignments or [])))


@app.command()
def run(  # noqa: PLR0913, PLR0917 - the options of the command
    store: StoreOption,
    port: PortOption = None,
    ledger: LedgerOption = None,
    tenant: TenantOption = "default",
    config: ConfigOption = None,
    assignments: SetOption = None,
    folder: Annotated[
        str | None, typer.Option("--folder", help="Ray's temporary folder; a short path.")
    ] = None,
) -> None:
    """Stay in the foreground with pool and application, until SIGTERM or Ctrl-C."""
    job = open_job(store, ledger, tenant, config, assignments)
    serving = job.settings.serving
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if os.environ.get("RAY_AUTH_TOKEN") is None:
        os.environ.update(_ray_environment())
    ray.init(
        address="local",
        num_cpus=max(MIN_LOGICAL_CPUS, os.cpu_count() or 1),  # logical: our actors ask for tenths
        include_dashboard=False,
        object_store_memory=OBJECT_STORE_BYTES,
        log_to_driver=False,
        logging_level="warning",
        runtime_env={"env_vars": WORKER_ENVIRONMENT},
        _node_ip_address="127.0.0.1",
        _temp_dir=folder,
    )
    address, token = ray.get_runtime_context().gcs_address, os.environ["RAY_AUTH_TOKEN"]
    try:
        with noted(job.store, job.tenant, address, token):
            wait_until_healthy(
                deploy(job, serving.host, serving.port if port is None else port), START_TIMEOUT_S
            )
            stop.wait()
    finally:
        ray.shutdown()


__all__ = ["LocalCluster", "down", "find", "up"]

if __name__ == "__main__":
    logging.getLogger("httpx").setLevel(logging.WARNING)  # one line per poll is too many
    main(app)
