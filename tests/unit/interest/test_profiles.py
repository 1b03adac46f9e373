from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from recsys.events import UNKNOWN_ITEM
from recsys.interest.model import FoldBatch, ItemTable
from recsys.interest.profiles import ProfileTable
from recsys.interest.zero_shot import ZeroShot, queries
from recsys.ranking import RankingWeights, default_weights
from recsys.settings import DataSettings, InterestSettings, TrendSettings

INTEREST = InterestSettings(n_recent=8)
KINDS = DataSettings().kinds
D, N, N_USERS = 16, 50, 12
NAN = float("nan")
MODEL = ZeroShot(INTEREST, default_weights(INTEREST, TrendSettings()))


def table() -> ProfileTable:
    return ProfileTable(D, INTEREST, KINDS)


def vectors(rng: np.random.Generator) -> ItemTable:
    v = rng.normal(size=(N, D)).astype(np.float32)
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    v[N - 1] = 0.0  # an item without text
    return ItemTable.all_warm(v)


def log(rng: np.random.Generator, n: int = 600) -> tuple[list[str], FoldBatch]:
    users = [f"user {u}" for u in rng.integers(0, N_USERS, n)]
    names = np.array(["click", "rating", "dislike", "impression", "search", "purchase"], object)
    batch = FoldBatch(
        rng.integers(UNKNOWN_ITEM, N, n).astype(np.int32),
        1.7e9 + np.sort(rng.uniform(0.0, 90 * 86_400.0, n)),
        names[rng.integers(0, len(names), n)],
        rng.integers(1, 6, n).astype(float),
    )
    return users, batch


def part(batch: FoldBatch, which: Any) -> FoldBatch:
    return batch.pick(which)


def folded(users: list[str], batch: FoldBatch, v: Any, order: Any, size: int) -> ProfileTable:
    profiles = table()
    for first in range(0, len(order), size):
        some = order[first : first + size]
        rows = profiles.rows([users[j] for j in some], create=True)
        profiles.fold(rows, part(batch, some), MODEL, v)
    return profiles


def one(item: int, ts: float = 1.7e9, kind: str = "click", value: float = NAN) -> FoldBatch:
    return FoldBatch(
        np.array([item], np.int32), np.array([ts]), np.array([kind], object), np.array([value])
    )


def assert_same_users(left: ProfileTable, right: ProfileTable) -> None:
    assert set(left.user_ids) == set(right.user_ids)
    rows = (left.rows(left.user_ids), right.rows(left.user_ids))
    for a, b in zip(left.banks(rows[0]), right.banks(rows[1]), strict=True):
        np.testing.assert_allclose(a, b, rtol=0.0, atol=1e-5 * 50)
    np.testing.assert_array_equal(left.n_events[rows[0]], right.n_events[rows[1]])
    for a, b in zip(*(row.tolist() for row in rows), strict=True):
        assert set(left.seen(a)) == set(right.seen(b))
        for x, y in zip(left.recent(a), right.recent(b), strict=True):
            np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("size", [1, 7, 600])
def test_the_profiles_do_not_depend_on_order_or_batches(
    rng: np.random.Generator, size: int
) -> None:
    v, (users, batch) = vectors(rng), log(rng)
    whole = folded(users, batch, v, np.arange(600), 600)
    assert_same_users(folded(users, batch, v, rng.permutation(600), size), whole)


