"""A model trained the plain way and held as it is served: item table, learned interest, pairs.

With a pilot this is ``recsys.training.fitting.fit``; without one the number of epochs is given, and
with a budget it is cut to what fits into it, so that the schedule of the learning rate ends.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
import torch

from recsys.evaluation.scene import Scene, scene_of
from recsys.interest.model import ItemTable
from recsys.item_side import ItemSideOptions, takers_of
from recsys.settings import InterestSettings, Settings
from recsys.training.export import Exported, exported
from recsys.training.fitting import Fitted, Material, epochs, fit, with_training
from recsys.training.learner import Learner
from recsys.training.sequences import packs
from tests.benchmarks.quality_parts.material import Log

Say = Callable[[str], None]

_PILOT_SHARE = 0.6
_PROBED_STEPS = 3


@dataclass(frozen=True)
class Served:
    """What a bundle would hold."""

    exported: Exported
    settings: Settings
    """Of the training; its half-lives are not the learned ones."""
    seconds: float
    """Of the whole training, the pilot too."""
    history: list[dict[str, Any]]
    best: dict[str, Any]
    """What the pilot chose."""
    item_side: ItemSideOptions | None = None
    """How loud the items' own profiles are; None = they are not used."""

    @property
    def interest(self) -> InterestSettings:
        """With the learned half-lives."""
        return self.exported.interest

    def scene(self, log: Log) -> Scene:
        """A log seen through this model."""
        items = ItemTable(self.exported.vectors, self.exported.warm)
        lives = self.settings.trend.half_lives_s
        model = self.exported.model
        found = scene_of(log.events, log.positive, log.catalog, items, model, lives)
        side = None
        if self.item_side is not None:
            known = (model, items, self.interest)
            side = takers_of(log.events, log.positive, *known), self.item_side
        return replace(found, neighbours=self.exported.transitions, item_side=side)

    def notes(self) -> dict[str, Any]:
        """How it was trained, for the report."""
        return {
            "train_s": round(self.seconds, 1),
            "pilot": self.best,
            "epochs": [h for h in self.history if h["phase"] == "fit"][-1:],
            "half_lives_s": list(self.interest.half_lives_s),
            "negative_half_lives_s": list(self.interest.negative_half_lives_s),
        }


def train(
    known: Log, settings: Settings, say: Say, minutes: float | None = None, pilot: bool = True
) -> Served:
    """Train on a log.

    Args:
        known: all that may be learned from.
        settings: of the training.
        say: told of each epoch.
        minutes: about the longest; None = as long as the settings say.
        pilot: choose epochs and the share of cutoffs on a validation tail first.
    """
    torch.set_num_threads(1)
    started = time.perf_counter()
    budget_s = math.inf if minutes is None else 60.0 * minutes

    def told(figures: dict[str, Any]) -> bool:
        said = {k: round(v, 4) if isinstance(v, float) else v for k, v in figures.items()}
        say(f"{known.name} {said} {time.perf_counter() - started:.0f} s")
        is_late = time.perf_counter() - started > _PILOT_SHARE * budget_s
        return bool(figures["phase"] == "pilot" and is_late)

    if pilot:
        found = fit(known.events, known.catalog, known.text, settings, told)
    else:
        found = _plainly(known, settings, told, budget_s)
    seconds = time.perf_counter() - started
    how = (found.history, found.best, found.item_side)
    return Served(found.exported, settings, seconds, *how)


def seeded(settings: Settings, seed: int) -> Settings:
    """The settings with another seed."""
    return with_training(settings, seed=settings.train.seed + seed)


def _plainly(
    known: Log, settings: Settings, told: Callable[[dict[str, Any]], bool], budget_s: float
) -> Fitted:
    """Train for a number of epochs, without a pilot."""
    material = Material.of(known.events, known.catalog, known.text, settings)
    n_epochs = min(settings.train.n_epochs, affordable_epochs(material, settings, budget_s))
    settings = with_training(settings, n_epochs=n_epochs)
    batch_events = settings.train.batch_events
    n_steps = n_epochs * material.steps_per_epoch(batch_events)
    learner = Learner(material.log, settings, n_steps, settings.train.seed)
    history = []
    for figures in epochs(learner, material, settings):
        history.append({"phase": "fit", **figures})
        told(history[-1])
    return Fitted(exported(learner.network, material.log, settings), learner, history)


def affordable_epochs(material: Material, settings: Settings, budget_s: float) -> int:
    """Epochs that fit into a budget, by the time of a few steps of a throw-away learner."""
    if math.isinf(budget_s):
        return settings.train.n_epochs
    learner = Learner(material.log, settings, 100, settings.train.seed)
    batch_events = settings.train.batch_events
    some = packs([material.rows], batch_events, np.random.default_rng(0))
    learner.step(next(some))
    started, n_steps = time.perf_counter(), 0
    for batch in islice(some, _PROBED_STEPS):
        learner.step(batch)
        n_steps += 1
    if n_steps == 0:
        return settings.train.n_epochs
    step_s = (time.perf_counter() - started) / n_steps
    return max(1, int(budget_s / (step_s * material.steps_per_epoch(batch_events))))
