from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recsys.catalog import Catalog
from recsys.evaluation.metrics import accuracy
from recsys.evaluation.ranks import ranks_of
from recsys.evaluation.scene import scene_of
from recsys.evaluation.split import time_queries
from recsys.evaluation.touched import Touches
from recsys.events import EventArrays
from recsys.interest.model import ItemTable
from recsys.interest.zero_shot import ZeroShot, is_positive
from recsys.ranking import default_weights
from recsys.settings import load
from tests.benchmarks.peers import exchange
from tests.benchmarks.peers.asking import Vocabulary, answers, candidates, ndcg
from tests.benchmarks.peers.exchange import Asked, Floats, Log
from tests.benchmarks.peers.figures import Answers, ranks_in, values_of
from tests.benchmarks.peers.grids import SEQUENCES, SYSTEMS, points
from tests.benchmarks.peers.ours import OURS, answered
from tests.benchmarks.peers.writing import Asking, Record, as_asked, asking, write_folder

N_USERS, N_EVENTS, N_ITEMS = 30, 20, 60


@pytest.fixture
def record(rng: np.random.Generator) -> Record:
    """Walks among items; some events are impressions or low ratings, one item comes late."""
    shape = (N_USERS, N_EVENTS)
    item = (np.cumsum(rng.integers(1, 4, shape), axis=1) + rng.integers(0, 9, (N_USERS, 1))) % 60
    kind = rng.choice(["rating", "click", "impression"], shape, p=[0.5, 0.4, 0.1]).astype(object)
    value = np.where(kind == "rating", rng.integers(1, 6, shape), np.nan).astype(np.float64)
    ts = np.sort(rng.integers(1_000_000, 1_002_000, shape), axis=1).astype(np.float64)
    events = EventArrays(
        user_ids=[f"u{u:02d}" for u in range(N_USERS)],
        bounds=np.arange(N_USERS + 1, dtype=np.int64) * N_EVENTS,
        user=np.repeat(np.arange(N_USERS), N_EVENTS).astype(np.int32),
        item=np.where(rng.random(shape) < 0.03, -1, item).ravel().astype(np.int32),
        kind=kind.ravel(),
        ts=ts.ravel(),
        value=value.ravel(),
    )
    settings = load(assignments=["evaluation.n_bootstrap=50"])
    blank, late = [""] * N_ITEMS, np.full(N_ITEMS, -np.inf)
    late[7] = 1_001_500.0
    ids, ends = [f"i{i:02d}" for i in range(N_ITEMS)], np.full(N_ITEMS, np.inf)
    catalog = Catalog(ids, blank, blank, [()] * N_ITEMS, late, ends)
    positive = is_positive(events.kind, events.value, settings.interest)
    items = ItemTable.all_warm(np.zeros((N_ITEMS, 1), np.float32))
    model = ZeroShot(settings.interest, default_weights(settings.interest, settings.trend))
    scene = scene_of(events, positive, catalog, items, model, settings.trend.half_lives_s)
    touches = Touches(events, settings.data.passive_kinds)
    return Record(events, positive, catalog, scene, touches, settings)


def _written(record: Record, split: str, folder: Path) -> tuple[Asking, Log, Asked]:
    asked = asking(record, split)
    log = write_folder(folder, record, asked)
    return asked, log, as_asked(asked.queries)


class _Backwards:
    """Scores an item by minus its row; knows nothing of the last ten."""

    def fit(self, log: Log, learned: np.ndarray) -> None:
        """Nothing is learned."""

    def scores(self, log: Log, asked: Asked, rows: slice) -> Floats:
        n = len(range(*rows.indices(len(asked))))
        scores = np.tile(-np.arange(N_ITEMS, dtype=np.float32) - 1, (n, 1))
        scores[:, -10:] = -np.inf
        return scores


@pytest.mark.parametrize("split", ["time:0.7", "loo", "loo-strict"])
def test_what_is_read_is_what_was_written(record: Record, split: str, tmp_path: Path) -> None:
    asked, log, test = _written(record, split, tmp_path)
    again = exchange.read_log(tmp_path)
    for name, value in vars(log).items():
        np.testing.assert_array_equal(getattr(again, name), value, err_msg=name)
    for phase, queries in ((exchange.TEST, test), (exchange.VALIDATION, as_asked(asked.tail))):
        for name, value in vars(exchange.read_asked(tmp_path, phase, again)).items():
            np.testing.assert_array_equal(value, getattr(queries, name), err_msg=name)


@pytest.mark.parametrize("split", ["time:0.7", "loo", "loo-strict"])
def test_nothing_is_learned_that_is_asked_for(record: Record, split: str, tmp_path: Path) -> None:
    asked, log, test = _written(record, split, tmp_path)
    assert not np.any(asked.pilot & ~asked.train)
    for queries, learned in ((test, asked.train), (as_asked(asked.tail), asked.pilot)):
        for q in range(len(queries)):
            rest = slice(int(queries.end[q]), int(log.bounds[queries.user[q] + 1]))
            later = learned[rest] & (log.ts[rest] >= queries.ts[q])
            assert not later.any()
            assert np.all(log.ts[int(log.bounds[queries.user[q]]) : rest.start] <= queries.ts[q])


