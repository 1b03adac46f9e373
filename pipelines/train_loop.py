"""The function that Ray Train runs in each worker, and what ends a run instead of restarting it."""

from __future__ import annotations

import traceback
from dataclasses import replace
from typing import Any

import pyarrow as pa
import ray
import torch

from pipelines.train_board import failure_of
from pipelines.train_parallel import Workers
from pipelines.train_phases import training_budget
from pipelines.train_worker import Training, Work
from recsys.errors import RecsysError
from recsys.settings import Settings

_MISTAKES = (TypeError, AttributeError, LookupError, AssertionError, ArithmeticError, ImportError)


def train_loop(config: dict[str, Any]) -> None:
    """What Ray Train runs in each worker.

    An error of ours ends the run: it is named on the board, and every later start stops at once.
    Whatever else happens, a lost neighbour or a lost node, Ray starts the workers again.
    """
    work: Work = config["work"]
    _set_threads(work.settings)
    workers = Workers()
    blocked = _blocked(work, workers)
    if blocked:
        return
    try:
        Training(_within_budget(work, workers), workers).run()
    except BaseException as error:
        named = _named(error)
        if named is not None:
            ray.get(work.board.fail.remote(named))
            if workers.n == 1:
                return
        raise


def _blocked(work: Work, workers: Workers) -> bool:
    """Whether the run cannot go on; the first worker asks the board for all."""
    blocked = False
    if workers.rank == 0:
        found = work.run.latest()
        step = 0 if found is None else found[0].total_steps
        blocked = ray.get(work.board.begun.remote(step, workers.n)) is not None
    return workers.sums(blocked)[0] > 0


def _within_budget(work: Work, workers: Workers) -> Work:
    """The work with the budget of training: less what else the command took by now.

    The first worker asks, and all count with its answer.
    """
    train, mine = work.settings.train, 0.0
    if train.budget_s is None:
        return work
    if workers.rank == 0:
        elapsed_s = ray.get(work.board.elapsed_s.remote())
        mine = training_budget(train.budget_s, elapsed_s, work.run.spent_s())
    (budget_s,) = workers.sums(mine)
    train = train.model_copy(update={"budget_s": budget_s})
    return replace(work, settings=work.settings.model_copy(update={"train": train}))


def _named(error: BaseException) -> tuple[str, ...] | None:
    """An error that a new start would meet again: one of ours, or a mistake in the program."""
    cause = getattr(error, "cause", None)
    for found in (error, cause, error.__cause__):
        if isinstance(found, RecsysError):
            return failure_of(found)
    if isinstance(error, _MISTAKES):
        return ("training", *traceback.format_exception(error))
    return None


def _set_threads(settings: Settings) -> None:
    """One thread a CPU that the worker asked for."""
    torch.set_num_threads(max(1, int(settings.train.cpus_per_worker)))
    pa.set_cpu_count(1)
