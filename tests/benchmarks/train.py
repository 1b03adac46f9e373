"""What Ray Train costs, whether two workers learn what one does, and what a longer log costs.

``ray_step_ratio``       seconds of an epoch of the refit in a Ray Train worker / of the same loop
                         without Ray, which reads the same rows from memory; the first epoch, which
                         waits for the stream, aside; median of alternating rounds
``two_worker_loss_gap``  largest relative difference of the loss, epoch by epoch of the refit, of
                         two gloo workers and of one, with the same batches in all
``memory_ratio_10x``     the kernel's high-water mark of a training worker's resident memory on a
                         log of ten times the users and events, divided by that of the plain log
``events_per_s``         of an epoch of the refit in Ray Train, median of the rounds
``sasrec_events_per_s``  of RecTools' SASRec, trained for a few epochs in the same run, on the
                         folder that ``quality`` wrote for peers (``--peers FOLDER``); else null

The log is a world of drifting tastes; its items say nothing, so no language model is read.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from pipelines import train
from pipelines.job import Job, ray_session
from pipelines.train import Options
from recsys.archive import Archive, FileRef, create_store
from recsys.catalog import catalog_from_items
from recsys.events import event_arrays
from recsys.schema import partition_of
from recsys.settings import load
from recsys.store import Store
from recsys.testing.worlds import World, WorldSize, drift
from recsys.training.fitting import Material, epochs
from recsys.training.learner import Learner
from tests.benchmarks.ingest import _peak_mb
from tests.benchmarks.peers.environment import run_peers
from tests.integration.train_runs import training_workers

N_PARTITIONS = 16
SAMPLE_S = 0.2


def run(arguments: list[str]) -> dict[str, float | None]:
    """Measure; return the figures."""
    options = _options(arguments)
    with tempfile.TemporaryDirectory(prefix="hl-train-bench-") as folder, ray_session():
        world = _world(options.events)
        job = _job(Path(folder) / "one", world, options)
        with_ray, without, peaks, losses = [], [], [], []
        for number in range(options.rounds):
            report, peak = _trained(job, f"round{number}", 1)
            with_ray.append(_epoch_s(report["history"]))
            without.append(_plain_epoch_s(world, job))
            peaks.append(peak)
            losses.append(_losses(report))
            _say(f"round {number + 1}: {with_ray[-1]:.2f} s with Ray, {without[-1]:.2f} s without")
        pair, _ = _trained(job, "pair", 2)
        gap = np.abs(_losses(pair) / losses[0] - 1.0).max()
        figures: dict[str, float | None] = {
            "ray_step_ratio": round(
                statistics.median(a / b for a, b in zip(with_ray, without, strict=True)), 4
            ),
            "two_worker_loss_gap": round(float(gap), 5),
            "events_per_s": round(options.events / statistics.median(with_ray), 1),
            "sasrec_events_per_s": _sasrec(options.peers),
            "n_events": options.events,
        }
        if options.tenfold:
            tenfold = _job(Path(folder) / "ten", _world(10 * options.events), options, n_epochs=1)
            _, peak = _trained(tenfold, "ten", 1)
            figures["memory_ratio_10x"] = round(peak / statistics.median(peaks), 4)
            figures["worker_peak_mb"] = round(statistics.median(peaks), 1)
    return figures


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks train")
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--peers", type=Path, help="folder to train SASRec on, too")
    parser.add_argument("--tenfold", action=argparse.BooleanOptionalAction, default=True)
    return parser.parse_args(arguments)


def _world(n_events: int) -> World:
    size = WorldSize(n_users=n_events // 100, n_items=1_700, n_events=n_events)
    return drift(size, np.random.default_rng(17))


def _job(
    folder: Path, world: World, options: argparse.Namespace, n_epochs: int | None = None
) -> Job:
    """A store with the world's log."""
    store = Store(str(folder))
    create_store(store, N_PARTITIONS)
    archive = Archive(store)
    path, sha256, _ = store.write_table("archive/items", world.items)
    archive.publish(lambda m: replace(m, items={"default": FileRef(path, sha256)}))
    users = world.events["user_id"].to_pylist()
    owner = np.array([partition_of("default", user, N_PARTITIONS) for user in users])
    files = {
        p: [archive.write_events(p, world.events.filter(owner == p))] for p in range(N_PARTITIONS)
    }
    archive.publish(lambda manifest: manifest.with_events(files))
    n = options.epochs if n_epochs is None else n_epochs
    no_pilot = "ranking.validation_share=1e-6"  # every epoch is one of the refit
    settings = load(assignments=["model.use_text=false", f"train.n_epochs={n}", no_pilot])
    return Job(store, f"sqlite:///{folder}/ledger.db", settings)


def _trained(job: Job, name: str, n_workers: int) -> tuple[dict[str, Any], float]:
    """Train with the job; the report, and the peak of any worker in MiB."""
    changes = {"min_workers": n_workers, "max_workers": n_workers}
    settings = job.settings.model_copy(
        update={"train": job.settings.train.model_copy(update=changes)}
    )
    with _watched() as peaks:
        report = train.run(replace(job, settings=settings), Options(publish=False, name=name))
    return report, max(peaks.values())


@contextmanager
def _watched() -> Iterator[dict[int, float]]:
    """High-water marks of training workers, in MiB by process id."""
    peaks: dict[int, float] = {}
    done = threading.Event()

    def watch() -> None:
        while not done.wait(SAMPLE_S):
            try:
                for process in training_workers():
                    peaks[process.pid] = max(peaks.get(process.pid, 0.0), _peak_mb(process.pid))
            except psutil.Error:
                continue

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peaks
    finally:
        done.set()
        thread.join()


def _epoch_s(history: list[dict[str, Any]]) -> float:
    """Seconds of an epoch of the refit, the first one aside."""
    return statistics.median(h["seconds"] for h in history if _counts(h))


def _counts(figures: dict[str, Any]) -> bool:
    return figures["phase"] == "refit" and figures["epoch"] > 1


def _losses(report: dict[str, Any]) -> Any:
    return np.array([h["loss"] for h in report["history"] if h["phase"] == "refit"])


def _plain_epoch_s(world: World, job: Job) -> float:
    """Seconds of an epoch of the loop without Ray, the first one aside."""
    torch.set_num_threads(1)
    catalog = catalog_from_items(world.items)
    events = event_arrays(world.events, catalog.index)
    material = Material.of(events, catalog, None, job.settings)
    settings = job.settings.train
    n_steps = settings.n_epochs * material.steps_per_epoch(settings.batch_events)
    learner = Learner(material.log, job.settings, n_steps, settings.seed)
    seconds, started = [], time.perf_counter()
    for _ in epochs(learner, material, job.settings):
        seconds.append(time.perf_counter() - started)
        started = time.perf_counter()
    return statistics.median(seconds[1:])


def _sasrec(folder: Path | None) -> float | None:
    """Events per second of processor time of the peers' SASRec."""
    if folder is None:
        return None
    with tempfile.TemporaryDirectory(prefix="hl-train-bench-") as out:
        briefly = ["--n-points", "1", "--max-epochs", "5", "--out", out]
        (notes,) = run_peers(folder, ["sasrec"], briefly)
    return round(float(notes["events_per_s"]), 1)


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
