"""From a pack of runs to the arrays of one training step: questions, candidates, virtual cutoffs.

*Train for tomorrow.* A model is always asked about items younger than itself. A share of the runs
gets a virtual cutoff in the past: an item first seen after it is cold in that run, as history and
as candidate, and only questions after it count. An item not yet born at a question's own time is
no candidate there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from recsys.events import NO_TEXT
from recsys.interest.learned import value_features
from recsys.settings import Settings
from recsys.training.sequences import Pack, Questions, questions
from recsys.training.surroundings import Surroundings
from recsys.training.touches import first_touched
from recsys.training.transition_counts import histories
from recsys.transitions import Pasts

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Times = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_POPULAR_SHARE = 0.5
_POPULAR_POWER = 0.75


class Batch(NamedTuple):
    """One step: R catalog rows, T events, P questions with M right answers, C candidates."""

    rows: Tensor
    """(R,) catalog rows of events and candidates, rising."""
    text: Tensor | None
    """(R, E) their text vectors."""
    event_at: Tensor
    """(T,) place in ``rows``; R = an item that is not in the catalog."""
    event_cold: Tensor
    """(T,) bool, the item has no residual in this run."""
    kind: Tensor
    """(T,)."""
    given: Tensor
    """(T, 2) the value, standardised, and whether there is one."""
    sign: Tensor
    """(T,) 1, -1, or 0 for no evidence."""
    elapsed_s: Tensor
    """(T,) seconds since the event before."""
    start: Tensor
    """(T,) bool, first of a run."""
    last: Tensor
    """(P,) the latest known event; -1 = none."""
    gap_s: Tensor
    """(P,) seconds since it."""
    candidate_at: Tensor
    """(C,) place in ``rows``."""
    target_at: Tensor
    """(M,) place of each right answer in ``rows``."""
    candidates: Candidates
    """What else the loss needs to know, as NumPy arrays."""
    words: Tensor | None = None
    """(W, E) vectors of the texts of the events; None = the model reads none."""
    words_at: Tensor | None = None
    """(T,) place in ``words``; W = the event says nothing."""
    placed: Any = None
    """The same as tensors (``recsys.training.placing.Placed``); None = compiled code reads it."""


class Candidates(NamedTuple):
    """The candidates of each question and what is right."""

    correction: Floats
    """(C,) minus the log of the chance to be drawn; -inf = only a candidate where it is right."""
    born: Times
    """(C,) Unix seconds from which an item is a candidate, exclusive."""
    gone: Times
    """(C,) Unix seconds from which it is none any more."""
    cold_since: Times
    """(C,) an item is cold under an earlier cutoff; -inf = always warm, inf = always cold."""
    touched: Times
    """(U, C) when the user of a run first touched each candidate; inf = not yet."""
    run: Ints
    """(P,) run of each question."""
    as_of: Times
    """(P,) Unix seconds."""
    cutoff: Times
    """(P,) the virtual cutoff; inf = none."""
    cell: Ints
    """(P,) place in ``trend``."""
    trend: Floats
    """(G, C, Ht) features."""
    fresh: Floats
    """(G, C, Ht) what is left of each candidate's birth."""
    muted: Bools
    """(C,) items whose trend is not seen where they are cold."""
    target_bounds: Ints
    """(P + 1,) offsets into ``target``."""
    target: Ints
    """(M,) places in the candidates."""
    past: Pasts | None = None
    """Histories of the questions; None = transitions are not used."""
    transitions: Floats | None = None
    """(folds + 1, n, n) their weights."""
    slot: Ints | None = None
    """(C,) place of each candidate among the items of the transitions, -1 = none."""
    n_items: int = 0
    """N."""


