"""Training within the minutes of a demo: once as of the split, to be measured, once on everything.

Both share one budget, reading included. The first run has a pilot, which chooses the number of
epochs and the share of virtual cutoffs; the second takes them over, as far as there is time, and
has none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pipelines import job, train
from pipelines.train_publish import Options

BUDGET_S = 180.0
"""Seconds of both trainings in a demo, reading included."""
_FIRST_SHARE = 0.6
"""Of the budget: a pilot epoch, its refit and the same on everything take about 2, 2 and 3 parts
of seven."""
_RESERVE = 0.95


@dataclass(frozen=True)
class Course:
    """How the first training went."""

    bundle_id: str
    """Its bundle, which is measured and never served."""
    n_epochs: int
    """After which the pilot was best."""
    stale_share: float
    epoch_s: float
    """Seconds of one epoch."""
    start_s: float
    """Seconds that the next training takes on top: reading, the start of workers, compiling."""
    n_events: int
    """Events of one epoch."""
    spent_s: float
    """Of the budget, up to the bundle."""
    budget_s: float
    """Of both trainings."""
    advice: str
    """What more time would give."""


def train_until(work: job.Job, until: float, budget_s: float) -> Course:
    """Train on what was known at a moment.

    Args:
        work: the job.
        until: Unix seconds; nothing from then on is used.
        budget_s: seconds of this training and the next together.
    """
    some = _with(work, stage="frozen", budget_s=_FIRST_SHARE * budget_s)
    report = train.run(some, Options(until, publish=False, fresh=True, name="demo-split"))
    _say(work, report)
    compile_s, epoch_s = seconds_of(report["history"])
    stages = report["stages"]
    before_s = stages["read"] + stages["gather"] + stages["train"] - report["train_s"]
    return Course(
        bundle_id=report["bundle_id"],
        n_epochs=best_epoch(report["history"]),
        stale_share=float(report["stale_share"]),
        epoch_s=epoch_s,
        start_s=before_s + compile_s,
        n_events=int(report["n_events"]),
        spent_s=_spent_s(report),
        budget_s=budget_s,
        advice=str(report["advice"]),
    )


def train_all(work: job.Job, course: Course, n_events: int) -> dict[str, Any]:
    """Train on everything with what the first training chose; publish bundle and profiles.

    Args:
        work: the job.
        course: of the first training.
        n_events: of the whole log.

    Returns:
        ``train_s`` of both trainings, reading included, ``n_epochs`` of this one, and the
        ``advice`` of the first.
    """
    left_s = max(course.budget_s - course.spent_s, 1.0)
    n_epochs = epochs_within(course, n_events, left_s)
    some = _with(
        work,
        stage="frozen",
        pilot=False,
        n_epochs=n_epochs,
        stale_shares=(course.stale_share,),
        budget_s=left_s,
    )
    report = train.run(some, Options(fresh=True, name="demo"))
    _say(work, report)
    if n_epochs < course.n_epochs:
        job.console.print(f"{n_epochs} of the {course.n_epochs} epochs that the pilot chose: time")
    spent_s = course.spent_s + _spent_s(report)
    job.console.print(
        f"{spent_s:.0f} of {course.budget_s:.0f} s of training, reading included. With more time: "
        f"{course.advice}.\nWithout a limit: "
        f"python -m pipelines.train --store {work.store.uri}",
        soft_wrap=True,
        highlight=False,
    )
    return {
        "train_s": round(spent_s, 1),
        "n_epochs": n_epochs,
        "advice": course.advice,
        "picture": report["picture"],
    }


def best_epoch(history: Sequence[Mapping[str, Any]]) -> int:
    """Epochs after which validation NDCG was highest; without any validation all of them."""
    judged = [epoch for epoch in history if epoch.get("ndcg") is not None]
    if judged:
        return int(max(judged, key=lambda epoch: epoch["ndcg"])["epoch"])
    return max([1, *(int(epoch["epoch"]) for epoch in history)])


def seconds_of(history: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """Of the latest phase: what its first epoch, which compiles, took on top; and the median."""
    latest = [float(e["seconds"]) for e in history if e["phase"] == history[-1]["phase"]]
    if not latest:
        return 0.0, 0.0
    epoch_s = float(np.median(latest))
    return max(latest[0] - epoch_s, 0.0), epoch_s


def epochs_within(course: Course, n_events: int, left_s: float) -> int:
    """Epochs of a longer log for which there is time: at least one, at most as were chosen."""
    epoch_s = course.epoch_s * n_events / max(course.n_events, 1)
    room_s = left_s * _RESERVE - course.start_s
    fits = course.n_epochs if epoch_s <= 0.0 else int(room_s / epoch_s)
    return max(1, min(course.n_epochs, fits))


def _with(work: job.Job, **changes: Any) -> job.Job:
    """The job with other settings of training."""
    section = work.settings.train.model_copy(update=changes)
    return replace(work, settings=work.settings.model_copy(update={"train": section}))


def _spent_s(report: Mapping[str, Any]) -> float:
    """Seconds that count in the budget of a training."""
    return float(sum(report["stages"][name] for name in ("read", "encode", "gather", "train")))


def _say(work: job.Job, report: Mapping[str, Any]) -> None:
    job.console.print(f"picture: {work.store.uri}/{report['picture']}", soft_wrap=True)
