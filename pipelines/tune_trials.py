"""The trials of a search on Ray Tune: each is the plain training loop, ASHA ends what is behind.

Tune places trials and carries their figures; what is kept of a trial goes into our own record, so
nothing of Tune's state (which is pickled) has to outlive the job.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field, replace
from functools import partial
from io import StringIO
from types import SimpleNamespace
from typing import Any, Protocol

import numpy as np
import torch
from ray import tune
from ray.tune.schedulers import ASHAScheduler

from recsys.catalog import Catalog
from recsys.errors import RecsysError
from recsys.events import EventArrays
from recsys.settings import Settings
from recsys.training.fitting import OnEpoch, pilot
from recsys.training.search import DONE, FAILED, STOPPED, Trial, with_values
from recsys.training.surroundings import AnyTexts

_METRIC = "best_ndcg"
_TIME = "epoch"
_PROBLEM = "problem"
_RETRIES = 2


@dataclass(frozen=True)
class Material:
    """What every trial learns from; put in the object store once."""

    events: EventArrays
    catalog: Catalog
    text: AnyTexts
    """Vectors of the texts; None = none says anything."""
    settings: Settings
    """As they stand; a trial changes some."""


class Trainer(Protocol):
    """Trains on the events before the validation tail and tells each epoch's figures."""

    def __call__(self, material: Material, settings: Settings, on_epoch: OnEpoch) -> None:
        """Train; ``on_epoch`` gets ``{"epoch", "loss", "ndcg"}`` and returns True to stop."""
        ...


def pilot_trainer(material: Material, settings: Settings, on_epoch: OnEpoch) -> None:
    """The plain loop, without the fit on everything that follows it in ``train``."""
    torch.set_num_threads(max(1, int(settings.train.cpus_per_worker)))
    pilot(material.events, material.catalog, material.text, settings, on_epoch)


def run_trial(
    config: Mapping[str, Any], material: Material, trainer: Trainer, report: Callable[..., None]
) -> None:
    """One trial, in its own process.

    A setting that cannot be trained is a finding and no accident: it is reported, not raised.

    Args:
        config: ``values``, the trial's settings.
        material: of the search.
        trainer: what trains.
        report: ``tune.report``.
    """
    reached = {_METRIC: -1.0, _TIME: 0}

    def on_epoch(figures: dict[str, Any]) -> bool:
        reached[_METRIC] = max(reached[_METRIC], figures["ndcg"])
        reached[_TIME] += 1
        report({**reached, "ndcg": figures["ndcg"]})
        return False

    try:
        trainer(material, with_values(material.settings, config["values"]), on_epoch)
        problem = "" if reached[_TIME] > 0 else "the validation tail asks too few questions"
    except RecsysError as error:
        problem = str(error)
    report({**reached, _PROBLEM: problem})


@dataclass
class Watch(tune.Callback):  # type: ignore[misc]
    """Follows the trials on the driver.

    Args:
        on_over: called with each trial that is over; where it fails, the search ends, and
            ``failure`` is that error (raised inside Tune it would lose its name).
    """

    on_over: Callable[[Trial], None]
    trials: dict[int, Trial] = field(default_factory=dict)
    started: dict[int, float] = field(default_factory=dict)
    failure: RecsysError | None = None

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its set-up to restore it later; we never do, and a display does not pickle
        return {}

    def on_trial_start(self, *, trial: Any, **_: Any) -> None:
        """A trial begins; after its worker was lost, again from the beginning."""
        number = trial.config["number"]
        self.started.setdefault(number, time.monotonic())
        self.trials[number] = Trial(number, trial.config["values"])

    def on_trial_result(self, *, trial: Any, result: dict[str, Any], **_: Any) -> None:
        """A trial reported: the end of an epoch, or of itself."""
        number = trial.config["number"]
        known = self.trials[number]
        if _PROBLEM in result:  # the trial's last words
            state = FAILED if result[_PROBLEM] else DONE
            self.trials[number] = replace(known, state=state, problem=result[_PROBLEM])
        elif len(known.curve) < result[_TIME]:
            self.trials[number] = replace(known, curve=(*known.curve, float(result["ndcg"])))

    def on_trial_complete(self, *, trial: Any, **_: Any) -> None:
        """A trial ended: by itself, or because it is behind."""
        self._over(trial.config["number"])

    def on_trial_error(self, *, trial: Any, **_: Any) -> None:
        """A trial's process failed for good."""
        number = trial.config["number"]
        problem = "its process failed: the log of Ray Tune says why"
        self.trials[number] = replace(self.trials[number], state=FAILED, problem=problem)
        self._over(number)

    def stopped(self, number: int) -> None:
        """The scheduler ends a trial."""
        self.trials[number] = replace(self.trials[number], state=STOPPED)

    def _over(self, number: int) -> None:
        seconds = round(time.monotonic() - self.started[number], 1)
        self.trials[number] = replace(self.trials[number], seconds=seconds)
        if not self.trials[number].is_over or self.failure is not None:
            return
        try:
            self.on_over(self.trials[number])
        except RecsysError as error:
            self.failure = error


