"""What the answers in a folder are worth, and which of two is better: our metrics, our intervals.

A right answer that is not among the ``N_RANKED`` of an answer is not found, whatever its rank.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.evaluation.intervals import UserBootstrap
from recsys.evaluation.metrics import accuracy
from tests.benchmarks.peers import exchange
from tests.benchmarks.peers.exchange import Asked, Ints

N_RESAMPLES, SEED = 1_000, 17
METRICS = ("ndcg10", "hr10", "hr100")

Doubles = npt.NDArray[np.float64]


class Answers:
    """All answers of a folder.

    Args:
        folder: as ``exchange`` describes it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = exchange.read_log(folder)
        self.asked = exchange.read_asked(folder, exchange.TEST, self.log)
        rng = np.random.default_rng(SEED)
        self._bootstrap = UserBootstrap(self.asked.user, N_RESAMPLES, rng)

    def values(self, system: str) -> dict[str, Doubles]:
        """Metric -> (Q,) of one system."""
        rows = exchange.read_answer(self.folder, system, self.log, len(self.asked))
        return values_of(ranks_in(rows, self.asked), self.asked, len(self.log.item_ids))

    def figures(self, system: str) -> dict[str, Any]:
        """``ndcg10``, ``hr10``, ``hr100`` and the 95% ``interval`` of the first."""
        found = self.values(system)
        interval = self._bootstrap.interval(found["ndcg10"])
        means = {name: float(found[name].mean()) for name in METRICS}
        return {**means, "interval": [interval.low, interval.high]}

    def compare(self, ours: str, theirs: str, metric: str = "ndcg10") -> dict[str, float]:
        """Paired difference ours - theirs: ``mean``, ``low``, ``high``, ``p``; and ``ratio``."""
        return self.compare_values(self.values(ours)[metric], self.values(theirs)[metric])

    def compare_values(self, ours: Doubles, theirs: Doubles) -> dict[str, float]:
        """The same of values (Q,) in the order of the queries."""
        ratio = float(ours.mean() / theirs.mean()) if theirs.any() else float("inf")
        return {**self._bootstrap.compare(ours, theirs), "ratio": ratio}


def ranks_in(rows: Ints, asked: Asked) -> Ints:
    """(M,) 0-based ranks of the right answers in answers (Q, n); not found = far behind."""
    ranks = np.int64(1 << 30) + np.arange(len(asked.target))
    query = np.repeat(np.arange(len(asked)), np.diff(asked.target_bounds))
    for start in range(0, len(query), 1 << 14):
        part = slice(start, start + (1 << 14))
        found, place = np.nonzero(rows[query[part]] == asked.target[part, None])
        ranks[start + found] = place
    return ranks


def values_of(ranks: Ints, asked: Asked, n_items: int) -> dict[str, Doubles]:
    """``METRICS`` of ranks (M,): name -> (Q,)."""
    n_candidates = np.full(len(asked), n_items)
    ten = accuracy(ranks, asked.target_bounds, n_candidates, 10)
    hundred = accuracy(ranks, asked.target_bounds, n_candidates, 100)
    return {"ndcg10": ten["ndcg"], "hr10": ten["hit_rate"], "hr100": hundred["hit_rate"]}


def figures(folder: Path, system: str) -> dict[str, Any]:
    """``Answers.figures`` of one system."""
    return Answers(folder).figures(system)
