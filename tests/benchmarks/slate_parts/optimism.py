"""Whether optimism pays: a world where items are born all the time, through an untrained model.

``weight`` is chosen on questions before the split; ``gain`` is NDCG@10 with it less without it
after the split, paired, of all questions and of those whose right answers nobody had chosen yet.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from recsys.coldstart.optimism import optimism_part
from recsys.coldstart.options import OptimismSettings
from recsys.evaluation.scene import Scene, scene_of
from recsys.evaluation.split import Queries, time_at_share, time_queries
from recsys.evaluation.summary import target_counts
from recsys.settings import Settings
from recsys.testing.worlds import WorldSize, news
from recsys.trend import TrendReplay
from tests.benchmarks.quality_parts.judged import bootstrap_of, values_of
from tests.benchmarks.quality_parts.material import Floats, Log, new_to_user, of_world
from tests.benchmarks.quality_parts.others import fit_others, narrowed
from tests.benchmarks.quality_parts.systems import Ours, System, by_time, rank

SIZE = WorldSize(n_users=600, n_items=1_200, n_events=30_000)
WEIGHTS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
N_QUERIES = 1_500
EARLIER = 0.6


class Hopeful:
    """A system with optimism.

    Args:
        inner: without it.
        log: says when items were born.
        scene: everybody's events.
        options: how much.
    """

    def __init__(self, inner: System, log: Log, scene: Scene, options: OptimismSettings) -> None:
        self._inner, self._catalog, self._options = inner, log.catalog, options
        ones, lives = np.ones(len(scene.ts)), scene.trend_half_lives_s[-1:]
        self._trend = TrendReplay(scene.item, scene.ts, ones, scene.n_items, lives)

    def scores(self, q: int, as_of: float) -> Floats:
        """See ``System.scores``."""
        self._trend.advance_to(as_of)
        born, says = self._catalog.available_from, self._catalog.has_text
        exposure = self._trend.mass()[:, 0]
        return self._inner.scores(q, as_of) + optimism_part(
            born, says, exposure, as_of, self._options
        )


def run() -> dict[str, Any]:
    """Measure one world."""
    settings = Settings()
    world = news(SIZE, np.random.default_rng(settings.evaluation.seed))
    log = of_world("news", world, settings)
    begin, split = time_at_share(log.events.ts, EARLIER), log.split_time
    earlier, _ = _asked(log, begin, split, WEIGHTS)
    weight = max(WEIGHTS, key=lambda one: float(earlier[_name(one)].mean()))
    values, queries = _asked(log, split, np.inf, tuple({0.0, weight, *WEIGHTS}))
    bootstrap = bootstrap_of(queries, settings.evaluation)
    ts = np.flatnonzero(log.positive & (log.events.item >= 0))
    counts = target_counts(queries, log.events.item[ts], log.events.ts[ts])
    is_new = np.bincount(queries.target_query, counts > 0, minlength=len(queries)) == 0
    plain, ours = values[_name(0.0)], values[_name(weight)]
    return {
        "optimism_weight": weight,
        "optimism_gain": bootstrap.compare(ours, plain),
        "optimism_gain_unchosen": round(float((ours - plain)[is_new].mean()), 5),
        "n_queries": len(queries),
        "n_unchosen": int(is_new.sum()),
        "earlier": {name: round(float(value.mean()), 5) for name, value in earlier.items()},
        "later": {name: round(float(value.mean()), 5) for name, value in values.items()},
        "later_unchosen": {n: round(float(v[is_new].mean()), 5) for n, v in values.items()},
    }


def _asked(
    log: Log, start: float, end: float, weights: tuple[float, ...]
) -> tuple[dict[str, Any], Queries]:
    """(Q,) NDCG@10 of each weight for questions in a time."""
    known = narrowed(log, end) if np.isfinite(end) else log
    queries = time_queries(known.events, known.positive, start)
    queries = by_time(new_to_user(known, queries, N_QUERIES))
    zero = fit_others(narrowed(log, start)).zero_shot
    assert zero is not None
    lives = log.settings.trend.half_lives_s
    scene = scene_of(known.events, known.positive, log.catalog, *zero, lives)
    systems: dict[str, System] = {}
    for weight in weights:
        inner = Ours(known, scene, queries, log.settings.interest)
        systems[_name(weight)] = Hopeful(inner, log, scene, OptimismSettings(weight=weight))
    return values_of(rank(known, scene, queries, systems)), queries


def _name(weight: float) -> str:
    return f"weight {weight:g}"
