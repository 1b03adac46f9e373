from __future__ import annotations

import numpy as np

from recsys.training.sequences import USER_ROWS, pack, packs, questions, user_rows
from tests.unit.training.logs import events, settings


def test_rows_hold_every_event_of_every_user_once(rng: np.random.Generator) -> None:
    log = events(rng)
    rows = user_rows(log, settings())
    assert rows.schema.equals(USER_ROWS)
    whole = pack(rows)
    np.testing.assert_array_equal(whole.item, log.item)
    np.testing.assert_array_equal(whole.ts, log.ts)
    np.testing.assert_array_equal(whole.bounds, log.bounds)


def test_long_histories_become_runs_whose_targets_are_all_asked_once(
    rng: np.random.Generator,
) -> None:
    log = events(rng, n_users=5, n_events=100)
    whole = questions(pack(user_rows(log, settings())), "ordered")
    cut = questions(pack(user_rows(log, settings("train.max_events=16"))), "ordered")
    assert sorted(zip(whole.as_of, whole.target, strict=True)) == sorted(
        zip(cut.as_of, cut.target, strict=True)
    )


def test_packs_hold_each_run_once_whatever_the_shuffle(rng: np.random.Generator) -> None:
    rows = user_rows(events(rng), settings())
    tables = [rows.slice(0, 7), rows.slice(7, 1), rows.slice(8)]
    found = list(packs(tables, 64, rng))
    assert all(len(one.item) >= 64 for one in found[:-1])
    stamps = np.sort(np.concatenate([one.ts for one in found]))
    np.testing.assert_array_equal(stamps, np.sort(pack(rows).ts))


def test_a_strict_question_knows_nothing_of_its_own_instant(rng: np.random.Generator) -> None:
    whole = pack(user_rows(events(rng), settings()))
    asked = questions(whole, "strict")
    known = asked.last >= 0
    assert np.all(whole.ts[asked.last[known]] < asked.as_of[known])
    assert np.all(whole.run[asked.last[known]] == asked.run[known])
    assert len(np.unique(np.stack([asked.run, asked.as_of]), axis=1).T) == len(asked)
    assert (~known).any()


def test_an_ordered_question_follows_the_event_before_it(rng: np.random.Generator) -> None:
    whole = pack(user_rows(events(rng), settings()))
    asked = questions(whole, "ordered")
    assert len(asked) == int(whole.target.sum())
    assert np.all(whole.ts[asked.last[asked.last >= 0]] <= asked.as_of[asked.last >= 0])


def test_only_first_touches_are_targets(rng: np.random.Generator) -> None:
    whole = pack(user_rows(events(rng, n_items=10), settings()))
    key = whole.run * 1000 + whole.item
    chosen = key[whole.target]
    assert len(np.unique(chosen)) == len(chosen) > 0


def test_an_impression_is_no_last_event(rng: np.random.Generator) -> None:
    log = events(rng)
    log.kind[1::3] = "impression"
    whole = pack(user_rows(log, settings()))
    asked = questions(whole, "ordered")
    known = asked.last[asked.last >= 0]
    assert len(known) > 0 and np.all(whole.sign[known] != 0)
