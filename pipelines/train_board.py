"""How figures travel from the workers to the driver: report -> Ray's controller -> board -> driver.

Ray calls a callback in its controller process, which is not the driver; the board is a small actor
between the two. It also remembers an error of ours, so that a run that cannot succeed is not tried
for ever: Ray restarts workers whatever they died of.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import ray
from ray.train import UserCallback
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from recsys import errors
from recsys.errors import RecsysError
from recsys.training.sequences import Pack

MAX_STUCK = 10
"""Starts from the same step after which a run is given up."""


class Board:
    """What the driver should know; an actor of no CPU.

    Args:
        began_at: Unix seconds from which the budget counts, by the clock of the driver's node.
    """

    def __init__(self, began_at: float) -> None:
        self._began_at = began_at
        self._figures: list[dict[str, Any]] = []
        self._failure: tuple[str, ...] | None = None
        self._last_error = ""
        self._starts: list[tuple[int, int]] = []

    def post(self, figures: dict[str, Any]) -> None:
        """Add the figures of one report."""
        self._figures.append(figures)

    def take(self) -> list[dict[str, Any]]:
        """The figures since the last call."""
        taken, self._figures = self._figures, []
        return taken

    def elapsed_s(self) -> float:
        """Seconds of the budget that have passed."""
        return time.time() - self._began_at

    def begun(self, step: int, n_workers: int) -> tuple[str, ...] | None:
        """Workers start from a step; what stands in their way, if anything."""
        self._starts.append((step, n_workers))
        latest = [start[0] for start in self._starts[-MAX_STUCK - 1 :]]
        if self._failure is None and latest == [step] * (MAX_STUCK + 1):
            problem = f"started {MAX_STUCK} times from step {step} and never came further"
            self._failure = ("UnavailableError", "training", problem, self._last_error)
        return self._failure

    def fail(self, failure: tuple[str, ...]) -> None:
        """Name the error that ends the run."""
        self._failure = self._failure or failure

    def seen(self, error: str) -> None:
        """An error for which Ray restarts the workers."""
        self._last_error = error

    def failure(self) -> tuple[str, ...] | None:
        """The error that ends the run."""
        return self._failure

    def starts(self) -> list[tuple[int, int]]:
        """Each start of workers: the step that they went on from, and how many they were."""
        return self._starts


class ToBoard(UserCallback):  # type: ignore[misc]
    """Posts reports to the board; runs in Ray's controller.

    Args:
        board: handle of the actor.
    """

    def __init__(self, board: Any) -> None:
        self._board = board

    def after_report(self, run_context: Any, metrics: list[Any], checkpoint: Any) -> None:
        """The first worker's figures are those of all."""
        del run_context, checkpoint
        if metrics and metrics[0]:
            self._board.post.remote(metrics[0])

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        """Keep the latest error for the message, should the run never come further."""
        del run_context
        found = next(iter(worker_exceptions.values()), None)
        self._board.seen.remote(str(found).strip().rpartition("\n")[2][:500])


def new_board(began_at: float) -> Any:
    """Start the actor on the driver's node, so that both end together; it ends with its handle.

    Where its process is lost Ray starts it again: it forgets the figures before, and training goes
    on.

    Args:
        began_at: as for ``Board``.
    """
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    again = {"max_restarts": -1, "max_task_retries": -1}
    return ray.remote(num_cpus=0, scheduling_strategy=here, **again)(Board).remote(began_at)


def error_of(failure: tuple[str, ...]) -> Exception:
    """The error that ``failure_of`` took apart."""
    name, *arguments = failure
    kind = getattr(errors, name, None)
    if kind is None:
        return RuntimeError("\n".join(arguments))
    made: RecsysError = kind(*arguments)
    return made


def failure_of(error: RecsysError) -> tuple[str, ...]:
    """An error of ours as strings."""
    return (type(error).__name__, error.thing, error.problem, error.remedy)


class Meter:
    """Loss and speed of one worker: since the last report, and since the epoch began."""

    def __init__(self, n_log_steps: int) -> None:
        self._n_log_steps = n_log_steps
        self._points: list[tuple[int, float]] = []
        self._point = _Sums()
        self._epoch = _Sums()
        self._since = time.monotonic()
        self._events = 0

    def add(self, step: dict[str, float], pack: Pack | None, number: int) -> None:
        """Count one step; ``number`` is its place in the whole run."""
        for sums in (self._point, self._epoch):
            sums.loss += step["loss"] * step["n_questions"]
            sums.n += step["n_questions"]
        self._events += 0 if pack is None else len(pack.item)
        if self._n_log_steps and number % self._n_log_steps == 0:
            self._points.append((number, self._point.mean))
            self._point = _Sums()

    def epoch(self) -> tuple[float, float]:
        """Sum of the losses and number of questions of this epoch; then the next begins."""
        sums, self._epoch = self._epoch, _Sums()
        return sums.loss, sums.n

    def taken(self) -> dict[str, Any]:
        """What has been since the last call: ``points`` of loss, ``events``, ``seconds``."""
        now = time.monotonic()
        found = {"points": self._points, "events": self._events, "seconds": now - self._since}
        self._points, self._events, self._since = [], 0, now
        return found


@dataclass
class _Sums:
    loss: float = 0.0
    n: float = 0.0

    @property
    def mean(self) -> float:
        return self.loss / self.n if self.n else 0.0
