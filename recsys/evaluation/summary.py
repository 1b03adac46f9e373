"""The summary: per-query results become means with intervals, comparisons and strata."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.evaluation import metrics
from recsys.evaluation.intervals import UserBootstrap
from recsys.evaluation.protocol import OURS, Result
from recsys.evaluation.split import Queries
from recsys.settings import EvaluationSettings

Ints = npt.NDArray[np.int64]

HEADLINE = "ndcg"


@dataclass(frozen=True)
class Outcome:
    """What some systems answered to Q queries."""

    queries: Queries
    systems: tuple[str, ...]
    result: Result
    """``ranks`` (M, S), ``n_candidates`` (Q,) and, for slates, ``lists`` (Q, S, k)."""
    k: int
    bootstrap: UserBootstrap = field(init=False)

    def draw(self, settings: EvaluationSettings) -> Outcome:
        """Draw the users' resamples."""
        rng = np.random.default_rng(settings.seed)
        found = UserBootstrap(self.queries.user, settings.n_bootstrap, rng)
        object.__setattr__(self, "bootstrap", found)
        return self

    def accuracy(self, system: str) -> dict[str, npt.NDArray[np.float64]]:
        """Metric -> (Q,) of one system."""
        ranks = self.result["ranks"][:, self.systems.index(system)]
        bounds, n_candidates = self.queries.target_bounds, self.result["n_candidates"]
        return metrics.accuracy(ranks, bounds, n_candidates, self.k)


def summarise(outcome: Outcome) -> dict[str, Any]:
    """Every system's metrics with intervals, and ours compared with each of the others.

    Returns:
        ``n_queries``, ``n_targets``, ``n_users``, ``systems`` {name: {metric: {mean, low, high}}}
        and ``comparisons`` {name: {mean, low, high, p}}: our NDCG less theirs, paired.
    """
    values = {name: outcome.accuracy(name) for name in outcome.systems}
    bootstrap = outcome.bootstrap
    return {
        "k": outcome.k,
        "n_queries": len(outcome.queries),
        "n_targets": len(outcome.queries.target),
        "n_users": bootstrap.n_users,
        "systems": {
            name: {m: bootstrap.interval(v).as_dict() for m, v in found.items()}
            for name, found in values.items()
        },
        "comparisons": {
            name: bootstrap.compare(values[OURS][HEADLINE], found[HEADLINE])
            for name, found in values.items()
            if name != OURS
        },
    }


def slates(
    outcome: Outcome, vectors: npt.NDArray[np.float32], popularity: npt.NDArray[Any]
) -> dict[str, dict[str, float]]:
    """What the slates look like beside being right: name -> coverage, novelty, diversity, gini.

    Args:
        outcome: with ``lists``.
        vectors: (N, D).
        popularity: (N,) counts of the events before the split.
    """
    found = {}
    for s, name in enumerate(outcome.systems):
        lists = outcome.result["lists"][:, s]
        found[name] = {
            "coverage": metrics.coverage(lists, len(vectors)),
            "novelty_bits": metrics.novelty(lists, popularity),
            "diversity": metrics.diversity(lists, vectors),
            "gini": metrics.gini(lists, len(vectors)),
        }
    return found


def by_activity(
    outcome: Outcome, n_history: Ints, settings: EvaluationSettings
) -> list[dict[str, Any]]:
    """The headline metric by how much was known of the user: (Q,) events in the history."""
    return _strata(outcome, n_history, (0, 1, 10, 50, 200), "events", settings)


def by_popularity(
    outcome: Outcome, target_count: Ints, settings: EvaluationSettings
) -> list[dict[str, Any]]:
    """The headline metric by how often the right answers (M,) had been chosen before."""
    rows = []
    edges = (0, 1, 10, 100, 1000)
    for label, low, high in _bands(edges, "times chosen"):
        keep = (target_count >= low) & (target_count < high)
        kept = outcome.queries.with_targets(keep)
        some = np.flatnonzero(np.diff(kept.target_bounds))
        if len(some) > 0:
            part = {
                "ranks": outcome.result["ranks"][keep],
                "n_candidates": outcome.result["n_candidates"][some],
            }
            stratum = Outcome(kept.pick(some), outcome.systems, part, outcome.k)
            rows.append(_row(label, stratum.draw(settings)))
    return rows


def target_counts(
    queries: Queries, item: npt.NDArray[np.integer[Any]], ts: npt.NDArray[np.float64]
) -> Ints:
    """(M,) how many of the time-sorted events chose each target before its query."""
    order = np.lexsort((ts, item))
    item, ts = item[order], ts[order]
    first = np.searchsorted(item, queries.target)
    as_of = queries.as_of[queries.target_query]
    stop = np.searchsorted(item, queries.target, side="right")
    counts = [int(np.searchsorted(ts[a:b], t)) for a, b, t in zip(first, stop, as_of, strict=True)]
    return np.array(counts, np.int64)


def _strata(
    outcome: Outcome, value: Ints, edges: Sequence[int], unit: str, settings: EvaluationSettings
) -> list[dict[str, Any]]:
    rows = []
    for label, low, high in _bands(edges, unit):
        some = np.flatnonzero((value >= low) & (value < high))
        if len(some) > 0:
            targets = np.isin(outcome.queries.target_query, some)
            part = {
                "ranks": outcome.result["ranks"][targets],
                "n_candidates": outcome.result["n_candidates"][some],
            }
            stratum = Outcome(outcome.queries.pick(some), outcome.systems, part, outcome.k)
            rows.append(_row(label, stratum.draw(settings)))
    return rows


def _row(label: str, stratum: Outcome) -> dict[str, Any]:
    return {
        "label": label,
        "n_queries": len(stratum.queries),
        "systems": {
            name: stratum.bootstrap.interval(stratum.accuracy(name)[HEADLINE]).as_dict()
            for name in stratum.systems
        },
    }


def _bands(edges: Sequence[int], unit: str) -> list[tuple[str, float, float]]:
    """``(label, low, high)`` of half-open bands; the last one has no end."""
    bands = []
    for low, high in zip(edges, [*edges[1:], None], strict=True):
        if high is None:
            bands.append((f"{low}+ {unit}", float(low), float("inf")))
        else:
            label = f"{low}" if high == low + 1 else f"{low}-{high - 1}"
            bands.append((f"{label} {unit}", float(low), float(high)))
    return bands
