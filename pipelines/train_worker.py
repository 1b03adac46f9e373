"""What one training worker does: phases, epochs, steps; checkpoints; reports.

The workers decide together: the clock of the first says when to save, report or stop, and its word
goes round with the count of those who still have rows, so that all leave a step at the same place.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import ray
import ray.train

from pipelines import train_phases
from pipelines.encode import EncoderSource
from pipelines.train_board import Meter
from pipelines.train_device import worker_placement
from pipelines.train_language import begin, tower_of, tuned_blobs
from pipelines.train_parallel import (
    Workers,
    gathered,
    restore_state,
    set_apart,
    whole_state,
    wrapper,
)
from pipelines.train_phases import DONE, PILOT, REFIT, EpochEnd, Progress, Sizes
from pipelines.train_result import result_tensors
from pipelines.train_run import Run, Tensors
from pipelines.train_stream import ROWS, Epochs, left_of
from recsys.settings import Settings
from recsys.training.export import exported
from recsys.training.fitting import balance_of
from recsys.training.learner import Learner
from recsys.training.network import Balance
from recsys.training.sequences import USER_ROWS, Pack, pack, packs
from recsys.training.surroundings import Surroundings
from recsys.training.validation import NOTHING_ASKED, TailSums, Validation

REPORT_S = 2.0
"""Seconds between reports to Ray; each is a barrier of all workers."""


@dataclass(frozen=True)
class Shared:
    """What all workers read; in the object store once."""

    pilot: Surroundings
    """Of the events before the validation tail; born and trend of all."""
    whole: Surroundings
    validation: pa.Table
    """``USER_ROWS`` with questions in the tail."""
    texts: list[str]
    """(N,) what the items say, where the language model is trained; else empty."""


@dataclass(frozen=True)
class Work:
    """What a worker is told."""

    run: Run
    settings: Settings
    shared: ray.ObjectRef[Shared]
    sizes: Sizes
    tail_start: float | None
    first: Progress
    board: Any
    """Handle of the ``Board``."""
    language: EncoderSource | None = None
    """The language model that is trained too; None = its vectors stay as they are."""


@dataclass(frozen=True)
class Flags:
    """What the workers agree on before a step."""

    n_ready: int
    """Workers that have rows."""
    n_events: int
    """Events of all workers in the step."""
    save: bool
    report: bool
    stop: bool


class Training:
    """One worker's part of a run.

    Args:
        work: what to do.
        workers: with whom.
    """

    def __init__(self, work: Work, workers: Workers) -> None:
        self.work, self.workers = work, workers
        self.settings = work.settings
        self.shared: Shared = ray.get(work.shared)
        self.placement = worker_placement(self.settings.train)
        self.meter = Meter(self.settings.train.n_log_steps)
        self.validation = self._validation()
        self._started = time.monotonic()
        self._spent_before = 0.0
        self._saved_at = self._reported_at = self._started
        self._warned = False
        self._ends: list[dict[str, Any]] = []

    def run(self) -> None:
        """Train from the newest checkpoint to the end, and leave the result in the store."""
        found = self.work.run.latest()
        progress, tensors = (self.work.first, None) if found is None else found
        self._spent_before = progress.spent_s
        if progress.epoch == progress.step == 0:  # the weights are those of the phase before
            tensors = None
        while progress.phase != DONE:
            progress = self._phase(progress, tensors)
            tensors = None
        self._leave_result(progress)

    def _phase(self, progress: Progress, tensors: Tensors | None) -> Progress:
        name = progress.name
        learner = self._learner(progress)
        if tensors is not None:
            restore_state(learner, tensors, self.workers)
        begin(learner, is_new=tensors is None)
        shard = ray.train.get_dataset_shard(ROWS)
        assert shard is not None
        blocks: Any = iter(
            shard.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=2)
        )
        epochs = Epochs(blocks)
        try:
            while progress.name == name:
                progress = self._epoch(progress, learner, epochs)
        finally:
            blocks.close()
        return progress

    def _learner(self, progress: Progress) -> Learner:
        """A new learner for a phase."""
        train = self.settings.train.model_copy(
            update={"stale_shares": (progress.current.stale_share,)}
        )
        is_pilot = progress.phase == PILOT
        n_events = self.work.sizes.pilot_events if is_pilot else self.work.sizes.events
        steps_per_epoch = -(-n_events // train.batch_events)
        learner = Learner(
            self.shared.pilot if is_pilot else self.shared.whole,
            self.settings.model_copy(update={"train": train}),
            n_steps=max(1, progress.n_epochs(train) * steps_per_epoch),
            seed=train.seed,
            placement=self.placement,
            wrap=wrapper(self.workers, train.parallel, self.placement.device.type),
            language=tower_of(self.work.language, self.shared.texts, self.settings, self.workers),
        )
        set_apart(learner, self.workers)
        return learner

    def _validation(self) -> Validation | None:
        since, logs = self.work.tail_start, (self.shared.pilot, self.shared.whole)
        if since is None:
            return None
        return Validation(*logs, self.settings, since, placement=self.placement)

    def _epoch(self, progress: Progress, learner: Learner, epochs: Epochs) -> Progress:
        started = time.monotonic()
        runs = self._packs(progress, epochs)
        while True:
            found = next(runs, None)
            flags = self._agree(progress, found)
            if flags.stop or flags.n_ready == 0:
                break
            step = learner.step(_NOTHING if found is None else found)
            self.meter.add(step, found, progress.total_steps + 1)
            progress = progress.stepped(flags.n_events, self.workers.n, self._spent_s())
            if flags.save:
                self._save(progress, learner)
            if flags.report:
                self._report(progress, learner)
        tail = self._validate(learner) if progress.phase == PILOT else {}
        loss, n = self.workers.sums(*self.meter.epoch())
        end = EpochEnd(
            loss=loss / max(n, 1.0),
            ndcg=tail.get("ndcg"),
            seconds=time.monotonic() - started,
            balance=tuple(balance_of(tail)) if tail else (),
            out_of_time=flags.stop,
        )
        return self._after(progress, learner, end)

    def _after(self, progress: Progress, learner: Learner, end: EpochEnd) -> Progress:
        """Move on after an epoch; the first worker's seconds count for all."""
        word = (end.seconds, self._spent_s(), time.monotonic() - self._reported_at >= REPORT_S)
        seconds, spent, due = self.workers.sums(*(word if self.workers.rank == 0 else (0.0,) * 3))
        progress = replace(progress, spent_s=spent)
        best = progress.best.best_ndcg
        after = train_phases.after_epoch(
            progress, replace(end, seconds=seconds), self.settings.train, self.work.sizes
        )
        if end.ndcg is not None and end.ndcg > best:
            self._put(self.work.run.save_best, after, learner)
        self._save(after, learner)
        self._ends.append({**after.history[-1], "phase": progress.name})
        if due or after.name != progress.name:
            self._report(replace(progress, epoch=progress.epoch + 1, step=0), None)
        return after

    def _packs(self, progress: Progress, epochs: Epochs) -> Iterator[Pack]:
        train = self.settings.train
        code = (PILOT, REFIT).index(progress.phase)
        seed = [train.seed, code, progress.candidate, progress.epoch, self.workers.rank]
        runs = packs(
            epochs.of(progress.epoch),
            max(1, train.batch_events // self.workers.n),
            np.random.default_rng(seed),
        )
        return left_of(runs, progress, self.workers.n)

    def _agree(self, progress: Progress, found: Pack | None) -> Flags:
        now, train = time.monotonic(), self.settings.train
        mine = self.workers.rank == 0
        save = mine and now - self._saved_at >= train.checkpoint_every_s
        report = mine and now - self._reported_at >= REPORT_S
        spent = replace(progress, spent_s=self._spent_s())
        stop = mine and progress.total_steps > 0 and train_phases.out_of_time(spent, train)
        ready, n_events = found is not None, 0 if found is None else len(found.item)
        counts = self.workers.sums(ready, n_events, save, report, stop)
        return Flags(int(counts[0]), int(counts[1]), *(value > 0 for value in counts[2:]))

    def _validate(self, learner: Learner) -> dict[str, float]:
        """NDCG@10 on the tail in the best balance; each worker ranks a share of the rows."""
        assert self.validation is not None
        learner.refresh()
        rows = self.shared.validation
        mine = rows.take(pa.array(np.arange(self.workers.rank, len(rows), self.workers.n)))
        sums = NOTHING_ASKED
        with gathered(learner):
            for part in packs([mine], self.settings.train.batch_events, None):
                sums = sums.plus(self.validation.sums(learner.network, part))
        n, *ndcg = self.workers.sums(sums.n, *sums.ndcg.tolist())
        return TailSums(np.array(ndcg), sums.hits, n).best()

    def _save(self, progress: Progress, learner: Learner) -> None:
        self._put(self.work.run.save, progress, learner)
        self._saved_at = time.monotonic()

    def _put(self, write: Any, progress: Progress, learner: Learner) -> None:
        tensors = whole_state(learner)  # all workers take part
        if self.workers.rank == 0:
            write(tensors, progress)

    def _report(self, progress: Progress, learner: Learner | None) -> None:
        """Tell the driver; look for a notice that a node is about to go, and save in time."""
        taken = self.meter.taken()
        (events,) = self.workers.sums(taken.pop("events"))
        is_pilot = progress.phase == PILOT
        n_events = self.work.sizes.pilot_events if is_pilot else self.work.sizes.events
        figures = {
            **taken,
            "events": events,
            "phase": progress.name,
            "epoch": progress.epoch,
            "n_epochs": progress.n_epochs(self.settings.train),
            "step": progress.step,
            "steps_per_epoch": -(-n_events // self.settings.train.batch_events),
            "total_steps": progress.total_steps,
            "spent_s": progress.spent_s,
            "ends": self._ends,
        }
        self._ends = []
        ray.train.report(figures if self.workers.rank == 0 else {})
        self._reported_at = time.monotonic()
        notice = ray.train.get_preemption_info()
        if notice is not None and not self._warned and learner is not None:
            self._save(progress, learner)
        self._warned = notice is not None

    def _spent_s(self) -> float:
        return self._spent_before + time.monotonic() - self._started

    def _leave_result(self, progress: Progress) -> None:
        """What a bundle needs, from the last checkpoint, or from the best of the pilot."""
        if self.workers.rank > 0:
            return
        run, refitted = self.work.run, progress.refit_epochs > 0
        best = run.best()
        found = run.latest() if refitted else best
        assert found is not None
        learner, tensors = self._exported(progress, found[1], refitted)
        wants = self.settings.ranker.kind != "none" and self.work.tail_start is not None
        if wants and best is not None:  # a ranking model is fitted to what did not see the tail
            run.save_pilot(self._exported(progress, best[1], False)[1] if refitted else tensors)
        run.save_result(tensors, tuned_blobs(learner, run.store))

    def _exported(
        self, progress: Progress, state: Tensors, is_whole: bool
    ) -> tuple[Learner, Tensors]:
        """The model of a checkpoint, of all events or of those before the tail."""
        log = self.shared.whole if is_whole else self.shared.pilot
        text = None if log.text is None else log.text.copy()
        log = replace(log, text=text, warm=log.warm.copy())  # torch wants what it may write to
        language = tower_of(self.work.language, self.shared.texts, self.settings)
        learner = Learner(log, self.settings, 1, 0, self.placement, language=language)
        learner.restore(state)
        learner.network.rebalance(Balance(*progress.best.best_balance))
        learner.refresh()
        return learner, result_tensors(exported(learner.network, log, self.settings))


_NOTHING = pack(USER_ROWS.empty_table())
