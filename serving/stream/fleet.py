"""The consumers of one command: actors that it owns, started again when they die."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayError, RayTaskError

from recsys.errors import ConfigError, RecsysError, UnavailableError
from serving.stream.actor import ConsumerActor, ConsumerTask
from serving.stream.messages import Place
from serving.stream.progress import Counts, Progress, total

log = logging.getLogger(__name__)

CONSUMER_CPUS = 0.1
STOP_GRACE_S = 40.0
"""A consumer may be in the middle of a batch; what it does not finish comes again."""
MAX_FRUITLESS = 5
"""Ends of one consumer in a row, without a batch committed in between, after which we give up."""
RESTART_S = 1.0


@dataclass
class _Seat:
    name: str
    actor: Any
    run: Any
    """The reply of its ``run``, which comes when it ends."""
    progress: Progress = field(default_factory=Progress)
    n_fruitless: int = 0


class Fleet:
    """Consumers of one group.

    Args:
        task: what each has to do.
        n_consumers: how many.
    """

    def __init__(self, task: ConsumerTask, n_consumers: int) -> None:
        self._task = task
        self._ended: list[Counts] = []
        self.n_restarts = 0
        self._seats = [self._seat(str(number)) for number in range(n_consumers)]

    def watch(self, timeout_s: float) -> Progress:
        """Wait, start again who died, and say how far they are together.

        Raises:
            ConfigError: if the brokers refuse us.
            UnavailableError: if a consumer ends again and again without getting anywhere.
        """
        ended, _ = ray.wait([seat.run for seat in self._seats], timeout=timeout_s)
        for index, seat in enumerate(self._seats):
            if seat.run in ended:
                self._seats[index] = self._replaced(seat)
            else:
                seat.progress = _asked(seat)
        return self.progress()

    def progress(self) -> Progress:
        """All consumers together, as last heard of; those that ended included."""
        lags: dict[Place, int] = {}
        for seat in self._seats:
            lags.update(seat.progress.lags)
        counts = total([*self._ended, *(seat.progress.counts for seat in self._seats)])
        ages = [seat.progress.commit_age_s for seat in self._seats]
        return Progress(counts, lags, max(ages))

    @property
    def pids(self) -> list[int]:
        """Process ids of the consumers."""
        found: list[int] = ray.get([seat.actor.pid.remote() for seat in self._seats])
        return found

    def stop(self) -> Progress:
        """Let all finish their batch, commit and leave; then end them."""
        for seat in self._seats:
            seat.actor.stop.remote()
        runs = [seat.run for seat in self._seats]
        done, late = ray.wait(runs, num_returns=len(runs), timeout=STOP_GRACE_S)
        if len(late) > 0:
            log.warning("%d consumers do not end by themselves; nothing is lost", len(late))
        for seat in self._seats:
            if seat.run in done:
                try:
                    seat.progress = Progress(ray.get(seat.run))
                except RayError as error:
                    log.warning("consumer %s did not end cleanly: %s", seat.name, type(error))
            ray.kill(seat.actor)
        return self.progress()

    def _seat(self, name: str, n_fruitless: int = 0) -> _Seat:
        actor = (
            ray.remote(num_cpus=CONSUMER_CPUS, max_restarts=0, max_concurrency=4)(ConsumerActor)
            .options(scheduling_strategy="SPREAD")
            .remote(self._task, name)
        )
        return _Seat(name, actor, actor.run.remote(), n_fruitless=n_fruitless)

    def _replaced(self, seat: _Seat) -> _Seat:
        """Another consumer for one that ended without being told to."""
        reason = _why(seat)
        counts = seat.progress.counts
        n_fruitless = seat.n_fruitless + 1 if counts.n_commits == 0 else 1
        if n_fruitless > MAX_FRUITLESS:
            raise UnavailableError(
                f"consumer {seat.name}",
                f"ended {n_fruitless} times without committing anything ({reason})",
                "Its log under the Ray session says more",
            )
        log.warning("consumer %s is started again: %s", seat.name, reason)
        ray.kill(seat.actor)
        self._ended.append(counts)
        self.n_restarts += 1
        time.sleep(RESTART_S)
        return self._seat(seat.name, n_fruitless)


def _why(seat: _Seat) -> str:
    """Why a consumer ended; no text of Ray is shown.

    Raises:
        ConfigError: if another one would end for the same reason.
    """
    try:
        ray.get(seat.run)
    except RayTaskError as error:
        cause = getattr(error, "cause", None)
        if isinstance(cause, ConfigError):
            raise cause from None
        return str(cause) if isinstance(cause, RecsysError) else type(cause or error).__name__
    except RayActorError:
        return "its process died"
    return "it ended"


def _asked(seat: _Seat) -> Progress:
    try:
        progress: Progress = ray.get(seat.actor.progress.remote(), timeout=5.0)
    except (GetTimeoutError, RayError):
        return seat.progress
    return progress
