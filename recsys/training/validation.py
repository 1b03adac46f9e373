"""How well the network in training ranks a later part of the log, every item a candidate."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from recsys.evaluation.metrics import accuracy
from recsys.evaluation.ranks import ranks_of
from recsys.settings import Settings
from recsys.training.batches import BatchMaker
from recsys.training.candidate_loss import NEVER, Scored
from recsys.training.network import Balance, InterestNetwork
from recsys.training.placing import Placement
from recsys.training.plain_loss import plain_logits
from recsys.training.sequences import Pack, questions
from recsys.training.surroundings import Surroundings

K = 10
BALANCES = tuple(
    Balance(personal, current)
    for personal in (1.0, 0.7, 0.5, 0.35, 1.4)
    for current in (0.0, 0.3, 0.6)
)
"""Balances that are tried on the tail; of equally good ones the first is taken.

A loss over the whole catalog is fitted in its depth, a slate is its top: there the personal part of
a stale model is as a rule too loud, and what is chosen right now too quiet.
"""
_CELLS = 4 << 20


class TailSums(NamedTuple):
    """Sums over questions, at each of the balances."""

    ndcg: npt.NDArray[np.float64]
    """(B,) NDCG@10."""
    hits: npt.NDArray[np.float64]
    """(B,) of the first 10."""
    n: float
    """Questions."""

    def best(self) -> dict[str, float]:
        """Means at the best balance: ``ndcg``, ``hits``, ``personal``, ``current``; and ``n``."""
        at, n = int(np.argmax(self.ndcg)), max(self.n, 1.0)
        means = {"ndcg": float(self.ndcg[at]) / n, "hits": float(self.hits[at]) / n}
        return {**means, **BALANCES[at]._asdict(), "n": self.n}

    def plus(self, other: TailSums) -> TailSums:
        """Of both."""
        return TailSums(self.ndcg + other.ndcg, self.hits + other.hits, self.n + other.n)


NOTHING_ASKED = TailSums(np.zeros(len(BALANCES)), np.zeros(len(BALANCES)), 0.0)


class Validation:
    """Questions from a moment on, each answered from what came before it.

    Args:
        learned_from: the log that the network is trained on: what is warm, how values are scaled.
        whole: the log with its later part: trend and births.
        settings: as in training.
        since: Unix seconds of the first question.
        history: see ``recsys.training.sequences.questions``.
        placement: where the network is; None = a CPU.
    """

    def __init__(
        self,
        learned_from: Surroundings,
        whole: Surroundings,
        settings: Settings,
        since: float,
        history: Literal["strict", "ordered"] = "strict",
        placement: Placement | None = None,
    ) -> None:
        self._log = later(learned_from, whole)
        self._maker = BatchMaker(self._log, settings, np.random.default_rng(0))
        self._since = since
        self._history = history
        self._placement = Placement() if placement is None else placement

    @torch.no_grad()
    def sums(self, network: InterestNetwork, pack: Pack) -> TailSums:
        """Sums over the questions of some runs."""
        network.eval()
        asked = questions(pack, self._history, self._since)
        n_items = self._log.n_items
        rows, size = np.arange(n_items), max(1, _CELLS // n_items)
        sums = NOTHING_ASKED._replace(n=float(len(asked)))
        for first in range(0, len(asked), size):
            some = asked.pick(np.arange(first, min(first + size, len(asked))))
            batch = self._maker.batch(pack, some, (rows, np.zeros(n_items, np.float32)))
            batch = self._placement.moved(batch)
            placed = batch.placed
            if placed is None:
                placed = self._placement.candidates(batch.candidates)
            base, own = network.tower(batch)
            at = batch.candidate_at
            asked_now = network.weighed(network.ask(batch, base, own))
            scored = Scored(base[at] + own[at], base[at], *asked_now, network.strength)
            part = slice(0, len(some))
            whole = plain_logits(scored, placed, part)
            rest = plain_logits(_impersonal(scored), placed, part)
            now = placed.trend[placed.cell[part], :, 0] if network.use_trend else 0.0
            found = []
            for personal, current in BALANCES:
                logits = (torch.lerp(rest, whole, personal) + current * now).cpu().numpy()
                ranks = _ranks(logits, batch.candidates.target_bounds, batch.candidates.target)
                of = accuracy(ranks, some.target_bounds, np.full(len(some), n_items), K)
                found.append((of["ndcg"].sum(), of["hit_rate"].sum()))
            ndcg, hits = np.array(found, np.float64).T
            sums = sums.plus(TailSums(ndcg, hits, 0.0))
        return sums


def _impersonal(scored: Scored) -> Scored:
    nothing: Tensor = torch.zeros_like(scored.query)
    return scored._replace(query=nothing, strength=torch.zeros_like(scored.strength))


def later(learned_from: Surroundings, whole: Surroundings) -> Surroundings:
    """A later state of the log, seen through what was learned from an earlier one.

    Items that say something are candidates from the beginning, as they are where slates are made.
    """
    return replace(
        whole,
        warm=learned_from.warm,
        born=np.where(whole.has_text, whole.available_from, whole.born),
        value_mean=learned_from.value_mean,
        value_scale=learned_from.value_scale,
        transitions=learned_from.transitions,
        transitions_apart=learned_from.transitions_apart,
    )


def _ranks(
    logits: npt.NDArray[np.float32], bounds: npt.NDArray[np.int64], target: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """(M,) rank of each right answer among all candidates of its question."""
    allowed = logits > NEVER / 2
    found = [
        ranks_of(logits[p], allowed[p], target[bounds[p] : bounds[p + 1]])
        for p in range(len(logits))
    ]
    return np.concatenate(found)
