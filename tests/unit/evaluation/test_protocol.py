from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recsys.catalog import Catalog, catalog_from_items
from recsys.evaluation.baselines import POPULAR_WINDOWS_S, PopularReplay
from recsys.evaluation.fitting import MIN_QUERIES, fit_weights
from recsys.evaluation.protocol import (
    FROZEN,
    OURS,
    TREND,
    ask,
    new_systems,
    recommend,
    score_new,
    score_repeats,
    with_baselines,
    with_habits,
)
from recsys.evaluation.scene import Asked, Scene, parts_of, scene_of, stacked
from recsys.evaluation.split import Queries, time_at_share, time_queries
from recsys.evaluation.summary import (
    Outcome,
    by_activity,
    by_popularity,
    slates,
    summarise,
    target_counts,
)
from recsys.evaluation.touched import Touches
from recsys.events import EventArrays, event_arrays
from recsys.interest.model import ItemTable
from recsys.interest.zero_shot import ZeroShot, is_positive
from recsys.ranking import RankingWeights, default_weights
from recsys.settings import DAY_S, Settings, load
from recsys.testing.worlds import WorldSize, drift

K = 5
SETTINGS = load(
    assignments=[
        "interest.half_lives_s=[86400, 2592000]",
        "interest.negative_half_lives_s=[604800]",
        "trend.half_lives_s=[86400, 2592000]",
        "evaluation.n_bootstrap=20",
    ]
)


class Log:
    """A small world of switching tastes, cut at 80%."""

    def __init__(self, settings: Settings = SETTINGS) -> None:
        size = WorldSize(n_users=40, n_items=60, n_events=3_000, n_topics=6, n_dims=8)
        world = drift(size, np.random.default_rng(1))
        self.catalog: Catalog = catalog_from_items(world.items)
        self.vectors = world.item_vectors
        self.events: EventArrays = event_arrays(world.events, self.catalog.index)
        self.positive = is_positive(self.events.kind, self.events.value, settings.interest)
        weights = default_weights(settings.interest, settings.trend)
        half_lives_s = settings.trend.half_lives_s
        self.weights = replace(weights, own=np.array([1.0, 2.0], np.float32))
        model = ZeroShot(settings.interest, self.weights)
        log = (self.events, self.positive, self.catalog, ItemTable.all_warm(self.vectors))
        scene = scene_of(*log, model, half_lives_s)
        self.scene: Scene = replace(scene, own=self.weights.own)
        self.start = time_at_share(self.events.ts, 0.8)
        self.touches = Touches(self.events, settings.data.passive_kinds)
        self.queries = time_queries(self.events, self.positive, self.start)
        self.is_repeat = self.touches.is_repeat(self.queries)

    def kept(self, keep: np.ndarray) -> Queries:
        return self.queries.asking(keep)

    def new(self) -> Asked:
        asked = ask(self.events, self.scene, self.kept(~self.is_repeat), self.touches, SETTINGS)
        log = (self.events, self.scene, self.positive, SETTINGS, self.start)
        return with_baselines(asked, *log)

    def repeats(self) -> Asked:
        asked = ask(self.events, self.scene, self.kept(self.is_repeat), self.touches, SETTINGS)
        return with_habits(asked, self.events, self.positive, SETTINGS.interest.half_lives_s)


@pytest.fixture(scope="module")
def log() -> Log:
    return Log()


def _slow_popular(log: Log, as_of: float, window_s: float) -> np.ndarray:
    ts, item = log.events.ts, log.events.item
    counted = log.positive & (ts < as_of) & (ts >= as_of - window_s)
    return np.bincount(item[counted], minlength=len(log.catalog))


def _slow_trend(log: Log, as_of: float, until: float = np.inf) -> np.ndarray:
    total = np.zeros(len(log.catalog))
    for weight, half_life_s in zip(log.weights.trend, SETTINGS.trend.half_lives_s, strict=True):
        mass = np.zeros(len(log.catalog))
        for item, ts, good in zip(log.events.item, log.events.ts, log.positive, strict=True):
            if good and ts < min(as_of, until):
                mass[item] += 0.5 ** ((as_of - ts) / half_life_s)
        total += weight * np.log1p(mass)
    return total


