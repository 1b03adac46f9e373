from __future__ import annotations

import numpy as np
import pytest

from recsys.evaluation.intervals import UserBootstrap


def test_a_resample_takes_users_with_all_their_queries(rng: np.random.Generator) -> None:
    user = rng.integers(0, 9, 40)
    values = rng.random(40)
    bootstrap = UserBootstrap(user, 20, np.random.default_rng(5))
    users = np.unique(user)
    times = np.random.default_rng(5).multinomial(
        len(users), np.full(len(users), 1 / len(users)), 20
    )
    for row, found in zip(times, bootstrap.means(values), strict=True):
        drawn = np.repeat(users, row)
        slow = np.concatenate([values[user == u] for u in drawn]).mean()
        assert found == pytest.approx(slow, rel=1e-5)


def test_the_interval_holds_the_mean_and_shrinks_with_more_users(rng: np.random.Generator) -> None:
    widths = []
    for n in (50, 5_000):
        values = rng.random(n)
        found = UserBootstrap(np.arange(n), 500, rng).interval(values)
        assert found.low < found.mean < found.high
        widths.append(found.high - found.low)
    assert widths[1] < widths[0] / 5


def test_about_95_of_100_intervals_hold_the_truth(rng: np.random.Generator) -> None:
    held = 0
    for _ in range(200):
        values = rng.normal(size=60)
        found = UserBootstrap(np.arange(60), 300, rng).interval(values)
        held += found.low <= 0.0 <= found.high
    assert 175 <= held <= 199


def test_a_paired_comparison_sees_what_the_intervals_alone_hide(rng: np.random.Generator) -> None:
    theirs = rng.random(300) * 10
    ours = theirs + 0.05 + 0.01 * rng.normal(size=300)
    bootstrap = UserBootstrap(np.arange(300), 500, rng)
    found = bootstrap.compare(ours, theirs)
    assert found["low"] > 0
    assert found["p"] == pytest.approx(1 / 500)
    assert bootstrap.interval(ours).low < bootstrap.interval(theirs).high


def test_equal_systems_do_not_differ(rng: np.random.Generator) -> None:
    values = rng.random(50)
    found = UserBootstrap(np.arange(50), 100, rng).compare(values, values)
    assert (found["mean"], found["p"]) == (0.0, 1.0)


def test_no_queries_give_no_number(rng: np.random.Generator) -> None:
    empty = np.zeros(0)
    bootstrap = UserBootstrap(empty.astype(int), 10, rng)
    assert np.isnan(bootstrap.interval(empty).mean)
    assert np.isnan(bootstrap.compare(empty, empty)["p"])
