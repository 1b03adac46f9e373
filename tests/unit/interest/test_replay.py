from __future__ import annotations

import numpy as np
import pytest

from recsys.events import EventArrays
from recsys.interest.model import FoldBatch, InterestModel, ItemTable, Query, nobody
from recsys.interest.profiles import ProfileTable
from recsys.interest.replay import ReplayQueries, ends_before, replay, replay_parts
from recsys.interest.zero_shot import ZeroShot
from recsys.ranking import RankingWeights
from recsys.settings import DataSettings, InterestSettings, load
from recsys.testing.models import random_interest

INTEREST = InterestSettings()
H, HN = len(INTEREST.half_lives_s), len(INTEREST.negative_half_lives_s)
D, N, N_USERS, N_EVENTS = 16, 40, 9, 500
LEARNED = load(assignments=[f"encoder.n_dims={D}", "model.n_queries=2"])


@pytest.fixture
def items(rng: np.random.Generator) -> ItemTable:
    v = rng.normal(size=(N, D)).astype(np.float32)
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    v[3] = 0.0
    return ItemTable.all_warm(v)


@pytest.fixture
def events(rng: np.random.Generator) -> EventArrays:
    user = np.sort(rng.integers(0, N_USERS, N_EVENTS)).astype(np.int32)
    ts = 1.7e9 + np.floor(rng.uniform(0.0, 60 * 86_400.0, N_EVENTS) / 7_200.0) * 7_200.0
    ts = ts[np.lexsort((ts, user))]  # many events share their instant
    names = np.array(["click", "rating", "dislike", "impression", "purchase"], object)
    return EventArrays(
        user_ids=[f"u{u}" for u in range(N_USERS)],
        bounds=np.searchsorted(user, np.arange(N_USERS + 1)).astype(np.int64),
        user=user,
        item=rng.integers(-1, N, N_EVENTS).astype(np.int32),
        kind=names[rng.integers(0, len(names), N_EVENTS)],
        ts=ts,
        value=rng.integers(1, 6, N_EVENTS).astype(float),
    )


@pytest.fixture
def model(rng: np.random.Generator) -> ZeroShot:
    weights = (rng.random(n).astype(np.float32) for n in (H, HN, 1))
    return ZeroShot(INTEREST, RankingWeights(*weights))


def bytes_of(query: Query) -> list[bytes]:
    return [part.tobytes() for part in query]