def _slow_interest(log: Log, user: int, as_of: float, until: float = np.inf) -> np.ndarray:
    u = np.zeros(log.vectors.shape[1])
    own = log.events.user == user
    keep = own & (log.events.ts < min(as_of, until))
    importance = SETTINGS.interest.importance[str(log.events.kind[0])]
    for weight, half_life_s in zip(
        log.weights.interest, SETTINGS.interest.half_lives_s, strict=True
    ):
        decay = importance * 0.5 ** ((as_of - log.events.ts[keep]) / half_life_s)
        mass = decay.sum()
        if mass > 0:
            mean = decay @ log.vectors[log.events.item[keep]] / mass
            u += weight * mass / (mass + SETTINGS.interest.confidence_mass) * mean
    return log.vectors @ u


def test_every_system_ranks_as_its_slow_definition_says(log: Log) -> None:
    asked = log.new()
    found = score_new(log.scene, asked, K, log.start)
    systems = new_systems(log.start)
    queries = asked.queries
    for q in range(0, len(queries), 37):
        user, as_of = int(queries.user[q]), float(queries.as_of[q])
        seen = log.events.item[(log.events.user == user) & (log.events.ts < as_of)]
        allowed = ~np.isin(np.arange(len(log.catalog)), seen)
        trend = _slow_trend(log, as_of)
        slow = {
            OURS: _slow_interest(log, user, as_of) + trend,
            FROZEN: _slow_interest(log, user, as_of, log.start)
            + _slow_trend(log, as_of, log.start),
            TREND: trend,
            **{name: _slow_popular(log, as_of, w) for name, w in POPULAR_WINDOWS_S.items()},
        }
        assert found["n_candidates"][q] == allowed.sum()
        where = slice(queries.target_bounds[q], queries.target_bounds[q + 1])
        for name, scores in slow.items():
            order = np.argsort(np.where(allowed, -scores.round(4), np.inf), kind="stable")
            places = np.argsort(order)[queries.target[where]]
            ranks = found["ranks"][where, systems.index(name)]
            assert np.abs(ranks - places).max() <= 1, name  # rounding may swap neighbours


def test_slates_hold_what_the_ranks_say(log: Log) -> None:
    asked = log.new()
    found = score_new(log.scene, asked, K, log.start)
    query = asked.queries.target_query
    for s in range(found["ranks"].shape[1]):
        ranks = found["ranks"][:, s]
        inside = ranks < K
        listed = found["lists"][query[inside], s, ranks[inside]]
        assert listed.tolist() == asked.queries.target[inside].tolist()


def test_cutting_the_queries_into_parts_changes_nothing(log: Log) -> None:
    asked = log.new()
    whole = score_new(log.scene, asked, K, log.start)
    parts = [score_new(log.scene, part, K, log.start) for part in parts_of(asked, 7)]
    for name, values in stacked(parts).items():
        np.testing.assert_array_equal(values, whole[name])


def test_repeats_are_ranked_among_touched_items_by_habit(log: Log) -> None:
    asked = log.repeats()
    found = score_repeats(log.scene, asked)
    n_touched = np.diff(asked.seen_bounds)
    np.testing.assert_array_equal(found["n_candidates"], n_touched)
    assert (found["ranks"] < n_touched[asked.queries.target_query][:, None]).all()
    counts = asked.own_count
    assert counts is not None
    for q in range(0, len(asked), 11):
        run = slice(asked.seen_bounds[q], asked.seen_bounds[q + 1])
        rows, own = asked.seen[run], counts[run]
        best = rows[np.lexsort((rows, -own))]
        where = slice(asked.queries.target_bounds[q], asked.queries.target_bounds[q + 1])
        place = [int(np.flatnonzero(best == t)[0]) for t in asked.queries.target[where]]
        assert found["ranks"][where, 1].tolist() == place


def test_recommended_items_are_those_of_the_evaluated_slates(log: Log) -> None:
    asked = log.new()
    found = recommend(log.scene, asked, K)
    np.testing.assert_array_equal(
        found["rows"], score_new(log.scene, asked, K, log.start)["lists"][:, 0]
    )
    filled = found["rows"] >= 0
    assert (np.diff(found["scores"], axis=1)[filled[:, 1:]] <= 0).all()


