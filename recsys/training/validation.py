"""How well the network in training ranks a later part of the log, every item a candidate."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from recsys.evaluation.metrics import accuracy
from recsys.evaluation.ranks import ranks_of
from recsys.settings import Settings
from recsys.training.batches import BatchMaker
from recsys.training.candidate_loss import NEVER, Scored
from recsys.training.network import InterestNetwork
from recsys.training.placing import Placement
from recsys.training.plain_loss import plain_logits
from recsys.training.sequences import Pack, questions
from recsys.training.surroundings import Surroundings

K = 10
_CELLS = 4 << 20


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
    def sums(self, network: InterestNetwork, pack: Pack) -> dict[str, float]:
        """Sums over the questions of some runs: ``ndcg`` and ``hits`` at 10, and ``n`` of them."""
        network.eval()
        asked = questions(pack, self._history, self._since)
        n_items = self._log.n_items
        rows, size = np.arange(n_items), max(1, _CELLS // n_items)
        sums = {"ndcg": 0.0, "hits": 0.0, "n": float(len(asked))}
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
            logits = plain_logits(scored, placed, slice(0, len(some))).cpu().numpy()
            ranks = _ranks(logits, batch.candidates.target_bounds, batch.candidates.target)
            found = accuracy(ranks, some.target_bounds, np.full(len(some), n_items), K)
            sums["ndcg"] += float(found["ndcg"].sum())
            sums["hits"] += float(found["hit_rate"].sum())
        return sums


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
