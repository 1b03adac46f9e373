import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.events import EventArrays, event_arrays, timestamps_s
from recsys.schema import EVENTS, ITEMS, USERS
from recsys.settings import DAY_S
from recsys.testing.plain import PlainLog, plain_log, plain_tables
from recsys.testing.worlds import (
    RecoveryLaw,
    World,
    WorldSize,
    drift,
    news,
    recovery,
    write,
)

SMALL = WorldSize(n_users=40, n_items=240, n_events=2_400)
WORLDS = [drift, news, recovery]


def arrays(world: World) -> EventArrays:
    ids = world.items["item_id"].to_pylist()
    return event_arrays(world.events, {item: row for row, item in enumerate(ids)})


@pytest.mark.parametrize("make", WORLDS)
def test_the_same_seed_makes_the_same_world(make: Callable[..., World]) -> None:
    one, two = (make(SMALL, np.random.default_rng(7)) for _ in range(2))
    other = make(SMALL, np.random.default_rng(8))
    assert one.events.equals(two.events)
    assert np.array_equal(one.item_vectors, two.item_vectors)
    assert not one.events.equals(other.events)


@pytest.mark.parametrize("make", WORLDS)
def test_a_world_is_canonical_and_of_its_size(
    make: Callable[..., World], rng: np.random.Generator
) -> None:
    world = make(SMALL, rng)
    assert world.events.schema.equals(EVENTS, check_metadata=True)
    assert world.items.schema.equals(ITEMS, check_metadata=True)
    assert world.users.schema.equals(USERS, check_metadata=True)
    assert (len(world.events), len(world.items), len(world.users)) == (2_400, 240, 40)
    assert world.item_vectors.shape == (240, 16)
    np.testing.assert_allclose(np.linalg.norm(world.item_vectors, axis=1), 1.0, atol=1e-6)
    ts = timestamps_s(world.events["ts"])
    assert np.all(np.diff(ts) >= 0)
    assert len(set(world.events["event_id"].to_pylist())) == 2_400
    assert arrays(world).item.min() >= 0


@pytest.mark.parametrize("make", WORLDS)
def test_a_written_world_can_be_read_again(
    make: Callable[..., World], rng: np.random.Generator, tmp_path: Path
) -> None:
    world = make(SMALL, rng)
    paths = write(world, tmp_path)
    assert pq.read_table(paths["events"]).equals(world.events)
    assert np.array_equal(np.load(paths["item_vectors"]), world.item_vectors)
    assert json.loads(paths["truth"].read_text()).keys() == world.truth.keys()


def test_in_drift_most_events_are_of_the_taste_of_the_time(rng: np.random.Generator) -> None:
    world = drift(SMALL, rng)
    events, truth = arrays(world), world.truth
    user = np.array([int(name[1:]) for name in events.user_ids])[events.user]
    taste = (events.ts[:, None] >= truth["switches"][user]).sum(axis=1)
    wanted = truth["user_topics"][user, taste]
    assert np.mean(truth["item_topic"][events.item] == wanted) == pytest.approx(0.908, abs=0.03)
    assert np.all(truth["user_topics"][:, 1:] != truth["user_topics"][:, :-1])


def test_in_news_items_are_read_at_a_median_age_of_two_days(rng: np.random.Generator) -> None:
    world = news(replace(SMALL, n_items=5_000, n_events=20_000), rng)
    events = arrays(world)
    age = events.ts - world.truth["born"][events.item]
    assert age.min() >= 0
    assert np.median(age) / DAY_S == pytest.approx(2.0, abs=0.3)
    created_at = timestamps_s(world.items["created_at"])
    np.testing.assert_allclose(created_at, world.truth["born"], atol=1e-5)


def recovery_log_likelihood(world: World, law: RecoveryLaw) -> float:
    """Mean log probability under a law: every event by itself, from the definition."""
    events, vectors = arrays(world), world.item_vectors.astype(np.float64)
    found = []
    for u in range(len(events.user_ids)):
        rows = range(events.bounds[u], events.bounds[u + 1])
        for row in rows:
            past = np.arange(events.bounds[u], row)
            query = np.zeros(vectors.shape[1])
            for half_life, weight in zip(law.half_lives_s, law.weights, strict=True):
                age = events.ts[row] - events.ts[past]
                shares = np.exp2((age.min() - age) / half_life) if len(past) else age
                query += weight * (shares @ vectors[events.item[past]]) / max(shares.sum(), 1e-300)
            logits = law.beta * vectors @ query
            found.append(logits[events.item[row]] - np.logaddexp.reduce(logits))
    return float(np.mean(found))


def test_recovery_follows_its_law_and_no_other_explains_it_better() -> None:
    world = recovery(SMALL, np.random.default_rng(5))
    law = RecoveryLaw()
    true = recovery_log_likelihood(world, law)
    assert true == pytest.approx(world.truth["log_likelihood"].mean(), abs=1e-4)
    for half_life in law.half_lives_s:
        alone = RecoveryLaw((half_life,), (sum(law.weights),), law.beta)
        assert recovery_log_likelihood(world, alone) < true - 0.02


def test_recovery_gaps_reach_from_minutes_to_months(rng: np.random.Generator) -> None:
    events = arrays(recovery(SMALL, rng))
    gaps = np.diff(events.ts)[np.diff(events.user) == 0]
    assert 600 <= gaps.min() < 3_600
    assert 60 * DAY_S < gaps.max() <= 120 * DAY_S


def test_a_recovery_world_does_not_depend_on_how_users_are_blocked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = recovery(SMALL, np.random.default_rng(3))
    monkeypatch.setattr("recsys.testing.worlds._BLOCK", 16)
    blocked = recovery(SMALL, np.random.default_rng(3))
    assert len(blocked.events) == len(world.events)
    assert np.all(np.isfinite(blocked.truth["log_likelihood"]))


def test_a_plain_log_streams_into_files_of_a_fixed_size(
    rng: np.random.Generator, tmp_path: Path
) -> None:
    log = PlainLog(n_events=1_050, n_users=50, n_items=30, rows_per_file=500)
    paths = plain_log(log, tmp_path / "log", rng)
    assert [pq.read_metadata(path).num_rows for path in paths] == [500, 500, 50]
    whole = pa.concat_tables([pq.read_table(path) for path in paths])
    assert whole.schema.equals(EVENTS)
    assert len(set(whole["event_id"].to_pylist())) == 1_050
    assert np.all(np.diff(timestamps_s(whole["ts"])) >= 0)
    rated = [row["value"] is not None for row in whole.to_pylist()]
    assert rated == [kind == "rating" for kind in whole["kind"].to_pylist()]


def test_a_plain_log_is_the_same_for_the_same_seed() -> None:
    log = PlainLog(n_events=700, n_users=50, n_items=30, rows_per_file=400)
    one, two = (pa.concat_tables(plain_tables(log, np.random.default_rng(1))) for _ in range(2))
    assert one.equals(two)
