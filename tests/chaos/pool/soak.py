"""Clusters for runs on Ray: one node, several that can be lost, and one whose calls fail.

``--ray processes``  kill -9 and SIGSTOP of shards, kill -9 of directory and trend board, scaling
``--ray nodes``      the same on three nodes with PostgreSQL, and the loss of one node at half-time
``--ray calls``      the same while calls of actors, and their answers, get lost
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import ray
from ray.cluster_utils import Cluster

from tests.chaos.pool.on_ray import RayRun
from tests.chaos.pool.plan import POSTGRES, SQLITE
from tests.chaos.pool.scene import Scenes
from tests.postgres import postgres_server

RPC_FAILURE = "RAY_testing_rpc_failure"
LOST_CALLS = {
    "CoreWorkerService.grpc_client.PushTask": {
        "num_failures": -1,
        "req_failure_prob": 3,
        "resp_failure_prob": 3,
        "in_flight_failure_prob": 1,
    }
}
STORE_BYTES = 100 << 20
N_NODES = 3
ENVIRONMENT = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_enable_worker_prestart": "0",
    "RAY_memory_monitor_refresh_ms": "0",
    "RAY_enable_metrics_collection": "0",
}
QUICK = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 500,
    "health_check_failure_threshold": 3,
}


def soak(
    kind: str, seconds: float, every_s: float, seed: int, say: Callable[[str], None]
) -> Counter[str]:
    """A run on Ray; how many violations of each kind."""
    os.environ.update(ENVIRONMENT)
    os.environ.pop("RAY_ADDRESS", None)
    if kind == "calls":
        os.environ[RPC_FAILURE] = json.dumps(LOST_CALLS)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hlr", dir="/tmp")))
        server = stack.enter_context(postgres_server()) if kind == "nodes" else None
        scenes = Scenes(folder, server, lease_s=1.0, failover_s=4.0, attempt_timeout_s=3.0)
        place = stack.enter_context(scenes.new(seed, POSTGRES if server else SQLITE, 2))
        cluster = _nodes(folder) if kind == "nodes" else _node(folder)
        lose = stack.enter_context(cluster)
        verdict = RayRun(place[1], seed, say)(seconds, every_s, lose)
    for name, found in vars(verdict).items():
        for text in found[:10]:
            say(f"  {name}: {text}")
    return Counter(verdict.counts())


@contextmanager
def _node(folder: Path) -> Iterator[None]:
    temporary = tempfile.mkdtemp(prefix="hl", dir="/tmp")  # unix sockets: a short path
    ray.init(
        address="local",
        num_cpus=8,
        include_dashboard=False,
        object_store_memory=STORE_BYTES,
        log_to_driver=False,
        _temp_dir=temporary,
    )
    try:
        yield None
    finally:
        ray.shutdown()
        _keep_logs(temporary)


@contextmanager
def _nodes(folder: Path) -> Iterator[Callable[[str], None]]:
    """A head without CPUs, and nodes each of which has a folder of its own for everything local."""
    temporary = tempfile.mkdtemp(prefix="hl", dir="/tmp")
    options = {"num_cpus": 0, "include_dashboard": False, "temp_dir": temporary}
    cluster = Cluster(
        initialize_head=True,
        head_node_args={**options, "object_store_memory": STORE_BYTES, "_system_config": QUICK},
    )

    def add() -> Any:
        private = tempfile.mkdtemp(dir=folder)
        return cluster.add_node(
            num_cpus=1, object_store_memory=STORE_BYTES, env_vars={"TMPDIR": private}
        )

    nodes = {node.node_id: node for node in (add() for _ in range(N_NODES))}

    def lose(node_id: str) -> None:
        """The raylet of a node dies; its workers do not know yet. Another node comes."""
        lost = nodes.pop(node_id)
        os.kill(lost.all_processes["raylet"][0].process.pid, signal.SIGKILL)
        add()

    ray.init(address=cluster.address, log_to_driver=False)
    try:
        yield lose
    finally:
        ray.shutdown()
        cluster.shutdown()
        _keep_logs(temporary)


def _keep_logs(temporary: str) -> None:
    """Where HALFLIFE_CHAOS_LOGS names a folder, the logs of Ray go there."""
    kept = os.environ.get("HALFLIFE_CHAOS_LOGS")
    if kept:
        for session in Path(temporary).glob("session_2*"):
            shutil.copytree(session / "logs", Path(kept) / f"{time.time():.0f}")
    shutil.rmtree(temporary, ignore_errors=True)
