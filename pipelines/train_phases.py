"""Which phase of training comes next, and when one is over: pure decisions, no clock, no Ray.

    pilot of each stale share -> refit of the best for as many epochs as were best -> done

A pilot trains on events before the validation tail and stops when the tail's NDCG@10 no longer
rises; the refit trains on everything. A budget cuts both short: a pilot ends while there is still
time to refit, and a refit plans no more epochs than it has time for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from recsys.training.options import TrainSettings

PILOT, REFIT, DONE = "pilot", "refit", "done"
_RESERVE = 0.95
"""Share of the budget that is planned; the rest is for the end of an epoch and for publishing."""
LEAST_S = 10.0
"""Seconds of training that a budget leaves, however long reading took."""


@dataclass(frozen=True)
class Pilot:
    """One candidate."""

    stale_share: float
    curve: tuple[float, ...] = ()
    """Validation NDCG@10 after each epoch."""
    balance: tuple[tuple[float, ...], ...] = ()
    """In which balance it was reached, of each epoch (``recsys.training.network.Balance``)."""
    epoch_s: tuple[float, ...] = ()
    """Seconds of each epoch."""

    @property
    def best_ndcg(self) -> float:
        """The highest point of the curve; -1 before the first epoch."""
        return max(self.curve, default=-1.0)

    @property
    def best_balance(self) -> tuple[float, ...]:
        """Of the highest point of the curve; empty = as learned."""
        at = self.best_epoch - 1
        return self.balance[at] if 0 <= at < len(self.balance) else ()

    @property
    def best_epoch(self) -> int:
        """Epochs after which it was reached; 0 before the first epoch."""
        return 1 + self.curve.index(self.best_ndcg) if self.curve else 0


@dataclass(frozen=True)
class Progress:
    """How far a run has come; it stands in every checkpoint."""

    pilots: tuple[Pilot, ...]
    """The candidates, in order; the current one is ``candidate``."""
    phase: str = PILOT
    candidate: int = 0
    epoch: int = 0
    """Epochs that are complete in this phase."""
    step: int = 0
    """Steps done of the current epoch."""
    events: int = 0
    """Events of the current epoch that all workers have learned from."""
    n_workers: int = 0
    """Workers in each of these steps; 0 = their number changed, or there was no step."""
    total_steps: int = 0
    """Steps done in all phases."""
    spent_s: float = 0.0
    """Seconds of training, those before an interruption included."""
    refit_epochs: int = 0
    """Epochs that the refit takes; 0 = there is none."""
    stopped: str = ""
    """Why the latest phase ended: ``patience``, ``epochs`` or ``budget``."""
    history: tuple[dict[str, Any], ...] = ()
    """Figures of every epoch: phase, stale_share, epoch, loss, seconds; in a pilot ndcg and
    balance."""

    @property
    def name(self) -> str:
        """Of the phase, as data sets and figures are named: ``pilot-0``, ``refit``."""
        return f"{PILOT}-{self.candidate}" if self.phase == PILOT else self.phase

    @property
    def best(self) -> Pilot:
        """The best candidate so far; of equals the first."""
        return max(self.pilots, key=lambda pilot: pilot.best_ndcg)

    @property
    def current(self) -> Pilot:
        """The candidate of the current pilot; in the refit the best one."""
        return self.pilots[self.candidate] if self.phase == PILOT else self.best

    def n_epochs(self, settings: TrainSettings) -> int:
        """Most epochs of the current phase."""
        return self.refit_epochs if self.phase == REFIT else settings.n_epochs

    def stepped(self, n_events: int, n_workers: int, spent_s: float) -> Progress:
        """The progress after one more step.

        Args:
            n_events: of all workers in it.
            n_workers: that made it.
            spent_s: seconds of training by now.
        """
        is_same = self.step == 0 or self.n_workers == n_workers
        return replace(
            self,
            step=self.step + 1,
            events=self.events + n_events,
            n_workers=n_workers if is_same else 0,
            total_steps=self.total_steps + 1,
            spent_s=spent_s,
        )

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> Progress:
        """The inverse of ``to_json``."""
        pilots = [
            Pilot(
                pilot["stale_share"],
                tuple(pilot["curve"]),
                tuple(tuple(balance) for balance in pilot.get("balance", ())),
                tuple(pilot["epoch_s"]),
            )
            for pilot in tree["pilots"]
        ]
        return cls(**{**tree, "pilots": tuple(pilots), "history": tuple(tree["history"])})


@dataclass(frozen=True)
class EpochEnd:
    """What is known after an epoch."""

    loss: float
    """Mean over its questions."""
    ndcg: float | None
    """On the validation tail; None in the refit."""
    seconds: float
    """That the epoch took, validation included."""
    balance: tuple[float, ...] = ()
    """In which ``ndcg`` was reached; empty = as learned."""
    out_of_time: bool = False
    """Whether the epoch was cut short by the budget."""


@dataclass(frozen=True)
class Sizes:
    """How much each phase reads."""

    pilot_events: int
    """Events before the validation tail."""
    events: int
    """All events."""
    notes: Mapping[str, Any] = field(default_factory=dict)


def first(settings: TrainSettings, has_tail: bool) -> Progress:
    """Where a new run begins.

    Args:
        settings: of training.
        has_tail: False where the tail asks nothing: then there is no pilot, and the refit takes
            all epochs of the settings with the first stale share.
    """
    shares = settings.stale_shares if has_tail else settings.stale_shares[:1]
    start = Progress(tuple(Pilot(share) for share in shares))
    if has_tail:
        return start
    return replace(start, phase=REFIT, refit_epochs=settings.n_epochs, stopped="no tail")


def after_epoch(
    progress: Progress, end: EpochEnd, settings: TrainSettings, sizes: Sizes
) -> Progress:
    """The progress after one more epoch: the same phase, the next, or the end.

    ``progress.spent_s`` counts the epoch already.
    """
    figures = {
        "phase": progress.phase,
        "stale_share": progress.current.stale_share,
        "epoch": progress.epoch + 1,
        "loss": end.loss,
        "seconds": round(end.seconds, 4),
        **({} if end.ndcg is None else {"ndcg": end.ndcg, "balance": list(end.balance)}),
    }
    history = (*progress.history, figures)
    done = replace(progress, epoch=progress.epoch + 1, step=0, events=0, history=history)
    if progress.phase == REFIT:
        if end.out_of_time:
            return replace(done, phase=DONE, stopped="budget")
        return replace(done, phase=DONE) if done.epoch >= done.refit_epochs else done
    current = progress.current
    curve = (*current.curve, -1.0 if end.ndcg is None else end.ndcg)
    balance = (*current.balance, end.balance)
    epoch_s = (*current.epoch_s, end.seconds)
    current = replace(current, curve=curve, balance=balance, epoch_s=epoch_s)
    done = replace(done, pilots=_put(done.pilots, done.candidate, current))
    reason = _pilot_over(done, end, settings, sizes)
    return replace(_next_phase(done, settings, sizes), stopped=reason) if reason else done


def training_budget(budget_s: float, elapsed_s: float, spent_s: float) -> float:
    """Seconds of training after which a run's budget is over.

    Args:
        budget_s: ``train.budget_s``.
        elapsed_s: of it; everything counts.
        spent_s: of these in training.

    >>> training_budget(180.0, elapsed_s=30.0, spent_s=0.0)
    150.0
    >>> training_budget(180.0, elapsed_s=500.0, spent_s=0.0)
    10.0
    """
    return spent_s + max(budget_s - elapsed_s, min(LEAST_S, budget_s))


def out_of_time(progress: Progress, settings: TrainSettings) -> bool:
    """Whether the budget is spent, so that the current epoch has to be cut short."""
    return settings.budget_s is not None and progress.spent_s >= settings.budget_s


def advice(progress: Progress, settings: TrainSettings) -> str:
    """What more time would give, in one sentence."""
    best = progress.best
    if progress.stopped == "budget" and not progress.refit_epochs and settings.refit:
        return "the budget ended before a refit on all events; give more"
    if "budget" not in _reasons(progress, settings):
        return "training ended by itself: more time would change nothing"
    if not best.curve:
        return "the budget ended before the epochs that were asked for; give more"
    left = settings.n_epochs - len(best.curve)
    if best.best_epoch == len(best.curve):
        rise = best.curve[-1] - best.curve[-2] if len(best.curve) > 1 else best.curve[-1]
        return (
            f"validation NDCG@10 was still rising (by {rise:.4f} in the last epoch): "
            f"up to {left} more epochs, about {left * _epoch_s(best):.0f} s, may raise it"
        )
    return f"validation NDCG@10 was falling by the end: {left} more epochs may give little"


def _reasons(progress: Progress, settings: TrainSettings) -> set[str]:
    """Why phases ended; a pilot that neither lost patience nor was complete lacked time."""
    found = {progress.stopped}
    for pilot in progress.pilots:
        stalled = len(pilot.curve) - pilot.best_epoch >= settings.patience
        if pilot.curve and not stalled and len(pilot.curve) < settings.n_epochs:
            found.add("budget")
    return found


def _pilot_over(
    progress: Progress, end: EpochEnd, settings: TrainSettings, sizes: Sizes
) -> str | None:
    pilot = progress.current
    if end.out_of_time:
        return "budget"
    if len(pilot.curve) - pilot.best_epoch >= settings.patience:
        return "patience"
    if len(pilot.curve) >= settings.n_epochs:
        return "epochs"
    if settings.budget_s is not None:
        share = (progress.candidate + 1) / len(progress.pilots)
        best = max(progress.best.best_epoch, 1) if settings.refit else 0
        refit_s = best * _refit_epoch_s(pilot, sizes)
        limit = (settings.budget_s * _RESERVE - refit_s) * share
        if progress.spent_s + _epoch_s(pilot) > limit:
            return "budget"
    return None


def _next_phase(progress: Progress, settings: TrainSettings, sizes: Sizes) -> Progress:
    fresh = replace(progress, epoch=0, step=0)
    spent = out_of_time(progress, settings)
    if not spent and progress.candidate + 1 < len(progress.pilots):
        return replace(fresh, candidate=progress.candidate + 1)
    if not settings.refit or spent:
        return replace(fresh, phase=DONE)
    n_epochs = progress.best.best_epoch
    if settings.budget_s is not None:
        left = settings.budget_s * _RESERVE - progress.spent_s
        n_epochs = min(n_epochs, int(left / _refit_epoch_s(progress.current, sizes)))
    if n_epochs < 1:
        return replace(fresh, phase=DONE)
    return replace(fresh, phase=REFIT, refit_epochs=n_epochs)


def _refit_epoch_s(pilot: Pilot, sizes: Sizes) -> float:
    return _epoch_s(pilot) * sizes.events / max(sizes.pilot_events, 1)


def _epoch_s(pilot: Pilot) -> float:
    """Seconds of an epoch: the median, so that a first one that compiles counts little."""
    ordered = sorted(pilot.epoch_s)
    return ordered[len(ordered) // 2] if ordered else 0.0


def _put(pilots: Sequence[Pilot], place: int, pilot: Pilot) -> tuple[Pilot, ...]:
    return (*pilots[:place], pilot, *pilots[place + 1 :])
