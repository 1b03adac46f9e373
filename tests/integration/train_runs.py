"""What the tests of training share: a job on a small log, and a hand that kills its workers."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from pipelines.job import Job
from pipelines.train_run import Run
from recsys.settings import load
from tests.integration.past_logs import new_job, put_events, put_items, small_world

SMALL = (
    "train.n_epochs=3",
    "train.batch_events=256",
    "train.n_log_steps=2",
    "train.checkpoint_every_s=0.01",
    "model.n_half_lives=3",
    "model.n_hidden=16",
)


def small_job(folder: Path, *assignments: str) -> Job:
    """A store with 3,000 events of 40 users, and settings that train in seconds."""
    world = small_world()
    job = new_job(folder, *SMALL, *assignments)
    put_items(job, world.items)
    put_events(job, world.events)
    return job


def with_settings(job: Job, *assignments: str) -> Job:
    """The same store with further settings."""
    tree = job.settings.model_dump()
    for name, value in (assignment.split("=", 1) for assignment in assignments):
        section, field = name.split(".")
        tree[section][field] = load(assignments=[f"{name}={value}"]).model_dump()[section][field]
    return replace(job, settings=type(job.settings).model_validate(tree))


def training_workers() -> list[psutil.Process]:
    """Processes of Ray Train's workers below this one."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if any("RayTrainWorker" in part for part in process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return sorted(found, key=lambda process: process.pid)


class Killer:
    """Kills a training worker each time that a run has made so many steps.

    Args:
        run: which run.
        steps: after how many steps of the run in all; rising.
        which: picks one of the workers.
    """

    def __init__(
        self, run: Run, steps: list[int], which: Callable[[list[Any]], Any] = lambda found: found[0]
    ) -> None:
        self._run, self._steps, self._which = run, list(steps), which
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.killed: list[int] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while self._steps and not self._done.wait(0.02):
            found = self._run.store.read_pointer(self._run.pointer)[0]
            if found is None or not found["checkpoints"]:
                continue
            step = found["checkpoints"][0]["progress"]["total_steps"]
            workers = training_workers()
            if step >= self._steps[0] and workers:
                self._which(workers).send_signal(signal.SIGKILL)
                self.killed.append(step)
                self._steps.pop(0)
