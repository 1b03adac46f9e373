"""Malformed and hostile requests, and what they leave behind.

``n_5xx``, ``n_due``         replies with a status of 5xx; requests without the reply that was due
``n_restarted``              processes that were replaced, which is how a crash shows
``replica_mb``, ``proxy_mb`` resident memory before and after each fifth, each after a rest; a leak
                             shows as growth that does not end
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import httpx
import psutil
from rich.console import Console
from rich.progress import Progress

from cluster import local
from pipelines.job import Job
from recsys.archive import create_store
from recsys.settings import load
from recsys.store import Store
from recsys.testing.fakes import tiny_bundle, tiny_items
from tests.benchmarks.hostile_parts.attack import Outcome, attack
from tests.benchmarks.hostile_parts.requests import requests

REST_S = 3.0
WARM_UP = 300
N_PARTS = 5
NAMES = {"replica": "ServeReplica:halflife:Gateway", "proxy": "ProxyActor"}


def run(arguments: list[str]) -> dict[str, object]:
    """Attack; return the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks hostile")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seed", type=int, default=17)
    options = parser.parse_args(arguments)
    started = time.time()
    with tempfile.TemporaryDirectory(prefix="hl-hostile-") as folder:
        job = _job(Path(folder))
        sys.stderr.write("bringing the service up\n")
        service = local.up(job, port=0)
        try:
            return _measure(service.url, options, started)
        finally:
            local.down(job)


def _job(folder: Path) -> Job:
    settings = load(assignments=["encoder.n_dims=8", "data.n_partitions=8"])
    store = Store(str(folder / "store"))
    create_store(store, 8)
    items = tiny_items({f"i{n}": f"rockets stars moon{n}" for n in range(200)})
    tiny_bundle(store, items, time.time(), settings)
    return Job(store, f"sqlite:///{folder}/ledger.db", settings)


def _measure(url: str, options: argparse.Namespace, started: float) -> dict[str, object]:
    attack(url, requests(WARM_UP, options.seed + 1))
    whole = requests(options.requests, options.seed)
    size = -(-len(whole) // N_PARTS)
    parts = [whole[start : start + size] for start in range(0, len(whole), size)]
    processes = _processes(started)
    memory, outcomes, took_s = [_memory(processes)], [], 0.0
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("hostile requests", total=len(whole))
        for part in parts:
            began = time.perf_counter()
            found = attack(url, part, options.connections, lambda: progress.advance(task))
            took_s += time.perf_counter() - began
            outcomes.append(found)
            memory.append(_memory(processes))
    httpx.get(f"{url}/healthz", timeout=30.0).raise_for_status()
    total = Outcome()
    for one in outcomes:
        total.by_status.update(one.by_status)
        total.failed += one.failed
    for failure in total.failed[:20]:
        sys.stderr.write(f"{failure}\n")
    known = {process.pid for process in processes.values()}
    return {
        "n_requests": len(whole),
        "n_5xx": sum(n for status, n in total.by_status.items() if status >= 500),
        "n_due": sum(1 for _, status, _ in total.failed if status < 0),
        "n_restarted": len({p.pid for p in _processes(started).values()} - known),
        **{f"{name}_mb": [round(one[name], 1) for one in memory] for name in NAMES},
        "by_status": {str(status): n for status, n in sorted(total.by_status.items())},
        "requests_per_s": round(len(whole) / took_s, 1),
    }


def _processes(started: float) -> dict[str, psutil.Process]:
    """The replica and the proxy that this benchmark started, by name."""
    found = {}
    for process in psutil.process_iter(["cmdline", "create_time"]):
        title = " ".join(process.info["cmdline"] or ())
        for name, part in NAMES.items():
            if part in title and process.info["create_time"] >= started - 1.0:
                found[name] = process
    return found


def _memory(processes: dict[str, psutil.Process]) -> dict[str, float]:
    time.sleep(REST_S)
    return {name: one.memory_info().rss / 2**20 for name, one in processes.items()}
