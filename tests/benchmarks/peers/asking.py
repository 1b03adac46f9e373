"""How every peer is asked: the same candidates, the same histories, the best 200 of its scores.

A peer knows only the items that it learned; of these it scores all. Where the history of a query
has none of them, its answer is what was most popular in what it learned from.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from scipy import sparse

from tests.benchmarks.peers.exchange import N_RANKED, Asked, Bools, Floats, Ints, Log

_BLOCK = 128
K = 10


class Peer(Protocol):
    """One system with fixed hyper-parameters."""

    def fit(self, log: Log, learned: Bools) -> None:
        """Learn from some events (T,) of a log."""
        ...

    def scores(self, log: Log, asked: Asked, rows: slice) -> Floats:
        """(n, N) scores of some queries; -inf = an item that it does not know."""
        ...


class Vocabulary:
    """The items that a peer learns: frequent enough, at most so many.

    Args:
        log: whose items.
        learned: (T,) events that are counted.
        min_events: the fewest events of an item.
        max_items: the most items, the most frequent.
    """

    def __init__(self, log: Log, learned: Bools, min_events: int, max_items: int) -> None:
        n_items = len(log.item_ids)
        self.counts = np.bincount(log.item[learned & (log.item >= 0)], minlength=n_items)
        order = np.argsort(-self.counts, kind="stable")[:max_items]
        self.rows: Ints = np.sort(order[self.counts[order] >= min_events])
        """(V,) catalog rows, ascending."""
        self.place = np.full(n_items + 1, -1, np.int64)
        """(N + 1,) place of each catalog row, -1 = not learned; the last one is of row -1."""
        self.place[self.rows] = np.arange(len(self.rows))

    def __len__(self) -> int:
        return len(self.rows)

    def spread(self, scores: npt.NDArray[Any]) -> Floats:
        """(n, N) scores of scores (n, V)."""
        out = np.full((len(scores), len(self.place) - 1), -np.inf, np.float32)
        out[:, self.rows] = scores
        return out

    def matrix(self, log: Log, kept: Bools) -> sparse.csr_matrix:
        """(U, V) ones where a user has a kept event of an item."""
        place = self.place[log.item]
        rows = np.flatnonzero(kept & (place >= 0))
        return _ones(log.user[rows], place[rows], (len(log.user_ids), len(self)))

    def histories(self, log: Log, asked: Asked, rows: slice, kept: Bools) -> sparse.csr_matrix:
        """(n, V) ones where the history of a query has a kept event (T,) of an item."""
        found = [self.history(log, asked, q, kept)[0] for q in range(*rows.indices(len(asked)))]
        query = np.repeat(np.arange(len(found)), [len(items) for items in found])
        items = np.concatenate([*found, np.zeros(0, np.int64)])
        return _ones(query, items, (len(found), len(self)))

    def history(self, log: Log, asked: Asked, query: int, kept: Bools) -> tuple[Ints, Ints]:
        """Places of the items of a query's history, in order, and the offsets of their events."""
        run = np.arange(log.bounds[asked.user[query]], asked.end[query])
        place = self.place[log.item[run]]
        used = kept[run] & (place >= 0)
        return place[used], run[used]


def answers(peer: Peer, log: Log, asked: Asked, learned: Bools) -> tuple[Ints, Floats]:
    """(Q, ``N_RANKED``) rows of the catalog, best first, -1 = an empty place, and scores."""
    rows = np.full((len(asked), N_RANKED), -1, np.int64)
    best = np.zeros((len(asked), N_RANKED), np.float32)
    counted = learned & log.positive & (log.item >= 0)
    popular = np.bincount(log.item[counted], minlength=len(log.item_ids)).astype(np.float32)
    for start in range(0, len(asked), _BLOCK):
        block = slice(start, min(start + _BLOCK, len(asked)))
        scores = peer.scores(log, asked, block)
        for q, found in enumerate(scores, start):
            known = np.isfinite(found)
            silent = not known.any() or bool(np.all(found[known] == 0.0))
            masked = np.where(candidates(log, asked, q), popular if silent else found, -np.inf)
            top = _top(masked)
            rows[q, : len(top)], best[q, : len(top)] = top, masked[top]
    return rows, best


def candidates(log: Log, asked: Asked, query: int) -> Bools:
    """(N,) what can be had at a query and is new to its user."""
    ts = asked.ts[query]
    allowed: Bools = (log.candidate_from <= ts) & (ts < log.candidate_until)
    run = slice(int(log.bounds[asked.user[query]]), int(asked.end[query]))
    seen = log.item[run][log.touches[run]]
    allowed[seen[seen >= 0]] = False
    return allowed


def ndcg(rows: Ints, asked: Asked) -> float:
    """Mean NDCG@10 of answers (Q, n)."""
    gain = 1.0 / np.log2(np.arange(2, K + 2))
    total = 0.0
    for q in range(len(asked)):
        target = asked.target[asked.target_bounds[q] : asked.target_bounds[q + 1]]
        best = gain[: min(len(target), K)].sum()
        total += float(gain[np.isin(rows[q, :K], target)].sum() / best)
    return total / max(len(asked), 1)


def _top(scores: Floats) -> Ints:
    """The best rows, best first; of equals the lower row."""
    n = min(N_RANKED, len(scores))
    rows = np.flatnonzero(scores >= np.partition(scores, -n)[-n])
    rows = rows[np.argsort(-scores[rows], kind="stable")][:n]
    return rows[np.isfinite(scores[rows])]


def _ones(row: Ints, column: Ints, shape: tuple[int, int]) -> sparse.csr_matrix:
    matrix = sparse.csr_matrix((np.ones(len(row), np.float32), (row, column)), shape=shape)
    matrix.data[:] = 1.0  # doubles were summed
    return matrix
