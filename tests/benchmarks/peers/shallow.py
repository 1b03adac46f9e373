"""Peers without order: EASE of RecTools, item-kNN and ALS of implicit."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from implicit.als import AlternatingLeastSquares
from implicit.nearest_neighbours import BM25Recommender, CosineRecommender
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import EASEModel

from tests.benchmarks.peers.asking import Vocabulary
from tests.benchmarks.peers.exchange import Asked, Bools, Floats, Log

MAX_DENSE_ITEMS = 4_000
"""EASE inverts a dense matrix: it learns at most so many items, the most frequent."""
MIN_EVENTS = 5
"""Fewest events of an item where a log has many items."""
MANY_ITEMS = 20_000


class Shallow:
    """What the three have in common: a vocabulary, and which events are read.

    Args:
        use: ``all`` = every event that makes an item known, ``positive`` = right answers alone.
        max_items: the most items that are learned.
    """

    def __init__(self, use: str, max_items: int = 1_000_000) -> None:
        self._use, self._max_items = use, max_items
        self._items: Vocabulary
        self.n_events = 0
        """Events that were learned from."""

    def fit(self, log: Log, learned: Bools) -> None:
        """See ``Peer.fit``."""
        kept = learned & self._kept(log)
        self._items = vocabulary(log, kept, self._max_items)
        self.n_events = int(kept.sum())
        self._learn(self._items.matrix(log, kept))

    def scores(self, log: Log, asked: Asked, rows: slice) -> Floats:
        """See ``Peer.scores``."""
        return self._items.spread(
            self._of(self._items.histories(log, asked, rows, self._kept(log)))
        )

    def _kept(self, log: Log) -> Bools:
        return log.positive if self._use == "positive" else log.touches

    def _learn(self, matrix: Any) -> None:
        raise NotImplementedError

    def _of(self, histories: Any) -> Any:
        """(n, V) scores of histories (n, V)."""
        raise NotImplementedError


class Ease(Shallow):
    """RecTools' EASE, time-agnostic."""

    def __init__(self, l2: float, use: str) -> None:
        super().__init__(use, MAX_DENSE_ITEMS)
        self._model = EASEModel(regularization=l2)

    def _learn(self, matrix: Any) -> None:
        pairs = matrix.tocoo()
        table = pd.DataFrame(
            {
                Columns.User: pairs.row,
                Columns.Item: pairs.col,
                Columns.Weight: 1.0,
                Columns.Datetime: pd.Timestamp("2000-01-01"),
            }
        )
        dataset = Dataset.construct(table)
        self._model.fit(dataset)
        order = dataset.item_id_map.convert_to_internal(np.arange(matrix.shape[1]))
        self._weight = np.asarray(self._model.weight)[np.ix_(order, order)].astype(np.float32)

    def _of(self, histories: Any) -> Any:
        return histories @ self._weight


class ItemKnn(Shallow):
    """implicit's item-kNN: cosine, or BM25 weights."""

    def __init__(self, likeness: str, n_neighbours: int, use: str) -> None:
        super().__init__(use)
        kind = {"cosine": CosineRecommender, "bm25": BM25Recommender}[likeness]
        self._model = kind(K=n_neighbours, num_threads=1)

    def _learn(self, matrix: Any) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # implicit warns of its own conversion
            self._model.fit(matrix, show_progress=False)

    def _of(self, histories: Any) -> Any:
        return (histories @ self._model.similarity).toarray()


class Als(Shallow):
    """implicit's ALS; a query's user is folded in from its history."""

    def __init__(self, n_factors: int, alpha: float, use: str, seed: int) -> None:
        super().__init__(use)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._model = AlternatingLeastSquares(
                factors=n_factors,
                regularization=0.1,
                alpha=alpha,
                iterations=15,
                num_threads=1,
                random_state=seed,
            )

    def _learn(self, matrix: Any) -> None:
        self._model.fit(matrix, show_progress=False)

    def _of(self, histories: Any) -> Any:
        users = np.arange(histories.shape[0])
        folded = self._model.recalculate_user(users, histories)
        return np.asarray(folded @ self._model.item_factors.T)


def vocabulary(log: Log, kept: Bools, max_items: int = 1_000_000) -> Vocabulary:
    """All items of a small log; in a log of many items those with ``MIN_EVENTS`` events."""
    min_events = MIN_EVENTS if len(log.item_ids) > MANY_ITEMS else 1
    return Vocabulary(log, kept, min_events, max_items)
