"""Metrics: how good ranks are.

Every accuracy metric is a number per query, from the ranks of its right answers among all
candidates; means, intervals and strata are taken over queries later. With ``r`` the 0-based ranks,
``n`` the number of right answers and hits those with ``r < k``:

    hit_rate  any hit                     precision  hits / k        recall  hits / n
    f1        2PR / (P + R)               mrr        1 / (1 + best hit)
    ndcg      sum 1/log2(r + 2) of hits  /  the same sum of the best possible ranks
    map       mean over min(k, n) of the precision at each hit
    auc       share of (right, wrong) pairs in the right order, over all candidates
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.integer[Any]]
Floats = npt.NDArray[np.float64]

ACCURACY = ("ndcg", "hit_rate", "recall", "precision", "f1", "mrr", "map", "auc")


def accuracy(ranks: Ints, bounds: Ints, n_candidates: Ints, k: int) -> dict[str, Floats]:
    """All accuracy metrics of Q queries.

    Args:
        ranks: (M,) 0-based rank of each right answer among all candidates of its query, right ones
            included; distinct in one query.
        bounds: (Q + 1,) offsets of the queries in ``ranks``; each has at least one answer.
        n_candidates: (Q,) candidates, right answers included.
        k: the cut-off.

    Returns:
        name -> (Q,) float64.
    """
    n_right = np.diff(bounds)
    query = np.repeat(np.arange(len(n_right)), n_right)
    ranks = ranks[np.lexsort((ranks, query))]  # best first in each query
    place = np.arange(len(ranks)) - np.repeat(bounds[:-1], n_right)
    hit = ranks < k

    def total(values: npt.NDArray[Any]) -> Floats:
        return np.bincount(query, weights=values, minlength=len(n_right)).astype(np.float64)

    hits = total(hit)
    gains = np.concatenate([[0.0], np.cumsum(1.0 / np.log2(np.arange(2, k + 2)))])
    best = np.minimum(n_right, k)
    precision, recall = hits / k, hits / n_right
    wrong_above = total(ranks - place)
    pairs = n_right * (n_candidates - n_right)
    return {
        "ndcg": total(hit / np.log2(ranks + 2.0)) / gains[best],
        "hit_rate": (hits > 0).astype(np.float64),
        "recall": recall,
        "precision": precision,
        "f1": _ratio(2 * precision * recall, precision + recall),
        "mrr": total((hit & (place == 0)) / (ranks + 1.0)),
        "map": total(hit * (place + 1.0) / (ranks + 1.0)) / best,
        "auc": np.where(pairs > 0, 1.0 - _ratio(wrong_above, pairs), 0.5),
    }


def coverage(lists: Ints, n_items: int) -> float:
    """Share of the catalog that stands in at least one slate.

    Args:
        lists: (Q, k) catalog rows; negative = an empty place.
        n_items: size of the catalog.
    """
    return len(np.unique(lists[lists >= 0])) / max(n_items, 1)


def gini(lists: Ints, n_items: int) -> float:
    """Gini index of how often items are shown: 0 = all alike, near 1 = always the same few."""
    counts = np.sort(np.bincount(lists[lists >= 0], minlength=n_items)).astype(np.float64)
    total = counts.sum()
    if total == 0:
        return 0.0
    n = len(counts)
    return float((2 * np.arange(1, n + 1) - n - 1) @ counts / (n * total))


def novelty(lists: Ints, popularity: npt.NDArray[Any]) -> float:
    """Mean surprise in bits, -log2 of an item's share of the past events, of what is shown.

    Args:
        lists: (Q, k) catalog rows; negative = an empty place.
        popularity: (N,) counts of past events; one is added to each.
    """
    surprise = -np.log2((popularity + 1.0) / (popularity.sum() + len(popularity)))
    shown = lists[lists >= 0]
    return float(surprise[shown].mean()) if len(shown) else 0.0


def diversity(lists: Ints, vectors: npt.NDArray[np.floating[Any]]) -> float:
    """Intra-list diversity: mean over slates of 1 - cosine of each pair of items.

    Args:
        lists: (Q, k) catalog rows; negative = an empty place.
        vectors: (N, D) unit rows; a zero row is passed over.
    """
    total, n_pairs = 0.0, 0.0
    has_vector: npt.NDArray[np.bool_] = np.any(vectors != 0, axis=1)
    for block in np.array_split(lists, max(1, len(lists) // 4096)):
        used = (block >= 0) & has_vector[np.maximum(block, 0)]
        chosen = vectors[np.maximum(block, 0)] * used[:, :, None]
        n = used.sum(axis=1).astype(np.float64)
        whole = np.square(chosen.sum(axis=1, dtype=np.float64)).sum(axis=1)  # incl. each itself
        total += float((n * (n - 1) - (whole - n)).sum())
        n_pairs += float((n * (n - 1)).sum())
    return total / n_pairs if n_pairs else 0.0


def rmse(predicted: Floats, observed: Floats) -> float:
    """Root mean squared error of predicted ratings; NaN without any."""
    return float(np.sqrt(np.mean(np.square(predicted - observed)))) if len(observed) else np.nan


def mae(predicted: Floats, observed: Floats) -> float:
    """Mean absolute error of predicted ratings; NaN without any."""
    return float(np.mean(np.abs(predicted - observed))) if len(observed) else np.nan


def _ratio(above: npt.NDArray[Any], below: npt.NDArray[Any]) -> Floats:
    """Element-wise quotient, 0 where nothing stands below."""
    quotient: Floats = np.divide(above, below, out=np.zeros(len(above)), where=below > 0)
    return quotient
