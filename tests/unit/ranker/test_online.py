"""Weights that move by feedback: how far, whereto, and back again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from recsys.errors import ConflictError, NotFoundError
from recsys.events import EventArrays
from recsys.ranker.feedback import answered_slates
from recsys.ranker.model import Ranker
from recsys.ranker.online import Shown, step
from recsys.ranker.options import RankerSettings
from recsys.ranker.versions import Version, latest, put_version, read_log, read_version
from recsys.store import Store

OPTIONS = RankerSettings(features=("graph", "age"), learning_rate=1.0)
RANKER = Ranker({"graph": 0.5, "age": 1.0}, OPTIONS, spreads={"graph": 2.0})


def slate(rng: np.random.Generator, best: int) -> Shown:
    features = rng.normal(0.0, 1.0, (6, 2))
    features[best, 0] += 4.0
    return Shown(rng.normal(0.0, 0.1, 6), features, np.arange(6) == best)


def test_a_step_goes_where_what_was_taken_is_and_no_further_than_its_bound(
    rng: np.random.Generator,
) -> None:
    slates = [slate(rng, n % 6) for n in range(40)]
    found = step(RANKER, RANKER.weights, slates, OPTIONS)
    assert found.moved["graph"] == pytest.approx(OPTIONS.max_step)
    assert found.weights["graph"] == pytest.approx(0.5 + found.moved["graph"] / 2.0)
    assert found.weights["age"] == 1.0  # it has no spread
    after = step(RANKER, found.weights, slates, OPTIONS)
    assert after.surprise < found.surprise


def test_all_steps_together_stay_near_to_what_was_fitted(rng: np.random.Generator) -> None:
    weights = dict(RANKER.weights)
    hostile = [replace(one, features=-3.0 * one.features) for one in (slate(rng, 1),) * 5]
    for _ in range(100):
        weights = step(RANKER, weights, hostile, OPTIONS).weights
    assert abs(weights["graph"] - 0.5) * 2.0 == pytest.approx(OPTIONS.max_move)


def test_without_answers_nothing_moves() -> None:
    found = step(RANKER, RANKER.weights, [], OPTIONS)
    assert found.weights == RANKER.weights and not any(found.moved.values())


def version(weight: float, parent: str | None = None, bundle_id: str = "b1") -> Version:
    return Version(bundle_id, {"graph": weight}, 1.0, 2.0, "step", parent, {}, 3, 0.5)


def test_versions_are_kept_and_the_last_one_counts(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    assert latest(store, "t", "b1") is None
    first = version(0.1)
    put_version(store, "t", first, read_log(store, "t"))
    second = version(0.2, first.name)
    stale = read_log(store, "t")
    put_version(store, "t", second, stale)
    assert latest(store, "t", "b1") == second and latest(store, "t", "b2") is None
    assert read_log(store, "t").names == (first.name, second.name)
    assert read_version(store, "t", first.name) == first
    with pytest.raises(ConflictError, match="moved by another job"):
        put_version(store, "t", version(0.3), stale)
    with pytest.raises(NotFoundError, match=r"version zzz .* does not exist"):
        read_version(store, "t", "zzz")


def test_answered_slates_are_found_by_their_impressions() -> None:
    rows = [
        ("u", "a", "impression", 10.0, "r1"),
        ("u", "b", "impression", 11.0, "r1"),
        ("u", "gone", "impression", 11.0, "r1"),
        ("u", "b", "click", 20.0, "r1"),
        ("u", "a", "impression", 30.0, "r2"),
        ("u", "b", "impression", 30.0, "r2"),
        ("u", "a", "impression", 40.0, "r3"),
        ("u", "a", "click", 60.0, "r3"),
        ("v", "b", "impression", 50.0, "r4"),
        ("v", "a", "impression", 50.0, "r4"),
        ("v", "b", "click", 900.0, None),
    ]
    names = ("user_id", "item_id", "kind", "ts", "request_id")
    table = pa.table({name: [row[n] for row in rows] for n, name in enumerate(names)})
    index = {"a": 0, "b": 1}
    user = np.array([0 if row[0] == "u" else 1 for row in rows], np.int32)
    events = EventArrays(
        user_ids=["u", "v"],
        bounds=np.array([0, 8, 11]),
        user=user,
        item=np.array([index.get(row[1], -1) for row in rows], np.int32),
        kind=np.array([row[2] for row in rows], object),
        ts=np.array([row[3] for row in rows]),
        value=np.full(len(rows), np.nan),
    )
    table = table.set_column(3, "ts", pa.array(events.ts * 1e6).cast("int64").cast("timestamp[us]"))
    positive = events.kind == "click"
    (found,) = answered_slates(table, events, positive, index, (0.0, 100.0, 15.0))
    assert (found.user, found.at) == (0, 10.0)
    assert found.item.tolist() == [0, 1] and found.is_taken.tolist() == [False, True]
    late = answered_slates(table, events, positive, index, (10.0, 100.0, 1_000.0))
    assert [slate.at for slate in late] == [30.0, 50.0]
