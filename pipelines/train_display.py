"""What the driver shows and keeps while workers train: a bar, TensorBoard files, MLflow if asked.

A thread takes the figures from the board, so that the main thread can wait for Ray.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol, Self

import ray
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from pipelines.downloads import cache_folder
from pipelines.job import console
from pipelines.train_run import Run
from recsys.errors import ConfigError
from recsys.training.options import TrainSettings

POLL_S = 0.5

log = logging.getLogger(__name__)


class Sink(Protocol):
    """Where figures go."""

    def write(self, figures: Mapping[str, Any]) -> None:
        """Take the figures of one report."""
        ...

    def close(self) -> None:
        """No more will come."""
        ...


def sinks(run: Run, settings: TrainSettings) -> list[Sink]:
    """TensorBoard always, MLflow where the settings name a server.

    Raises:
        ConfigError: if MLflow is asked for and not installed.
    """
    found: list[Sink] = [TensorBoard(run)]
    if settings.mlflow_uri is not None:
        found.append(MLflow(settings.mlflow_uri, run, settings))
    return found


def check_mlflow(settings: TrainSettings) -> None:
    """Refuse early what would fail after the data was read.

    Raises:
        ConfigError: if MLflow is asked for and not installed.
    """
    if settings.mlflow_uri is not None and importlib.util.find_spec("mlflow") is None:
        raise ConfigError(
            f"train.mlflow_uri = {settings.mlflow_uri}",
            "needs mlflow, which is not installed",
            "pip install 'halflife[mlflow]'",
        )


@contextmanager
def showing(board: Any, where: Sequence[Sink]) -> Iterator[None]:
    """Show and write what the board gets, until the block ends."""
    done = threading.Event()
    with ExitStack() as stack:
        for sink in where:
            stack.callback(sink.close)
        bar = stack.enter_context(Bar())
        thread = threading.Thread(target=_follow, args=(board, [bar, *where], done), daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


class Bar:
    """Phase, epoch, loss, validation NDCG, events a second and the time that is left."""

    def __init__(self) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[said]}"),
            TimeElapsedColumn(),
            console=console,
        )
        self._task = self._progress.add_task("train", total=None, said="starting workers")
        self._loss: float | None = None
        self._ndcg: float | None = None
        self._speed = 0.0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def write(self, figures: Mapping[str, Any]) -> None:
        """See ``Sink.write``."""
        if figures["points"]:
            self._loss = figures["points"][-1][1]
        for end in figures["ends"]:
            self._loss, self._ndcg = end["loss"], end.get("ndcg", self._ndcg)
        if figures["seconds"] > 0 and figures["events"]:
            self._speed = figures["events"] / figures["seconds"]
        per_epoch, n_epochs = figures["steps_per_epoch"], figures["n_epochs"]
        done = figures["epoch"] * per_epoch + figures["step"]
        self._progress.update(
            self._task,
            description=f"{figures['phase']} epoch {min(figures['epoch'] + 1, n_epochs)}",
            completed=min(done, n_epochs * per_epoch),
            total=n_epochs * per_epoch,
            said=self._said(figures, n_epochs * per_epoch - done),
        )

    def close(self) -> None:
        """See ``Sink.close``."""

    def _said(self, figures: Mapping[str, Any], steps_left: int) -> str:
        parts = [] if self._loss is None else [f"loss {self._loss:.3f}"]
        if self._ndcg is not None:
            parts.append(f"NDCG@10 {self._ndcg:.4f}")
        parts.append(f"{self._speed:,.0f} events/s")
        if figures["total_steps"]:
            left = max(steps_left, 0) * figures["spent_s"] / figures["total_steps"]
            parts.append(f"at most {int(left) // 60}:{int(left) % 60:02} left")
        return "  ".join(parts)


class TensorBoard:
    """Event files in the run's folder; of a remote store they are copied there at the end.

    Args:
        run: whose folder.
    """

    def __init__(self, run: Run) -> None:
        from tensorboardX import SummaryWriter  # noqa: PLC0415 - a second of imports

        self._run = run
        self.folder = run_folder(run) / "tensorboard"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._writer: Any = SummaryWriter(str(self.folder))

    def write(self, figures: Mapping[str, Any]) -> None:
        """See ``Sink.write``."""
        for name, step, value in scalars(figures):
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self) -> None:
        """See ``Sink.close``."""
        self._writer.close()
        if self._run.store.root is None:
            for path in self.folder.iterdir():
                place = f"{self._run.prefix}/tensorboard/{path.name}"
                self._run.store.write(place, path.read_bytes())


class MLflow:
    """One run of an MLflow experiment named after the tenant.

    A server that goes away while training goes on loses the figures from then on, and no more.

    Args:
        uri: of the tracking server, or a folder.
        run: names the MLflow run.
        settings: kept as its parameters.

    Raises:
        ConfigError: if it is not installed, or there is no such server.
    """

    def __init__(self, uri: str, run: Run, settings: TrainSettings) -> None:
        check_mlflow(settings)
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # else minutes of them
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # a folder was asked for by name
        self._mlflow: Any = importlib.import_module("mlflow")
        self._uri, self._is_lost = uri, False
        try:
            self._client: Any = self._mlflow.MlflowClient(uri)
            # the client with an id, not mlflow.log_metric: that knows the runs of its own thread
            self._id: str = self._begun(f"halflife-{run.tenant}", run.name)
            for name, value in settings.model_dump(mode="json").items():
                self._client.log_param(self._id, name, value)
        except self._mlflow.MlflowException as error:
            raise ConfigError(
                f"train.mlflow_uri = {uri}", f"cannot be used ({error})", "Check the server"
            ) from error

    def write(self, figures: Mapping[str, Any]) -> None:
        """See ``Sink.write``."""
        now_ms = int(time.time() * 1_000)
        metrics = [
            self._mlflow.entities.Metric(name, value, now_ms, step)
            for name, step, value in scalars(figures)
        ]
        self._told(lambda: self._client.log_batch(self._id, metrics=metrics))

    def close(self) -> None:
        """See ``Sink.close``."""
        self._told(lambda: self._client.set_terminated(self._id))

    def _begun(self, experiment: str, name: str) -> str:
        found = self._client.get_experiment_by_name(experiment)
        place = self._client.create_experiment(experiment) if found is None else found.experiment_id
        begun: str = self._client.create_run(place, run_name=name).info.run_id
        return begun

    def _told(self, tell: Callable[[], None]) -> None:
        if self._is_lost:
            return
        try:
            tell()
        except self._mlflow.MlflowException as error:
            self._is_lost = True
            log.warning("MLflow at %s is gone, and gets no more figures: %s", self._uri, error)


def scalars(figures: Mapping[str, Any]) -> Iterator[tuple[str, int, float]]:
    """The figures of a report as ``(name, step, value)``."""
    phase, step = figures["phase"], figures["total_steps"]
    for at, loss in figures["points"]:
        yield f"{phase}/loss", at, loss
    if figures["seconds"] > 0 and figures["events"]:
        yield f"{phase}/events_per_s", step, figures["events"] / figures["seconds"]
    for end in figures["ends"]:
        yield f"{end['phase']}/epoch_loss", end["epoch"], end["loss"]
        if "ndcg" in end:
            yield f"{end['phase']}/validation_ndcg10", end["epoch"], end["ndcg"]


def run_folder(run: Run) -> Path:
    """A local folder of a run: in a local store its own place, else below the cache."""
    root = run.store.root
    return (cache_folder() if root is None else root) / run.prefix


def _follow(board: Any, where: Sequence[Sink | Bar], done: threading.Event) -> None:
    while True:
        last = done.wait(POLL_S)
        for figures in ray.get(board.take.remote()):
            for sink in where:
                sink.write(figures)
        if last:
            return