def asked_at(events: EventArrays, rng: np.random.Generator, n: int = 200) -> ReplayQueries:
    user = rng.integers(-1, N_USERS, n)
    as_of = 1.7e9 + rng.uniform(-86_400.0, 70 * 86_400.0, n)
    as_of[: n // 2] = events.ts[rng.integers(0, N_EVENTS, n // 2)]
    return ReplayQueries(user, ends_before(events, user, as_of), as_of)


def by_table(
    events: EventArrays, end: int, user: int, model: InterestModel, items: ItemTable
) -> ProfileTable:
    """The profile that the online pool would hold."""
    table = ProfileTable(D, INTEREST, DataSettings().kinds)
    history = slice(int(events.bounds[user]), end)
    batch = FoldBatch(*(c[history] for c in (events.item, events.ts, events.kind, events.value)))
    table.fold(
        np.zeros(len(batch.ts), np.int64) + table.rows(["u"], create=True), batch, model, items
    )
    return table


@pytest.mark.parametrize("kind", ["zero-shot", "learned"])
def test_a_replayed_query_equals_the_one_of_the_online_table(
    events: EventArrays, items: ItemTable, model: ZeroShot, rng: np.random.Generator, kind: str
) -> None:
    if kind == "learned":
        assert_parity(events, items, random_interest(LEARNED, rng), rng)
    else:
        assert_parity(events, items, model, rng)


def assert_parity(
    events: EventArrays, items: ItemTable, model: InterestModel, rng: np.random.Generator
) -> None:
    asked = asked_at(events, rng)
    found = replay(events, asked, model, items, INTEREST)
    for q in range(0, len(asked.end), 3):
        if asked.user[q] < 0:
            online = nobody(model, INTEREST, D)
        else:
            table = by_table(events, int(asked.end[q]), int(asked.user[q]), model, items)
            online = model.query(table.banks(np.zeros(1, np.int64)), asked.as_of[q])
        for replayed, expected in zip(found.of(q), online, strict=True):
            np.testing.assert_allclose(replayed, expected, rtol=1e-4, atol=2e-5)


def test_a_query_sees_exactly_the_events_before_it(
    events: EventArrays, rng: np.random.Generator
) -> None:
    asked = asked_at(events, rng)
    for user, end, as_of in zip(*asked, strict=True):
        if user >= 0:
            start, stop = events.bounds[user], events.bounds[user + 1]
            assert end - start == np.count_nonzero(events.ts[start:stop] < as_of)


def test_events_planted_in_the_future_change_no_byte_of_a_past_query(
    events: EventArrays, items: ItemTable, model: ZeroShot, rng: np.random.Generator
) -> None:
    asked = asked_at(events, rng)
    before = replay(events, asked, model, items, INTEREST)
    changed = events.item.copy()
    for user in range(N_USERS):
        mine = slice(int(events.bounds[user]), int(events.bounds[user + 1]))
        ends = asked.end[asked.user == user]
        changed[max([mine.start, *ends.tolist()]) : mine.stop] = 0
    planted = EventArrays(**{**vars(events), "item": changed})
    assert bytes_of(replay(planted, asked, model, items, INTEREST)) == bytes_of(before)


def test_the_order_of_the_queries_does_not_matter(
    events: EventArrays, items: ItemTable, model: ZeroShot, rng: np.random.Generator
) -> None:
    asked = asked_at(events, rng)
    order = rng.permutation(len(asked.end))
    shuffled = ReplayQueries(*(column[order] for column in asked))
    found = replay(events, shuffled, model, items, INTEREST)
    assert bytes_of(found) == bytes_of(replay(events, asked, model, items, INTEREST).pick(order))


def test_a_query_does_not_depend_on_other_or_later_queries(
    events: EventArrays,
    items: ItemTable,
    model: ZeroShot,
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("recsys.interest.replay._CHUNK", 7)
    asked = asked_at(events, rng)
    whole = replay(events, asked, model, items, INTEREST)
    for user in (0, 5, 8):
        mine = np.flatnonzero(asked.user == user)
        earlier = mine[np.argsort(asked.end[mine], kind="stable")][:9]
        fewer = ReplayQueries(*(column[earlier] for column in asked))
        u = replay(events, fewer, model, items, INTEREST)
        assert bytes_of(u) == bytes_of(whole.pick(earlier))


def test_chunks_of_queries_agree_with_all_at_once(
    events: EventArrays,
    items: ItemTable,
    model: ZeroShot,
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = asked_at(events, rng)
    whole = replay(events, asked, model, items, INTEREST)
    monkeypatch.setattr("recsys.interest.replay._CHUNK", 7)
    chunked = replay(events, asked, model, items, INTEREST)
    np.testing.assert_allclose(chunked.vectors, whole.vectors, rtol=1e-5, atol=1e-5)


def test_the_parts_add_up_to_the_query(
    events: EventArrays, items: ItemTable, model: ZeroShot, rng: np.random.Generator
) -> None:
    asked = asked_at(events, rng)
    positive, negative = replay_parts(events, asked, model, items)
    assert positive.shape == (200, H, D)
    assert negative.shape == (200, HN, D)
    u = np.einsum("h,qhd->qd", model.weights.interest, positive)
    u -= np.einsum("h,qhd->qd", model.weights.negative, negative)
    whole = replay(events, asked, model, items, INTEREST)
    np.testing.assert_allclose(u, whole.vectors[:, 0], rtol=1e-4, atol=1e-5)


def test_a_history_of_another_user_is_refused(
    events: EventArrays, items: ItemTable, model: ZeroShot
) -> None:
    beyond = ReplayQueries(np.array([0]), events.bounds[2:3], np.array([1.8e9]))
    with pytest.raises(ValueError, match="own user"):
        replay(events, beyond, model, items, INTEREST)
    asked = ReplayQueries(np.array([0]), events.bounds[1:2], np.array([1.8e9]))
    with pytest.raises(ValueError, match="items"):
        replay(events, asked, model, items.pick(slice(5)), INTEREST)
