"""The quality benchmark scores as the protocol does; its splices, cuts and counts are right."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recsys.evaluation import protocol
from recsys.evaluation.baselines import DECAYED_MEAN, POPULAR_WINDOWS_S
from recsys.evaluation.scene import Scene, scene_of
from recsys.evaluation.split import Queries
from recsys.interest.model import ItemTable
from recsys.settings import Settings, load
from recsys.testing.models import random_interest
from recsys.testing.worlds import WorldSize, drift, news
from tests.benchmarks import quality
from tests.benchmarks.peers import exchange
from tests.benchmarks.quality_parts import drift as drift_part
from tests.benchmarks.quality_parts import kill, recovery
from tests.benchmarks.quality_parts.asked_peers import answers, folder_of
from tests.benchmarks.quality_parts.bench import Bench
from tests.benchmarks.quality_parts.cold import SHARE, drawn_items, without_past
from tests.benchmarks.quality_parts.judged import OURS, against, bootstrap_of, table, values_of
from tests.benchmarks.quality_parts.material import Log, of_world
from tests.benchmarks.quality_parts.others import (
    EASE,
    KNN,
    ZERO_SHOT,
    fit_others,
    narrowed,
    others,
)
from tests.benchmarks.quality_parts.staleness import items, users, weeks
from tests.benchmarks.quality_parts.systems import Ours, Popular, Ranked, System, by_time, rank

TINY = (
    "encoder.n_dims=8",
    "model.n_hidden=8",
    "train.n_epochs=1",
    "train.batch_events=512",
    "evaluation.n_bootstrap=50",
)


def _quiet(text: str) -> None:
    assert text


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load(assignments=TINY)


@pytest.fixture(scope="module")
def log(settings: Settings) -> Log:
    size = WorldSize(n_users=30, n_items=80, n_events=1_500)
    return of_world("news", news(size, np.random.default_rng(1)), settings)


@pytest.fixture(scope="module")
def queries(log: Log) -> Queries:
    return by_time(log.new_queries(log.split_time, 1_000))


def _scene(log: Log) -> Scene:
    """The log through a learned model of random weights, a third of whose items are cold."""
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(len(log.catalog), 8)).astype(np.float32)
    table_of_items = ItemTable(vectors, np.arange(len(vectors)) % 3 != 0)
    model = random_interest(log.settings, rng)
    lives = log.settings.trend.half_lives_s
    return scene_of(log.events, log.positive, log.catalog, table_of_items, model, lives)


def test_ours_and_popularity_have_the_ranks_of_the_protocol(log: Log, queries: Queries) -> None:
    scene, start, interest = _scene(log), log.split_time, log.settings.interest
    asked = protocol.ask(log.events, scene, queries, log.touches, log.settings)
    asked = protocol.with_baselines(asked, log.events, scene, log.positive, log.settings, start)
    expected = protocol.score_new(scene, asked, 5, start)
    systems: dict[str, System] = {
        protocol.OURS: Ours(log, scene, queries, interest),
        protocol.FROZEN: Ours(log, scene, queries, interest, frozen_at=start),
        **{name: Popular(scene, window_s) for name, window_s in POPULAR_WINDOWS_S.items()},
    }
    found = rank(log, scene, queries, systems, k=5)
    columns = [protocol.new_systems(start).index(name) for name in systems]
    assert len(queries) > 50
    np.testing.assert_array_equal(found.ranks, expected["ranks"][:, columns])
    np.testing.assert_array_equal(found.lists, expected["lists"][:, columns])
    np.testing.assert_array_equal(found.n_candidates, expected["n_candidates"])


def test_an_item_without_its_trend_is_scored_as_if_nobody_had_chosen_it(
    log: Log, queries: Queries
) -> None:
    scene = _scene(log)
    mute = np.arange(len(log.catalog)) % 2 == 0
    silent = replace(scene, item=scene.item[~mute[scene.item]], ts=scene.ts[~mute[scene.item]])
    interest = log.settings.interest
    muted = Ours(log, scene, queries, interest, mute=mute)
    alone = Ours(log, silent, queries, interest)
    for q in range(len(queries)):
        as_of = float(queries.as_of[q])
        np.testing.assert_allclose(
            muted.scores(q, as_of), alone.scores(q, as_of), rtol=1e-4, atol=1e-5
        )


def test_all_baselines_answer_every_query_from_what_came_before_the_split(
    log: Log, queries: Queries
) -> None:
    known, scene = narrowed(log, log.split_time), _scene(log)
    assert known.events.ts.max() < log.split_time
    found = others(log, scene, queries, fit_others(known))
    assert {EASE, KNN, ZERO_SHOT, DECAYED_MEAN} <= set(found)
    values = values_of(rank(log, scene, queries, found))
    assert values["popular-1-day"].mean() > values["popular-all-time"].mean()  # it is news
    assert all(0 <= value.mean() < 1 for value in values.values())
    assert values[DECAYED_MEAN].mean() > 0


def test_answers_of_peers_are_ranked_by_their_place_in_the_file(
    log: Log, queries: Queries, tmp_path: Path
) -> None:
    events, n_items = log.events, len(log.catalog)
    nothing = np.zeros(len(events), bool)
    theirs = exchange.Log(
        user_ids=events.user_ids,
        item_ids=log.catalog.item_ids[::-1],  # in an order of their own
        bounds=events.bounds,
        user=events.user.astype(np.int64),
        item=n_items - 1 - events.item.astype(np.int64),
        ts=events.ts,
        value=events.value,
        positive=log.positive,
        touches=~nothing,
        train=nothing,
        pilot=nothing,
        candidate_from=log.catalog.available_from,
        candidate_until=log.catalog.available_until,
    )
    some = queries.pick(np.arange(0, len(queries), 2))
    target = n_items - 1 - some.target
    exchange.write_log(tmp_path, theirs, events.kind)
    asked = exchange.Asked(some.user, some.as_of, some.history_end, some.target_bounds, target)
    exchange.write_asked(tmp_path, exchange.TEST, asked, theirs)
    best = target[some.target_bounds[:-1]][:, None]
    answer = (
        np.concatenate([best, np.full_like(best, -1)], axis=1),
        np.zeros((len(some), 2), "f4"),
    )
    exchange.write_answer(tmp_path, "oracle", answer, theirs, {})
    (tmp_path / exchange.SPLIT).write_text(json.dumps({"start": log.split_time}))
    kept, systems = answers(tmp_path, log, queries, _quiet)
    assert len(kept) == len(some)
    ranks = rank(log, _scene(log), kept, systems).ranks[kept.target_bounds[:-1], 0]
    assert np.mean(ranks == 0) > 0.9  # but where the first right answer is not to be had


def test_every_query_of_ours_is_put_to_the_peers(
    log: Log, queries: Queries, tmp_path: Path
) -> None:
    folder = folder_of(Bench((), 1, _quiet, peers=tmp_path), log)
    assert folder is not None
    theirs = exchange.read_log(folder)
    asked = exchange.read_asked(folder, exchange.TEST, theirs)
    assert len(asked) == len(queries)
    nothing = np.full((len(asked), 1), -1), np.zeros((len(asked), 1), np.float32)
    exchange.write_answer(folder, "silent", nothing, theirs, {})
    kept, systems = answers(folder, log, queries, _quiet)
    np.testing.assert_array_equal(kept.as_of, queries.as_of)
    assert list(systems) == ["silent"]
    elsewhere = log.only(log.events.ts < log.split_time)
    assert answers(folder, elsewhere, queries, _quiet)[1] == {}  # of another split


def test_cold_items_have_no_past_and_keep_their_future(log: Log) -> None:
    start = log.split_time
    cold = drawn_items(log, np.random.default_rng(2))
    left = without_past(log, cold, start)
    is_cold = cold[left.events.item]
    assert cold.sum() == pytest.approx(SHARE * len(np.unique(log.events.item)), abs=1)
    assert left.events.ts[is_cold].min() >= start
    assert is_cold.sum() == (cold[log.events.item] & (log.events.ts >= start)).sum()
    assert (~is_cold).sum() == (~cold[log.events.item]).sum()


def test_strata_count_every_query_once(log: Log, queries: Queries) -> None:
    start = log.split_time
    for parts in (weeks(queries, start), items(log, queries, start)):
        np.testing.assert_array_equal(sum(mask.astype(int) for mask in parts.values()), 1)
    known = users(log, queries, start)
    by_history = list(known.values())[:4]
    np.testing.assert_array_equal(sum(mask.astype(int) for mask in by_history), 1)
    assert not np.any(known["came after training"] & known["there before training"])


def test_a_spliced_user_has_one_past_and_another_future(settings: Settings) -> None:
    size = WorldSize(n_users=40, n_items=60, n_events=16_000, span_s=drift_part.SPAN_S)
    world = drift(size, np.random.default_rng(4))
    whole = of_world("drift", world, settings)
    start = whole.split_time
    found = drift_part.spliced(whole, world, start, np.random.default_rng(5))
    events, n_steps = found.log.events, drift_part.N_STEPS
    topic = world.truth["item_topic"][events.item]
    assert len(found.topic) > 10
    loyal_before, loyal_after = [], []
    for user, new in enumerate(found.topic):
        run = slice(events.bounds[user], events.bounds[user + 1])
        assert np.all(np.diff(events.ts[run]) >= 0)
        assert np.sum(events.ts[run] >= start) == n_steps
        loyal_after.append(np.mean(topic[run][-n_steps:] == new))
        loyal_before.append(np.mean(topic[run][:-n_steps][-drift_part.K :] == new))
    assert np.mean(loyal_after) > 0.8
    assert np.mean(loyal_before) < 0.4
    first = found.queries.pick(np.arange(n_steps + 1))
    assert first.history_end[0] == events.bounds[1] - n_steps
    assert first.history_end[-1] == events.bounds[1]
    assert np.all(events.ts[first.history_end - 1] < first.as_of)


def test_a_slate_follows_once_half_of_it_is_of_the_new_taste() -> None:
    n_steps = drift_part.N_STEPS
    slates = np.zeros((2 * (n_steps + 1), 1, 2), np.int32)
    slates[3 : n_steps + 1, 0, 1] = 1  # of the first user, after three events, one item of two
    share = drift_part.new_share(slates, np.array([0, 7]), np.array([7, 7]))
    np.testing.assert_array_equal(drift_part.events_to_follow(share[:, :, 0]), [3.0, np.inf])
    slates[2, 0, 1] = 1
    share = np.repeat(drift_part.new_share(slates, np.array([0, 7]), np.array([7, 7])), 3, axis=2)
    first = drift_part.events_to_follow(share[:, :, 0] / 2.0, least=0.0)
    np.testing.assert_array_equal(first, [2.0, np.inf])


def test_half_lives_are_matched_in_sorted_order() -> None:
    errors = recovery.relative_errors(np.array([30.0, 11.0]), np.array([10.0, 40.0]))
    np.testing.assert_allclose(errors, [0.1, 0.25])


def test_ours_is_held_against_the_best_of_the_others_with_a_paired_interval(
    settings: Settings,
) -> None:
    n = 200
    bounds = np.arange(n + 1)
    rows = Queries(
        np.arange(n), bounds[:-1].astype(np.float64), bounds[:-1], bounds, np.zeros(n, np.int64)
    )
    ranks = np.zeros((n, 3), np.int64)
    ranks[:, 1], ranks[:, 2] = 1, 3
    values = values_of(Ranked(rows, (OURS, "near", "far"), ranks, np.full(n, 50)))
    bootstrap = bootstrap_of(rows, settings.evaluation)
    found = against(values, bootstrap, ["far", "near"])
    assert found["best_other"] == "near"
    assert found["ratio"] == pytest.approx(np.log2(3))
    assert found["ratio_low"] == pytest.approx(found["ratio_high"])
    assert found["differences"]["far"]["low"] > 0
    assert list(table(values, bootstrap)) == [OURS, "near", "far"]


def test_parts_that_were_not_asked_for_are_null(tmp_path: Path) -> None:
    report = tmp_path / "chaos.json"
    report.write_text(json.dumps({"kill_ndcg_gap": 0.004}))
    figures = quality.run(["--parts", "kill", "--chaos", str(report)])
    assert figures["kill_ndcg_gap"] == 0.004
    assert [name for name in quality.FIGURES if figures[name] is not None] == ["kill_ndcg_gap"]
    assert kill.run(Bench(("movielens-100k",), 1, _quiet))["figures"] == {}


def test_recovery_reports_how_far_each_half_life_is_off() -> None:
    bench = Bench((), 2, _quiet, assignments=TINY, scale=0.01)
    found = recovery.run(bench)
    assert len(found["details"]["found_s"]) == 2
    assert found["figures"]["recovery_max_error"] == max(found["details"]["relative_errors"])
