"""Figures of slates: how right, how unlike, how much of the catalog, and who is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.evaluation import metrics
from recsys.evaluation.intervals import UserBootstrap
from recsys.evaluation.split import Queries
from recsys.ranking import Floats

Ints = npt.NDArray[np.integer[Any]]

N_GROUPS = 10


def ndcg_of_lists(lists: Ints, queries: Queries) -> npt.NDArray[np.float64]:
    """(Q,) NDCG@k of slates (Q, k), of which places below 0 are empty; targets beyond count 0."""
    query, k = queries.target_query, lists.shape[1]
    hit = lists[query] == queries.target[:, None]  # (M, k)
    below = k + np.arange(len(query))  # distinct in one query
    ranks = np.where(hit.any(axis=1), hit.argmax(axis=1), below)
    n_candidates = np.full(len(queries), k + len(query))
    return metrics.accuracy(ranks, queries.target_bounds, n_candidates, k)["ndcg"]


def exposure(lists: Ints, popularity: npt.NDArray[Any]) -> list[float]:
    """Share of the places that goes to each tenth of the catalog, the most popular tenth first.

    Args:
        lists: (Q, k) catalog rows; negative = an empty place.
        popularity: (N,) counts of past events; of equals the lower row is the more popular.
    """
    n = len(popularity)
    rank = np.empty(n, np.int64)
    rank[np.argsort(-np.asarray(popularity, np.float64), kind="stable")] = np.arange(n)
    shown = lists[lists >= 0]
    tenth = rank[shown] * N_GROUPS // max(n, 1)
    counts = np.bincount(tenth, minlength=N_GROUPS) / max(len(shown), 1)
    return [float(share) for share in counts]


def category_exposure(
    lists: Ints, category_rows: Sequence[Ints], n_categories: int
) -> npt.NDArray[np.float64]:
    """Share of the places that goes to each category; of several an item brings even parts.

    Args:
        lists: (Q, k) catalog rows; negative = an empty place.
        category_rows: (N,) the categories of each item.
        n_categories: C.

    Returns:
        (C,) of sum 1, or less where items have no category.
    """
    rows, times = np.unique(lists[lists >= 0], return_counts=True)
    found = np.zeros(n_categories)
    for row, n in zip(rows.tolist(), times.tolist(), strict=True):
        of = category_rows[row]
        found[of] += n / max(len(of), 1)
    return found / max(int(times.sum()), 1)


def composition_figures(
    names: Sequence[str],
    lists: Ints,
    queries: Queries,
    popularity: npt.NDArray[Any],
    directions: Floats,
    bootstrap: UserBootstrap,
) -> dict[str, dict[str, Any]]:
    """Every variant beside the first.

    Args:
        names: V of them.
        lists: (Q, V, k).
        queries: Q.
        popularity: (N,) counts of the events before the split.
        directions: (N, D) item vectors at length 1.
        bootstrap: of the users of the queries.

    Returns:
        name -> ``ndcg`` {mean, low, high}, ``less_first`` {mean, low, high, p}: NDCG less that of
        the first, paired; ``diversity``, ``coverage``, ``exposure`` by tenths of popularity, and
        ``n_short`` slates with empty places.
    """
    values = [ndcg_of_lists(lists[:, v], queries) for v in range(len(names))]
    return {
        name: {
            "ndcg": bootstrap.interval(values[v]).as_dict(),
            "less_first": bootstrap.compare(values[v], values[0]),
            "diversity": metrics.diversity(lists[:, v], directions),
            "coverage": metrics.coverage(lists[:, v], len(directions)),
            "exposure": exposure(lists[:, v], popularity),
            "n_short": int((lists[:, v] < 0).any(axis=1).sum()),
        }
        for v, name in enumerate(names)
    }


def curve_figures(
    found: Mapping[str, Mapping[str, Any]], base: str, curves: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, Any]]:
    """Accuracy against diversity, along the variants of one step.

    Args:
        found: ``composition_figures``.
        base: the variant that gains are told against.
        curves: name of a step -> its variants by rising trade-off.

    Returns:
        ``curves`` {step: [[NDCG, diversity]]} and ``diversity_gain_at_1pct`` {step: relative gain;
        None where the base is right nowhere}.
    """
    at = {name: (figures["ndcg"]["mean"], figures["diversity"]) for name, figures in found.items()}
    points = {step: [at[name] for name in names] for step, names in curves.items()}
    is_sound = min(at[base]) > 0
    return {
        "curves": {step: [list(point) for point in line] for step, line in points.items()},
        "diversity_gain_at_1pct": {
            step: diversity_gain(at[base], line) if is_sound else None
            for step, line in points.items()
        },
    }


def diversity_gain(
    base: tuple[float, float], curve: Sequence[tuple[float, float]], cost: float = 0.01
) -> float:
    """Relative gain of diversity that costs a share of accuracy at most, along a curve.

    Args:
        base: (accuracy, diversity) of what is compared with; both positive.
        curve: (accuracy, diversity) by rising trade-off; between two points it is a line.
        cost: largest share of the base's accuracy that is lost.

    Returns:
        The largest gain on the curve within the cost; 0.0 where every point costs more.

    >>> round(diversity_gain((0.2, 0.5), [(0.2, 0.6), (0.196, 0.7)], cost=0.01), 6)
    0.3
    """
    floor = base[0] * (1.0 - cost)
    best, before = base[1], base
    for point in curve:
        if point[0] >= floor:
            best = max(best, point[1])
        if (point[0] - floor) * (before[0] - floor) < 0:
            share = (before[0] - floor) / (before[0] - point[0])
            best = max(best, before[1] + share * (point[1] - before[1]))
        before = point
    return best / base[1] - 1.0
