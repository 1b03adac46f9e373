"""A shard that keeps few users in memory answers as one that keeps all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from recsys.schema import Event
from recsys.settings import Settings, load
from serving.pool.partition import Ground
from serving.pool.shard import Shard
from serving.pool.warm_up import warm_up, warm_up_eviction
from tests.unit.serving.conftest import N_PARTITIONS

NOW = 1_700_000_000.0
USERS = [f"u{n}" for n in range(40)]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load(
        assignments=[
            "encoder.n_dims=8",
            f"data.n_partitions={N_PARTITIONS}",
            "serving.max_users_per_partition=2",
            f"serving.spill_folder={tmp_path / 'spill'}",
        ]
    )


def test_whoever_is_asked_for_comes_back(
    new_shard: Callable[[], Shard], event: Callable[..., Event], tmp_path: Path
) -> None:
    shard = new_shard()
    for n, user in enumerate(USERS * 2):
        shard.append([event(user, f"space-{n % 12}", NOW + n)])
    tables = [partition.table for partition in shard._holdings.partitions.values()]
    assert sum(map(len, tables)) <= 2 * N_PARTITIONS
    assert shard.counts()[1] == len(USERS)
    assert len(list((tmp_path / "spill").rglob("*.spill"))) == N_PARTITIONS
    views = shard.read(USERS, NOW + 100.0)
    assert [view.user_id for view in views] == USERS
    assert all(view.is_known and view.n_events == 2 for view in views)
    assert all(len(table) <= 2 for table in tables)
    assert [view.n_events for view in (shard.read([user], NOW)[0] for user in USERS)] == [2] * 40


def test_a_snapshot_holds_those_who_left_memory(
    new_shard: Callable[[], Shard], event: Callable[..., Event]
) -> None:
    shard = new_shard()
    shard.append([event(user, f"food-{n % 12}", NOW + n) for n, user in enumerate(USERS)])
    before = shard.read(USERS, NOW + 1e5)
    shard.save_snapshots()
    again = new_shard()
    after = again.read(USERS, NOW + 1e5)
    assert again.counts()[2] == 0, "all came from snapshots"
    for mine, theirs in zip(after, before, strict=True):
        np.testing.assert_array_equal(mine.query.vectors, theirs.query.vectors)
        assert mine.seen.tolist() == theirs.seen.tolist() and len(mine.seen) == 1


def test_a_shard_warms_up_without_a_trace(ground: Ground) -> None:
    warm_up(ground)
    warm_up_eviction(ground)
    assert ground.ledger.last_seq(0) == 0