def test_the_online_fold_and_the_batch_fold_agree(rng: np.random.Generator) -> None:
    v, (users, batch) = vectors(rng), log(rng)
    online = folded(users, batch, v, np.arange(600), 1)
    bulk = folded(users, batch, v, np.arange(600), 600)
    both = [profiles.banks(profiles.rows(bulk.user_ids)) for profiles in (online, bulk)]
    for a, b in zip(*both, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_a_table_survives_its_columns(rng: np.random.Generator) -> None:
    v, (users, batch) = vectors(rng), log(rng)
    whole = folded(users, batch, v, np.arange(600), 100)
    half = folded(users, batch, v, np.arange(300), 100)
    columns = half.columns()
    assert set(columns) == {"state", "recent", "seen", "shown"}
    back = ProfileTable.from_columns(columns, INTEREST, KINDS)
    assert_same_users(back, half)
    rows = back.rows(users[300:], create=True)
    back.fold(rows, part(batch, slice(300, 600)), MODEL, v)
    assert_same_users(back, whole)


def test_an_empty_table_survives_its_columns() -> None:
    back = ProfileTable.from_columns(table().columns(), INTEREST, KINDS)
    assert len(back) == 0
    assert back.rows(["a"], create=True).tolist() == [0]
    assert back.seen(0).tolist() == []


def test_columns_of_other_half_lives_are_refused() -> None:
    other = InterestSettings(half_lives_s=(1.0, 2.0))
    with pytest.raises(ValueError, match="half-lives"):
        ProfileTable.from_columns(table().columns(), other, KINDS)


def test_users_get_rows_only_when_asked_to() -> None:
    profiles = table()
    assert profiles.rows(["a"]).tolist() == [-1]
    assert profiles.rows(["a", "b", "a"], create=True).tolist() == [0, 1, 0]
    assert profiles.rows(["b", "z"]).tolist() == [1, -1]
    assert len(profiles) == 2


def test_positive_and_negative_evidence_stand_in_banks_of_their_own(
    rng: np.random.Generator,
) -> None:
    profiles, v = table(), vectors(rng)
    rows = profiles.rows(["liker", "hater"], create=True)
    profiles.fold(rows[:1], one(0, kind="like"), MODEL, v)
    profiles.fold(rows[1:], one(0, kind="dislike"), MODEL, v)
    np.testing.assert_allclose(profiles.mass[0], 2.0)
    np.testing.assert_allclose(profiles.negative_mass[1], 2.0)
    assert not profiles.mass[1].any()
    assert not profiles.negative_mass[0].any()
    np.testing.assert_allclose(profiles.negative_sums[1, 0], 2.0 * v.vectors[0], rtol=1e-6)
    assert profiles.recent(1).importance.tolist() == [-2.0]


def test_an_event_of_an_unknown_item_is_pending_and_counts_nothing(
    rng: np.random.Generator,
) -> None:
    profiles, v = table(), vectors(rng)
    row = profiles.rows(["a"], create=True)
    assert profiles.fold(row, one(UNKNOWN_ITEM), MODEL, v) == 1
    assert profiles.fold(row, one(UNKNOWN_ITEM, kind="search"), MODEL, v) == 0
    assert not profiles.mass.any()
    assert np.isneginf(profiles.t_ref[0])
    assert profiles.n_events[0] == 0
    assert len(profiles.recent(0).item) == len(profiles.seen(0)) == 0


def test_an_item_without_text_is_seen_but_is_no_evidence(rng: np.random.Generator) -> None:
    profiles, v = table(), vectors(rng)
    row = profiles.rows(["a"], create=True)
    assert profiles.fold(row, one(N - 1), MODEL, v) == 0
    assert not profiles.mass.any()
    assert profiles.seen(0).tolist() == [N - 1]
    assert profiles.t_ref[0] == 1.7e9


def test_an_impression_is_neither_seen_nor_recent(rng: np.random.Generator) -> None:
    profiles = table()
    row = profiles.rows(["a"], create=True)
    profiles.fold(row, one(3, kind="impression"), MODEL, vectors(rng))
    assert len(profiles.seen(0)) == len(profiles.recent(0).item) == 0
    assert profiles.n_events[0] == 1


def test_seen_items_are_an_exact_set_of_any_size(rng: np.random.Generator) -> None:
    profiles, v = table(), ItemTable.all_warm(np.zeros((3_000, D), np.float32))
    expected: dict[int, set[int]] = {0: set(), 1: set(), 2: set()}
    profiles.rows(["a", "b", "c"], create=True)
    for _ in range(20):
        rows, item = rng.integers(0, 3, 700), rng.integers(0, 3_000, 700).astype(np.int32)
        kind = np.full(700, "click", object)
        profiles.fold(rows, FoldBatch(item, np.full(700, 1.7e9), kind, np.full(700, NAN)), MODEL, v)
        for row, i in zip(rows, item, strict=True):
            expected[int(row)].add(int(i))
    for row, items in expected.items():
        seen = profiles.seen(row)
        assert len(seen) == len(items)
        assert set(seen.tolist()) == items


def test_the_ring_keeps_the_latest_events_newest_first(rng: np.random.Generator) -> None:
    profiles, v = table(), vectors(rng)
    row = profiles.rows(["a"], create=True)
    times = 1.7e9 + rng.permutation(30).astype(float)
    for j, ts in enumerate(times):
        profiles.fold(row, one(j, ts=float(ts), kind="purchase"), MODEL, v)
    recent = profiles.recent(0)
    latest = np.argsort(-times)[:8]
    np.testing.assert_array_equal(recent.ts, times[latest])
    np.testing.assert_array_equal(recent.item, latest)
    assert [KINDS[code] for code in recent.kind] == ["purchase"] * 8


def test_the_ring_keeps_what_evidence_is_made_from(rng: np.random.Generator) -> None:
    profiles, v = table(), vectors(rng)
    row = profiles.rows(["a"], create=True)
    profiles.fold(row, one(3, kind="rating", value=4.5), MODEL, v)
    profiles.fold(row, one(4, ts=1.7e9 + 1.0), MODEL, v)
    np.testing.assert_array_equal(profiles.recent(0).value, [NAN, 4.5])
    columns = profiles.columns()
    back = ProfileTable.from_columns(columns, INTEREST, KINDS)
    np.testing.assert_array_equal(back.recent(0).value, [NAN, 4.5])


def test_a_ring_from_before_values_were_kept_has_none(rng: np.random.Generator) -> None:
    profiles = table()
    row = profiles.rows(["a"], create=True)
    profiles.fold(row, one(3, kind="rating", value=4.5), MODEL, vectors(rng))
    columns = profiles.columns()
    del columns["recent"]["value"]
    back = ProfileTable.from_columns(columns, INTEREST, KINDS).recent(0)
    assert back.item.tolist() == [3]
    assert np.isnan(back.value).all()


def test_an_unknown_user_reads_as_an_empty_profile(rng: np.random.Generator) -> None:
    profiles = table()
    profiles.fold(profiles.rows(["a"], create=True), one(0), MODEL, vectors(rng))
    h, hn = len(INTEREST.half_lives_s), len(INTEREST.negative_half_lives_s)
    weights = RankingWeights(np.ones(h, "f4"), np.ones(hn, "f4"), np.ones(1, "f4"))
    u = queries(profiles.banks(np.array([-1, 0])), 1.7e9, weights, INTEREST)
    assert not u[0].any()
    assert u[1].any()


def test_events_that_would_corrupt_the_arrays_are_refused(rng: np.random.Generator) -> None:
    profiles, v = table(), vectors(rng)
    row = profiles.rows(["a"], create=True)
    with pytest.raises(ValueError, match="rows"):
        profiles.fold(np.array([1]), one(0), MODEL, v)
    with pytest.raises(ValueError, match="items"):
        profiles.fold(row, one(N), MODEL, v)
    with pytest.raises(ValueError, match="finite"):
        profiles.fold(row, one(0, ts=NAN), MODEL, v)
    with pytest.raises(ValueError, match="dims"):
        profiles.fold(row, one(0), MODEL, ItemTable.all_warm(v.vectors[:, :4]))