def test_the_queries_of_a_time_split_are_those_of_the_protocol(record: Record) -> None:
    asked = asking(record, "time:0.7")
    assert asked.start is not None
    expected = time_queries(record.events, record.positive, asked.start)
    new = expected.with_targets(~record.touches.is_repeat(expected))
    assert len(asked.queries.target) == len(new.target)
    assert np.all(np.diff(asked.queries.as_of) >= 0)
    assert not record.touches.is_repeat(asked.queries).any()


def test_a_candidate_is_new_to_the_user_and_can_be_had(record: Record, tmp_path: Path) -> None:
    _, log, test = _written(record, "time:0.7", tmp_path)
    for q in range(len(test)):
        allowed = candidates(log, test, q)
        expected = record.scene.candidates(float(test.ts[q]))
        one = (test.user[q : q + 1], test.end[q : q + 1])
        expected[record.touches.before(*one)[1]] = False
        np.testing.assert_array_equal(allowed, expected)


def test_answers_are_the_best_candidates_and_their_ranks_those_of_our_metrics(
    record: Record, tmp_path: Path
) -> None:
    asked, log, test = _written(record, "time:0.7", tmp_path)
    answer = answers(_Backwards(), log, test, asked.train)
    exchange.write_answer(tmp_path, "backwards", answer, log, {"chosen": {}})
    rows = exchange.read_answer(tmp_path, "backwards", log, len(test))
    np.testing.assert_array_equal(rows, answer[0])
    scores = _Backwards().scores(log, test, slice(0, 1))[0]
    ranks, known, found = [], [], ranks_in(rows, test)
    for q in range(len(test)):
        target = test.target[test.target_bounds[q] : test.target_bounds[q + 1]]
        allowed = candidates(log, test, q)
        ranks.append(ranks_of(scores, allowed, target))
        known.append(allowed[target] & (target < N_ITEMS - 10))
    whole = np.concatenate(ranks)
    listed = found < exchange.N_RANKED
    np.testing.assert_array_equal(found[listed], whole[listed])
    np.testing.assert_array_equal(listed, np.concatenate(known))
    whole[~listed] = 1 << 30
    expected = accuracy(whole, test.target_bounds, np.full(len(test), N_ITEMS), 10)["ndcg"].mean()
    assert values_of(found, test, N_ITEMS)["ndcg10"].mean() == pytest.approx(expected)
    assert ndcg(rows, test) == pytest.approx(expected)


def test_a_peer_that_has_nothing_to_say_answers_with_what_is_popular(
    record: Record, tmp_path: Path
) -> None:
    asked, log, test = _written(record, "time:0.7", tmp_path)

    class Silent(_Backwards):
        def scores(self, log: Log, asked: Asked, rows: slice) -> Floats:
            return 0.0 * super().scores(log, asked, rows)[:, ::-1].clip(-1e9)

    rows, _ = answers(Silent(), log, test, asked.train)
    counted = record.positive & asked.train & (log.item >= 0)
    popular = np.bincount(log.item[counted], minlength=N_ITEMS).astype(float)
    popular[~candidates(log, test, 0)] = -1.0
    assert rows[0, 0] == np.argmax(popular)


def test_our_own_systems_answer_and_are_compared(record: Record, tmp_path: Path) -> None:
    asked, log, test = _written(record, "time:0.7", tmp_path)
    for system in OURS:
        answer, notes = answered(system, record, asked, log, test)
        exchange.write_answer(tmp_path, system, answer, log, notes)
    found = Answers(tmp_path)
    figures = found.figures("ease-decay")
    low, high = figures["interval"]
    assert 0.0 < low <= figures["ndcg10"] <= high <= 1.0
    assert figures["hr10"] <= figures["hr100"]
    against = found.compare("ease-decay", "popular-all-time")
    both = [found.figures(name)["ndcg10"] for name in ("ease-decay", "popular-all-time")]
    assert against["mean"] == pytest.approx(both[0] - both[1])
    assert against["ratio"] == pytest.approx(both[0] / both[1])
    assert exchange.read_notes(tmp_path, "ease-decay")["n_queries"] == len(test)


def test_a_vocabulary_holds_frequent_items_and_histories_end_at_the_query(
    record: Record, tmp_path: Path
) -> None:
    asked, log, test = _written(record, "time:0.7", tmp_path)
    items = Vocabulary(log, asked.train, min_events=5, max_items=10)
    assert len(items) <= 10
    assert np.all(items.counts[items.rows] >= 5)
    matrix = items.histories(log, test, slice(0, len(test)), log.touches).toarray()
    for q in range(len(test)):
        run = slice(int(log.bounds[test.user[q]]), int(test.end[q]))
        known = set(log.item[run][log.touches[run]]) & set(items.rows)
        assert set(items.rows[np.flatnonzero(matrix[q])]) == known


def test_a_right_answer_that_is_not_listed_is_not_found() -> None:
    one = np.zeros(1, np.int64)
    test = Asked(one, np.ones(1), one, np.array([0, 2]), np.array([3, 9]))
    ranks = ranks_in(np.array([[5, 3, -1]]), test)
    assert ranks[0] == 1
    values = values_of(ranks, replace(test), 10)
    assert values["hr10"][0] == 1.0
    assert values["ndcg10"][0] == pytest.approx(1 / np.log2(3) / (1 + 1 / np.log2(3)))


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_system_has_a_small_grid(system: str) -> None:
    assert 2 <= len(points(system, differ=False)) <= 4
    doubled = 1 if system in SEQUENCES else 2
    assert len(points(system, differ=True)) == doubled * len(points(system, differ=False))