def test_an_item_is_a_candidate_from_its_first_event_or_with_its_text(log: Log) -> None:
    silent = replace(log.catalog, titles=[""] * 60, texts=[""] * 60, categories=[()] * 60)
    scene = scene_of(
        log.events,
        log.positive,
        silent,
        log.scene.items,
        log.scene.model,
        (DAY_S, 30 * DAY_S),
    )
    first = np.array([log.events.ts[log.events.item == i].min() for i in range(60)])
    for as_of in (first[3], first[3] + 1e-3, log.start):
        np.testing.assert_array_equal(scene.candidates(as_of), first < as_of)
    assert log.scene.candidates(-1e12).all()


def test_popularity_counts_a_half_open_window() -> None:
    replay = PopularReplay(np.array([0, 1, 1, 2]), np.array([1.0, 2.0, 3.0, 9.0]), 3, 2.0)
    counts = []
    for now in (1.0, 3.0, 3.5, 9.0, 9.1):
        replay.advance_to(now)
        counts.append(replay.counts.tolist())
    assert counts == [[0, 0, 0], [1, 1, 0], [0, 2, 0], [0, 0, 0], [0, 0, 1]]


def test_the_chosen_weights_are_at_least_as_good_as_every_other_choice(log: Log) -> None:
    weights, figures = fit_weights(log.events, log.vectors, log.catalog, SETTINGS)
    assert figures["ndcg10"][figures["chosen"]] == max(figures["ndcg10"].values())
    assert figures["ndcg10"][figures["chosen"]] > figures["ndcg10"]["trend only"]
    assert weights.interest.sum() > 0
    assert len(weights.own) == 2
    assert weights.own.sum() > 0


def test_choosing_weights_twice_gives_the_same_weights(log: Log) -> None:
    first = fit_weights(log.events, log.vectors, log.catalog, SETTINGS)
    assert first[0] == fit_weights(log.events, log.vectors, log.catalog, SETTINGS)[0]


def test_too_few_events_leave_the_defaults(log: Log) -> None:
    few = replace(log.events, bounds=np.minimum(log.events.bounds, 30))
    short = replace(
        few,
        **{name: getattr(few, name)[:30] for name in ("user", "item", "kind", "ts", "value")},
    )
    weights, figures = fit_weights(short, log.vectors, log.catalog, SETTINGS)
    assert weights == default_weights(SETTINGS.interest, SETTINGS.trend)
    assert figures["chosen"] == "default"
    assert figures["n_queries"] < MIN_QUERIES


def test_weights_that_the_settings_fix_stand(log: Log) -> None:
    settings = SETTINGS.model_copy(
        update={"ranking": SETTINGS.ranking.model_copy(update={"trend": (0.25, 0.5)})}
    )
    weights, _ = fit_weights(log.events, log.vectors, log.catalog, settings)
    assert weights.trend.tolist() == [0.25, 0.5]


def _outcome(log: Log) -> Outcome:
    asked = log.new()
    result = score_new(log.scene, asked, K, log.start)
    return Outcome(asked.queries, new_systems(log.start), result, K).draw(SETTINGS.evaluation)


def test_strata_split_the_queries_and_the_targets(log: Log) -> None:
    outcome = _outcome(log)
    queries = outcome.queries
    history = queries.history_end - log.events.bounds[queries.user]
    activity = by_activity(outcome, history, SETTINGS.evaluation)
    whole = summarise(outcome)
    mean = sum(r["n_queries"] * r["systems"][OURS]["mean"] for r in activity) / len(queries)
    assert mean == pytest.approx(whole["systems"][OURS]["ndcg"]["mean"])
    counts = target_counts(queries, log.scene.item, log.scene.ts)
    slow = [
        int(((log.scene.item == t) & (log.scene.ts < queries.as_of[q])).sum())
        for t, q in zip(queries.target, queries.target_query, strict=True)
    ]
    assert counts.tolist() == slow
    assert len(by_popularity(outcome, counts, SETTINGS.evaluation)) > 0


def test_a_summary_compares_us_with_everybody_else(log: Log) -> None:
    outcome = _outcome(log)
    whole = summarise(outcome)
    assert set(whole["comparisons"]) == set(outcome.systems) - {OURS}
    shown = slates(outcome, log.vectors, np.ones(60))
    assert set(shown) == set(outcome.systems)
    assert all(0 <= found["coverage"] <= 1 for found in shown.values())


def test_weights_keep_their_habits_through_json() -> None:
    weights = RankingWeights(np.ones(2), np.ones(1), np.ones(2), np.ones(2))
    assert RankingWeights.from_dict(weights.as_dict()) == weights
