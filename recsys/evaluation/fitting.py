"""The ranking weights are chosen on a validation tail: the latest events before the bundle.

Each query of the tail is replayed as it was, and a multinomial logit

    P(item) ~ exp( sum_h b_h c_h mean_h.v - sum_h b-_h c-_h mean-_h.v + sum_j w_j log(1 + mass_j) )

is fitted to what was chosen among drawn candidates, all weights at least 0 (L-BFGS-B). Likelihood
is not yet a good slate, so the fitted weights only stand if no simpler choice (each part alone, the
defaults) has a better NDCG@10 over all items of the same tail.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from recsys.catalog import Catalog
from recsys.errors import DataError
from recsys.evaluation.metrics import accuracy
from recsys.evaluation.protocol import ask, with_habits
from recsys.evaluation.ranks import ranks_of
from recsys.evaluation.scene import Asked, Bools, Crowd, Scene, scene_of
from recsys.evaluation.split import draw_queries, time_at_share, time_queries
from recsys.evaluation.touched import Touches
from recsys.events import EventArrays
from recsys.interest.model import ItemTable, TextTable, nobody
from recsys.interest.replay import ReplayQueries, replay_parts
from recsys.interest.zero_shot import ZeroShot, is_positive
from recsys.ranking import Floats, RankingWeights, default_weights, with_settings
from recsys.settings import Settings
from recsys.trend import trend_features

MIN_QUERIES = 50
"""Fewer queries than this choose nothing: the defaults stand."""

_N_DRAWN = 512
_MAX_CELLS = 100_000_000  # queries x items that are ranked to compare choices
_SHRINK = 1e-3
_MIN_SCALE = 0.01
_K = 10


@dataclass(frozen=True)
class _Logit:
    """Q choices among C candidates with F features; padded candidates have log weight -inf."""

    features: Floats  # (Q, C, F)
    log_weight: Floats  # (Q, C): minus the log of the expected number of draws
    chosen: Floats  # (Q, C): shares of the right answers, each query summing to 1


def fit_weights(
    events: EventArrays,
    vectors: Floats,
    catalog: Catalog,
    settings: Settings,
    texts: TextTable | None = None,
) -> tuple[RankingWeights, dict[str, Any]]:
    """Choose the ranking weights from the latest events given.

    Args:
        events: everything the bundle may know.
        vectors: (N, D) item vectors.
        catalog: N items.
        settings: the banks, ``ranking.validation_share``, the positive kinds, the seed.
        texts: what the events' words are; None = words are passed over.

    Returns:
        The weights (those that the settings fix stand as given), and how they were chosen:
        ``chosen``, ``n_queries``, ``ndcg10`` of each choice on the tail.
    """
    defaults = default_weights(settings.interest, settings.trend)
    positive = is_positive(events.kind, events.value, settings.interest)
    try:
        tail = _Tail.of(events, positive, catalog, (vectors, texts), settings)
    except DataError:  # there is no time from which a tail could begin
        tail = None
    if tail is None or len(tail.new) < MIN_QUERIES:
        n_queries = 0 if tail is None else len(tail.new)
        figures = {"chosen": "default", "n_queries": n_queries, "n_needed": MIN_QUERIES}
        return with_settings(defaults, settings.ranking), figures
    choices = _choices(tail, defaults)
    found = _tail_ndcg(tail, choices)
    best = max(found, key=lambda name: found[name])  # of equals the first: the fitted one
    own, n_repeats = _fit_own(tail, choices[best])
    weights = with_settings(replace(choices[best], own=own), settings.ranking)
    figures = {
        "chosen": best,
        "n_queries": len(tail.new),
        "n_repeat_queries": n_repeats,
        "tail_start": tail.start,
        "ndcg10": found,
    }
    return weights, figures


@dataclass(frozen=True)
class _Tail:
    """The validation queries."""

    scene: Scene
    new: Asked
    repeats: Asked
    parts: Floats  # (Q, H + Hn, D) signed parts of the query vectors of ``new``
    repeat_parts: Floats  # the same of ``repeats``
    settings: Settings
    start: float
    rng: np.random.Generator

    @classmethod
    def of(
        cls,
        events: EventArrays,
        positive: Bools,
        catalog: Catalog,
        known: tuple[Floats, TextTable | None],
        settings: Settings,
    ) -> _Tail:
        vectors, texts = known
        rng = np.random.default_rng(settings.evaluation.seed)
        start = time_at_share(events.ts, 1.0 - settings.ranking.validation_share)
        queries = time_queries(events, positive, start)
        touches = Touches(events, settings.data.passive_kinds)
        repeat = touches.is_repeat(queries)
        model = ZeroShot(settings.interest, default_weights(settings.interest, settings.trend))
        log = (events, positive, catalog, ItemTable.all_warm(vectors), model)
        scene = replace(scene_of(*log, settings.trend.half_lives_s), texts=texts)
        n_max = settings.ranking.n_validation_queries
        both = []
        for keep in (~repeat, repeat):
            kept = queries.asking(keep)
            both.append(ask(events, scene, draw_queries(kept, n_max, rng), touches, settings))
        new, repeats = both
        parts, repeat_parts = (_parts(events, scene, some) for some in both)
        repeats = with_habits(repeats, events, positive, settings.interest.half_lives_s)
        return cls(scene, new, repeats, parts, repeat_parts, settings, start, rng)


def _parts(events: EventArrays, scene: Scene, asked: Asked) -> Floats:
    """(Q, H + Hn, D) what each half-life adds to the query vectors, per unit of its weight."""
    moments = ReplayQueries(asked.queries.user, asked.queries.history_end, asked.queries.as_of)
    assert isinstance(scene.model, ZeroShot)
    good, bad = replay_parts(events, moments, scene.model, scene.items, scene.texts)
    return np.concatenate([good, -bad], axis=1)


def _choices(tail: _Tail, defaults: RankingWeights) -> dict[str, RankingWeights]:
    """All weights that are compared, the fitted ones first."""
    n_good, n_bad, n_trend = (len(getattr(defaults, k)) for k in ("interest", "negative", "trend"))
    cuts = [n_good, n_good + n_bad]
    logit = _drawn(tail)
    width = n_good + n_bad + n_trend

    def weights(values: npt.NDArray[Any]) -> RankingWeights:
        return RankingWeights(*np.split(values.astype(np.float32), cuts))

    whole = _fit(logit, np.arange(width))
    taste, crowd = whole.copy(), whole.copy()
    taste[cuts[1] :] = 0.0
    crowd[: cuts[1]] = 0.0
    choices = {"fitted": whole}
    for scale in (0.5, 2.0):
        choices[f"fitted, interest x {scale:g}"] = scale * taste + crowd
    choices["interest only"] = taste
    choices["trend only"] = _fit(logit, np.arange(cuts[1], width))
    for j, half_life_s in enumerate(tail.settings.trend.half_lives_s):
        name = f"trend of {half_life_s / 86_400.0:g} days"
        alone = np.eye(width)[cuts[1] + j]
        choices[f"{name} only"] = alone
        choices[f"interest + {name}"] = taste + alone
    return {**{name: weights(values) for name, values in choices.items()}, "default": defaults}


def _drawn(tail: _Tail) -> _Logit:
    """Right answers and drawn candidates of each query: half uniform, half by popularity."""
    scene, new, n_items = tail.scene, tail.new, tail.scene.n_items
    n_drawn = min(_N_DRAWN, n_items)
    past = scene.item[: np.searchsorted(scene.ts, tail.start)]
    popular = np.bincount(past, minlength=n_items) + 1.0
    chance = 0.5 / n_items + 0.5 * popular / popular.sum()
    ladder = np.cumsum(chance) / chance.sum()
    widest = int(np.diff(new.queries.target_bounds).max())
    width = n_drawn + widest
    n_features = tail.parts.shape[1] + len(scene.trend_half_lives_s)
    features = np.zeros((len(new), width, n_features), np.float32)
    log_weight = np.full((len(new), width), -np.inf, np.float32)
    chosen = np.zeros((len(new), width), np.float32)
    trend = scene.trend()
    for q in range(len(new)):
        as_of = float(new.queries.as_of[q])
        target = new.queries.target[new.queries.target_bounds[q] : new.queries.target_bounds[q + 1]]
        allowed = scene.candidates(as_of)
        allowed[new.seen[new.seen_bounds[q] : new.seen_bounds[q + 1]]] = False
        allowed[target] = False
        draw = np.searchsorted(ladder, tail.rng.random(n_drawn), side="right")
        rows = np.concatenate([target, draw])
        trend.advance_to(as_of)
        n = len(rows)
        trends = trend_features(trend.mass()[rows])
        features[q, :n] = _features(tail.parts[q], scene.items.vectors[rows], trends)
        log_weight[q, :n] = -np.log(n_drawn * chance[rows])
        log_weight[q, :n][len(target) :][~allowed[draw]] = -np.inf
        log_weight[q, : len(target)] = 0.0
        chosen[q, : len(target)] = 1.0 / len(target)
    return _Logit(features, log_weight, chosen)


def _features(parts: Floats, vectors: Floats, trend: Floats) -> Floats:
    """(n, F) features of some items: their likeness to each part, then their trends."""
    return np.concatenate([vectors @ parts.T, trend], axis=1)


def _fit(logit: _Logit, columns: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """(F,) the non-negative weights of greatest likelihood; 0 outside ``columns``."""
    n_queries = len(logit.features)
    features = np.ascontiguousarray(logit.features[:, :, columns]).reshape(-1, len(columns))
    right = logit.chosen.ravel() @ features / n_queries

    def loss(weights: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        total = features @ weights.astype(np.float32)
        total = total.reshape(n_queries, -1) + logit.log_weight
        highest = total.max(axis=1, keepdims=True)
        share = np.exp(total - highest)
        norm = share.sum(axis=1, keepdims=True)
        expected = (share / norm).ravel() @ features / n_queries
        value = float((np.log(norm) + highest).mean() - right @ weights)
        penalty = _SHRINK * weights
        return value + float(penalty @ weights), (expected - right + 2 * penalty).astype(np.float64)

    start, bounds = np.full(len(columns), 0.1), [(0.0, None)] * len(columns)
    options = {"maxiter": 100}
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    weights = np.zeros(logit.features.shape[2])
    weights[columns] = found.x
    return weights


def _tail_ndcg(tail: _Tail, choices: dict[str, RankingWeights]) -> dict[str, float]:
    """NDCG@10 of each choice, ranking all items for as many queries as time allows."""
    scene, new = tail.scene, tail.new
    n_queries = min(len(new), max(MIN_QUERIES, _MAX_CELLS // scene.n_items))
    picked = np.linspace(0, len(new) - 1, n_queries).astype(int)
    table = np.stack(
        [np.concatenate([w.interest, w.negative, w.trend]) for w in choices.values()], axis=1
    )
    ranks = []
    trend = scene.trend()
    for q in picked:
        as_of = float(new.queries.as_of[q])
        trend.advance_to(as_of)
        allowed = scene.candidates(as_of)
        allowed[new.seen[new.seen_bounds[q] : new.seen_bounds[q + 1]]] = False
        target = new.queries.target[new.queries.target_bounds[q] : new.queries.target_bounds[q + 1]]
        scores = _features(tail.parts[q], scene.items.vectors, trend.features()) @ table
        columns = np.ascontiguousarray(scores.T)
        ranks.append(np.stack([ranks_of(column, allowed, target) for column in columns], axis=1))
    bounds = np.concatenate([[0], np.cumsum([len(r) for r in ranks])])
    whole = np.concatenate(ranks)
    n_candidates = np.full(n_queries, scene.n_items)
    return {
        name: float(accuracy(whole[:, i], bounds, n_candidates, _K)["ndcg"].mean())
        for i, name in enumerate(choices)
    }


def _fit_own(tail: _Tail, weights: RankingWeights) -> tuple[Floats, int]:
    """Weights of the users' own habits, beside a given score, and the number of queries behind.

    The score gets a weight too; habits are told in its units, so that it can stand as it is.
    """
    repeats = tail.repeats
    if len(repeats) < MIN_QUERIES or repeats.own is None:
        return np.zeros(0, np.float32), len(repeats)
    n_habits = repeats.own.shape[1]
    width = int(np.diff(repeats.seen_bounds).max())
    features = np.zeros((len(repeats), width, n_habits + 1), np.float32)
    log_weight = np.full((len(repeats), width), -np.inf, np.float32)
    chosen = np.zeros((len(repeats), width), np.float32)
    taste = np.concatenate([weights.interest, weights.negative])
    u = np.einsum("f,qfd->qd", taste, tail.repeat_parts)
    everybody = ZeroShot(tail.settings.interest, weights)
    query = nobody(everybody, tail.settings.interest, tail.scene.items.n_dims)
    crowd = Crowd(tail.scene, query.uses_trend, popular=False)
    for q in range(len(repeats)):
        run = slice(repeats.seen_bounds[q], repeats.seen_bounds[q + 1])
        rows, n = repeats.seen[run], len(repeats.seen[run])
        bounds = repeats.queries.target_bounds
        target = repeats.queries.target[bounds[q] : bounds[q + 1]]
        crowd.advance_to(float(repeats.queries.as_of[q]))
        features[q, :n, :n_habits] = repeats.own[run]
        features[q, :n, n_habits] = crowd.trend(query)[rows] + tail.scene.items.vectors[rows] @ u[q]
        log_weight[q, :n] = 0.0
        chosen[q, :n] = np.isin(rows, target) / len(target)
    fitted = _fit(_Logit(features, log_weight, chosen), np.arange(n_habits + 1))
    return (fitted[:-1] / max(fitted[-1], _MIN_SCALE)).astype(np.float32), len(repeats)
