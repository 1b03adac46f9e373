"""Several nodes on this machine, and a training run on them whose nodes come and go.

``python -m tests.chaos.nodes`` is ``python -m pipelines.train`` with slow steps, so that what
happens to a node happens inside an epoch, and with a look every few seconds for room for more
workers. A run has a process of its own, as it has on a cluster.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import yaml
from ray._raylet import GcsClient
from ray.cluster_utils import Cluster
from ray.core.generated.autoscaler_pb2 import DrainNodeReason

from pipelines import train
from pipelines.job import Job, main
from pipelines.train_loop import train_loop
from pipelines.train_run import Run
from recsys.training.learner import Learner

STEP_S = 0.8
"""Least seconds of a step."""
RESIZE_S = 5.0
"""Between two looks for room for more workers."""
STORE_BYTES = 100 << 20
"""Object store of a node."""
ROOT = Path(__file__).parents[2]

Found = TypeVar("Found")


class Nodes:
    """A head without CPUs, where the driver is, and nodes of one CPU, a worker each."""

    def __enter__(self) -> Self:
        self._folder = tempfile.mkdtemp(prefix="hl", dir="/tmp")  # unix sockets: a short path
        options = {"num_cpus": 0, "include_dashboard": False, "temp_dir": self._folder}
        self._cluster = Cluster(
            initialize_head=True,
            head_node_args={**options, "object_store_memory": STORE_BYTES},
        )
        self.address: str = self._cluster.address
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._cluster.shutdown()
        shutil.rmtree(self._folder, ignore_errors=True)

    def add(self) -> Any:
        """One more node."""
        return self._cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES)

    def drain(self, node: Any, deadline_s: float) -> float:
        """Tell Ray, as a cloud's watcher does, that a node will go; when, in Unix seconds."""
        deadline = time.time() + deadline_s
        reason = DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
        accepted, problem = GcsClient(address=self.address).drain_node(
            node.node_id, reason, "its price has risen", int(deadline * 1_000)
        )
        assert accepted, problem
        return deadline

    def remove(self, node: Any) -> None:
        """Kill a node and all that runs on it."""
        self._cluster.remove_node(node, allow_graceful=False)


class Training:
    """A training run on nodes, in a process of its own.

    Args:
        job: store and settings.
        name: of the run.
        address: of the cluster.
    """

    def __init__(self, job: Job, name: str, address: str) -> None:
        self.run = Run(job.store, job.tenant, name)
        folder = Path(job.store.uri).parent
        config = folder / f"{name}.yaml"
        config.write_text(yaml.safe_dump(job.settings.model_dump(mode="json")))
        self._log = folder / f"{name}.log"
        options = ["--store", job.store.uri, "--ledger", job.ledger_url, "--config", str(config)]
        options += ["--name", name, "--no-publish"]
        environment = {"RAY_ADDRESS": address, "RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S": "1"}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.nodes", *options],
                cwd=ROOT,
                env={**os.environ, **environment},
                stdout=subprocess.PIPE,
                stderr=log,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()

    def progress(self) -> dict[str, Any] | None:
        """What the newest checkpoint says; None where there is none."""
        state = self.run.state()
        found = [] if state is None else state["checkpoints"]
        return found[0]["progress"] if found else None

    def steps(self) -> int:
        """Steps up to the newest checkpoint."""
        found = self.progress()
        return 0 if found is None else int(found["total_steps"])

    def until(self, seen: Callable[[dict[str, Any]], bool], timeout_s: float) -> dict[str, Any]:
        """Wait for a checkpoint; its progress."""
        ends = time.monotonic() + timeout_s
        while time.monotonic() < ends:
            found = self.progress()
            if found is not None and seen(found):
                return found
            assert self._process.poll() is None, self._said()
            time.sleep(0.1)
        raise AssertionError(f"nothing of the kind in {timeout_s} s: {self._said()}")

    def report(self, timeout_s: float) -> dict[str, Any]:
        """Wait for the end; the run's report."""
        out, _ = self._process.communicate(timeout=timeout_s)
        assert self._process.returncode == 0, self._said()
        found: dict[str, Any] = json.loads(out.splitlines()[-1])
        return found

    def _said(self) -> str:
        return self._log.read_text()[-3_000:]


def slow_loop(config: dict[str, Any]) -> None:
    """The training loop with steps that take their time; in a worker."""
    learn = Learner.step

    def slowly(learner: Learner, *arguments: Any) -> Any:
        time.sleep(STEP_S)
        return learn(learner, *arguments)

    Learner.step = slowly  # type: ignore[method-assign]
    train_loop(config)


def run_slowly() -> None:
    """The command ``train``, slow and quick to see new nodes."""
    room = train._scaling

    def watchful(settings: Any) -> Any:
        return replace(room(settings), elastic_resize_monitor_interval_s=RESIZE_S)

    train._scaling = watchful
    train.train_loop = slow_loop  # type: ignore[assignment]
    main(train.app)


if __name__ == "__main__":
    run_slowly()