class BatchMaker:
    """Makes batches; every draw comes from the generator that is given.

    Args:
        surroundings: of the log.
        settings: sections model and train.
        rng: of the draws.
    """

    def __init__(
        self, surroundings: Surroundings, settings: Settings, rng: np.random.Generator
    ) -> None:
        self.rng = rng
        self.stale_share = settings.train.stale_shares[0]
        self._log = surroundings
        self._train = settings.train
        self._n_kinds = len(settings.data.kinds)
        self._text = surroundings.text if settings.model.use_text else None
        self._full = surroundings.n_items < settings.train.full_softmax_below
        popular = surroundings.counts.astype(np.float64) ** _POPULAR_POWER
        even = np.full(len(popular), 1.0 / len(popular))
        self._chance = (1 - _POPULAR_SHARE) * even + _POPULAR_SHARE * popular / popular.sum()
        self._ladder = np.cumsum(self._chance)

    def training(self, pack: Pack) -> Batch | None:
        """A batch with drawn cutoffs and candidates; None where nothing is asked."""
        cutoff = self._cutoffs(pack)
        asked = questions(pack, self._history())
        stands = asked.as_of >= np.where(np.isfinite(cutoff), cutoff, -np.inf)[asked.run]
        born = self._log.born[asked.target] < np.repeat(asked.as_of, np.diff(asked.target_bounds))
        asked = _with_targets(asked, born & np.repeat(stands, np.diff(asked.target_bounds)))
        if len(asked) == 0:
            return None
        batch = self.batch(pack, asked, self._candidates(asked), cutoff)
        batch = self._with_new(batch)
        if self._train.event_dropout == 0.0:
            return batch
        kept = self.rng.random(len(pack.item)) >= self._train.event_dropout
        return batch._replace(sign=batch.sign * torch.from_numpy(kept))

    def batch(
        self,
        pack: Pack,
        asked: Questions,
        candidates: tuple[Ints, Floats],
        cutoff: Times | None = None,
    ) -> Batch:
        """A batch of given questions and candidates.

        Args:
            pack: the runs.
            asked: P questions about them.
            candidates: (C,) catalog rows, rising, and (C,) ``correction`` of ``Candidates``.
            cutoff: (U,) virtual cutoffs, inf = none; None = not in training: nothing is hidden.
        """
        log, (rows, _) = self._log, candidates
        known = pack.item >= 0
        every = np.union1d(rows, pack.item[known])
        event_at = np.where(known, np.searchsorted(every, pack.item), len(every))
        hidden = np.full(len(pack.bounds) - 1, np.inf) if cutoff is None else cutoff
        is_cold = ~known | ~log.warm[pack.item] | (log.born[pack.item] > hidden[pack.run])
        start = np.zeros(len(pack.item), bool)
        start[pack.bounds[:-1][np.diff(pack.bounds) > 0]] = True
        given = value_features(pack.value, log.value_mean, log.value_scale)
        words, words_at = self._said(pack)
        elapsed = np.diff(pack.ts, prepend=pack.ts[:1])
        gap = np.where(asked.last >= 0, asked.as_of - pack.ts[np.maximum(asked.last, 0)], 0.0)
        return Batch(
            rows=torch.from_numpy(every.astype(np.int64)),
            text=None if self._text is None else torch.from_numpy(self._text[every]),
            event_at=torch.from_numpy(event_at.astype(np.int64)),
            event_cold=torch.from_numpy(is_cold),
            kind=torch.from_numpy(np.minimum(pack.kind, self._n_kinds).astype(np.int64)),
            given=torch.from_numpy(given),
            sign=torch.from_numpy(pack.sign.astype(np.float32)),
            elapsed_s=torch.from_numpy(elapsed.astype(np.float32)),
            start=torch.from_numpy(start),
            last=torch.from_numpy(asked.last),
            gap_s=torch.from_numpy(gap.astype(np.float32)),
            candidate_at=torch.from_numpy(np.searchsorted(every, rows).astype(np.int64)),
            target_at=torch.from_numpy(np.searchsorted(every, asked.target).astype(np.int64)),
            candidates=self._given(pack, asked, candidates, cutoff),
            words=words,
            words_at=words_at,
        )

    def _said(self, pack: Pack) -> tuple[Tensor | None, Tensor | None]:
        """``words`` and ``words_at`` of ``Batch``."""
        if self._log.words is None:
            return None, None
        rows = np.unique(pack.text[pack.text != NO_TEXT])
        at = np.where(pack.text != NO_TEXT, np.searchsorted(rows, pack.text), len(rows))
        return torch.from_numpy(self._log.words[rows]), torch.from_numpy(at.astype(np.int64))

    def _given(
        self,
        pack: Pack,
        asked: Questions,
        candidates: tuple[Ints, Floats],
        cutoff: Times | None,
    ) -> Candidates:
        log, (rows, correction) = self._log, candidates
        cells, cell = np.unique(log.trend.cells(asked.as_of), return_inverse=True)
        never = np.full(len(asked), np.inf)
        learned = log.transitions
        return Candidates(
            correction=correction,
            born=log.born[rows],
            gone=log.available_until[rows],
            cold_since=np.where(log.warm[rows], log.born[rows], np.inf),
            touched=self._touched(pack, rows),
            run=asked.run,
            as_of=asked.as_of,
            cutoff=never if cutoff is None else cutoff[asked.run],
            cell=cell.astype(np.int64),
            trend=log.trend.features(cells, rows),
            fresh=log.trend.fresh(cells, log.available_from[rows]),
            muted=self.rng.random(len(rows)) < (0.0 if cutoff is None else self._train.mute_share),
            target_bounds=asked.target_bounds,
            target=np.searchsorted(rows, asked.target).astype(np.int64),
            past=None if learned is None else histories(pack, asked, learned, cutoff is None),
            transitions=log.transitions_apart,
            slot=None if learned is None else learned.slots[rows],
            n_items=log.n_items,
        )

    def _touched(self, pack: Pack, rows: Ints) -> Times:
        """(U, C) of ``Candidates``."""
        if self._train.targets == "all":
            return np.full((len(pack.bounds) - 1, len(rows)), np.inf)
        return first_touched(pack, rows, self._log.n_items)

    def _with_new(self, batch: Batch) -> Batch:
        """The batch with some items as if they had just been born."""
        if self._train.id_dropout == 0.0:
            return batch
        new = np.append(self.rng.random(len(batch.rows)) < self._train.id_dropout, False)
        mine, given = new[batch.candidate_at.numpy()], batch.candidates
        candidates = given._replace(
            cold_since=np.where(mine, np.inf, given.cold_since),
            muted=given.muted | mine,
            slot=None if given.slot is None else np.where(mine, -1, given.slot),
        )
        cold = batch.event_cold | torch.from_numpy(new)[batch.event_at]
        return batch._replace(event_cold=cold, candidates=candidates)

    def _history(self) -> Any:
        if self._train.history == "mixed":
            return "strict" if self.rng.random() < 0.5 else "ordered"
        return self._train.history

    def _cutoffs(self, pack: Pack) -> Times:
        """(U,) a moment before some event of the run, at most the staleness that is trained for."""
        sizes = np.diff(pack.bounds)
        span = self._train.stale_span * (self._log.last_ts - self._log.first_ts)
        anchor = pack.ts[pack.bounds[:-1] + self.rng.integers(0, np.maximum(sizes, 1))]
        drawn = anchor - self.rng.random(len(sizes)) * span
        return np.where(self.rng.random(len(sizes)) < self.stale_share, drawn, np.inf)

    def _candidates(self, asked: Questions) -> tuple[Ints, Floats]:
        """Catalog rows of the candidates, and their corrections."""
        if self._full:
            n = self._log.n_items
            return np.arange(n), np.zeros(n, np.float32)
        n_drawn = self._train.n_negatives
        draws = np.searchsorted(self._ladder, self.rng.random(n_drawn) * self._ladder[-1])
        drawn = np.unique(np.minimum(draws, len(self._ladder) - 1))
        rows = np.union1d(drawn, asked.target)
        chance = -np.expm1(-n_drawn * self._chance[rows])
        inside = np.isin(rows, drawn, assume_unique=True)
        correction = np.where(inside, -np.log(chance), -np.inf)
        return rows.astype(np.int64), correction.astype(np.float32)


def _with_targets(asked: Questions, keep: npt.NDArray[np.bool_]) -> Questions:
    """The questions with some of their answers (M,), without those that have none left."""
    which = np.repeat(np.arange(len(asked)), np.diff(asked.target_bounds))[keep]
    counts = np.bincount(which, minlength=len(asked))
    bounds = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    left = replace(asked, target=asked.target[keep], target_bounds=bounds)
    return left.pick(np.flatnonzero(counts))