class Until(tune.Stopper):  # type: ignore[misc]
    """Ends a search whose time is over, or whose trials cannot be kept.

    Args:
        watch: of the search.
        budget_s: seconds since the first trial began; the start of processes does not count.
    """

    def __init__(self, watch: Watch, budget_s: float | None) -> None:
        self._watch = watch
        self._budget_s = np.inf if budget_s is None else budget_s

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:  # noqa: ARG002
        """Trials end by themselves."""
        return False

    def stop_all(self) -> bool:
        """See ``ray.tune.Stopper``."""
        began = min(self._watch.started.values(), default=np.inf)
        return self._watch.failure is not None or time.monotonic() - began >= self._budget_s


class Halving(ASHAScheduler):  # type: ignore[misc]
    """ASHA that knows the trials of an interrupted search, and says which trials it ended.

    Args:
        n_epochs: most epochs of a trial.
        past: trials that are over.
        on_stop: called with the number of a trial that is ended.
    """

    def __init__(
        self, n_epochs: int, past: Sequence[Trial], on_stop: Callable[[int], None]
    ) -> None:
        super().__init__(
            time_attr=_TIME,
            metric=_METRIC,
            mode="max",
            max_t=n_epochs + 1,  # the last epoch is a trial's own end
            grace_period=max(1, min(3, n_epochs)),
            reduction_factor=3,
        )
        self._on_stop = on_stop
        for trial in past:
            self._replay(trial)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """See ``TrialScheduler``."""
        action: str = super().on_trial_result(tune_controller, trial, result)
        if action == self.STOP:
            self._on_stop(trial.config["number"])
        return action

    def _replay(self, trial: Trial) -> None:
        stand_in = SimpleNamespace(trial_id=f"past-{trial.number}")
        self.on_trial_add(None, stand_in)
        for epoch in range(1, len(trial.curve) + 1):
            result = {_TIME: epoch, _METRIC: max(trial.curve[:epoch])}
            super().on_trial_result(None, stand_in, result)
        self.on_trial_remove(None, stand_in)


def run_trials(
    wanted: Sequence[Trial],
    past: Sequence[Trial],
    material: Material,
    trainer: Trainer,
    watched: tuple[Watch, float | None],
) -> list[Trial]:
    """Run trials on the Ray that is connected.

    Args:
        wanted: numbers and values.
        past: trials that are over already; the new ones are held against them too.
        material: what they learn from.
        trainer: what trains.
        watched: who is told of every trial that is over, and the seconds after which those that
            still run are cut (None = no limit).

    Returns:
        The trials that were started, by number.

    Raises:
        RecsysError: what ``watch`` met where it kept a trial.
    """
    watch, budget_s = watched
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")  # our record has it all
    logging.getLogger("ray.tune").setLevel(logging.ERROR)  # it misses the files of those loggers
    train = material.settings.train
    resources = {"CPU": train.cpus_per_worker}
    work = tune.with_parameters(
        partial(run_trial, report=tune.report), material=material, trainer=trainer
    )
    points = [{"number": trial.number, "values": dict(trial.values)} for trial in wanted]
    with tempfile.TemporaryDirectory(prefix="hl-tune-") as folder:
        tuner = tune.Tuner(
            tune.with_resources(work, resources),
            param_space=tune.grid_search(points),
            tune_config=tune.TuneConfig(
                scheduler=Halving(train.n_epochs, past, watch.stopped),
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                storage_path=folder,
                stop=Until(watch, budget_s),
                verbose=0,
                callbacks=[watch],
                failure_config=tune.FailureConfig(max_failures=_RETRIES),
            ),
        )
        with redirect_stdout(StringIO()):  # stdout is for our report
            tuner.fit()
    if watch.failure is not None:
        raise watch.failure
    return [watch.trials[number] for number in sorted(watch.trials)]
