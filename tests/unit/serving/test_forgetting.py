"""A shard forgets who is erased: at once when it looks, and whenever it loads anything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from recsys.archive import Archive
from recsys.errors import ConflictError
from recsys.folding import fold_partition, read_to_position
from recsys.interest.profiles import ProfileTable
from recsys.ledger import ERASURE_KEY, erasure_pseudonym
from recsys.schema import DEFAULT_TENANT, Event, partition_of
from recsys.snapshot import load_groups, named_files, read_meta, save
from recsys.trend import TrendState
from serving.pool.partition import Ground, load_partition
from serving.pool.shard import Shard

NOW = 1_700_000_000.0
KEY = "ab" * 32
MakeEvent = Callable[..., Event]
NewShard = Callable[[], Shard]
NUMBER = partition_of(DEFAULT_TENANT, "u", 4)
NEIGHBOUR = next(
    name for name in map(str, range(99)) if partition_of(DEFAULT_TENANT, name, 4) == NUMBER
)


def bury(ground: Ground, user: str = "u", at: float = NOW + 1.0) -> None:
    ground.ledger.put_value(ERASURE_KEY, KEY, 0)
    ground.ledger.bury(DEFAULT_TENANT, erasure_pseudonym(KEY, DEFAULT_TENANT, user), at)


def rebuilt(ground: Ground) -> tuple[ProfileTable, TrendState]:
    record, _ = read_to_position(Archive(ground.store), ground.ledger, NUMBER, DEFAULT_TENANT)
    return fold_partition(record, ground.basis)


def test_a_running_shard_forgets_user_and_trend(
    new_shard: NewShard, event: MakeEvent, ground: Ground
) -> None:
    shard = new_shard()
    shard.append([event("u", "space-1"), event(NEIGHBOUR, "food-1")])
    shard.take_trend()
    assert shard.forget() == ()
    bury(ground)
    assert shard.read(["u"], NOW)[0].is_known
    assert shard.forget() == (NUMBER,)
    (gone, stays) = shard.read(["u", NEIGHBOUR], NOW)
    assert not gone.is_known and not gone.mass.any()
    table, trend = rebuilt(ground)
    assert stays.is_known and table.user_ids == [NEIGHBOUR]
    is_full, whole = shard.take_trend()
    assert is_full and len(whole) == 1
    np.testing.assert_array_equal(whole.at(NOW, 25), trend.at(NOW, 25))
    assert shard.forget() == ()


def test_what_a_user_does_after_the_erasure_is_kept(
    new_shard: NewShard, event: MakeEvent, ground: Ground
) -> None:
    shard = new_shard()
    shard.append([event("u", "space-1")])
    bury(ground)
    late, fresh = event("u", "space-2", NOW + 0.5), event("u", "space-3", NOW + 2.0)
    ack = shard.append([late, fresh])
    assert ack.refused == (late.event_id,) and ack.n_accepted == 1
    shard.forget()
    (view,) = shard.read(["u"], NOW + 3.0)
    assert (view.n_events, view.t_ref) == (1, NOW + 2.0)
    shard.save_snapshots()
    bury(ground, "somebody else")
    (again,) = new_shard().read(["u"], NOW + 3.0)
    assert (again.n_events, again.t_ref) == (1, NOW + 2.0)


@pytest.mark.parametrize("knows", [True, False])
def test_an_old_snapshot_does_not_bring_anybody_back(
    new_shard: NewShard, event: MakeEvent, ground: Ground, knows: bool
) -> None:
    shard = new_shard()
    shard.append([event("u" if knows else "w", "space-1"), event(NEIGHBOUR, "food-1")])
    shard.save_snapshots()
    bury(ground)
    loaded = load_partition(ground, NUMBER)
    assert loaded.is_rebuilt is knows
    assert "u" not in loaded.table.user_ids and NEIGHBOUR in loaded.table.user_ids
    assert loaded.position.erasures == ground.ledger.erasure_version(DEFAULT_TENANT)


def test_a_standby_made_before_the_erasure_is_made_anew(
    new_shard: NewShard, event: MakeEvent, ground: Ground
) -> None:
    shard = new_shard()
    shard.append([event("u", "space-1"), event(NEIGHBOUR, "food-1")])
    shard.prepare(NUMBER)
    bury(ground)
    shard.hand_over(NUMBER)
    shard.open([NUMBER])
    known = [view.is_known for view in shard.read(["u", NEIGHBOUR], NOW)]
    assert known == [False, True]


def test_a_snapshot_after_the_erasure_leaves_no_file_of_those_before(
    new_shard: NewShard, event: MakeEvent, ground: Ground
) -> None:
    shard = new_shard()
    for item in ("space-1", "space-2"):
        shard.append([event("u", item)])
        shard.save_snapshots()
    key = ground.key(NUMBER)
    old = read_meta(ground.store, key)
    stale = load_partition(ground, NUMBER)
    assert old is not None and len(named_files(old)) > len(old["files"])
    bury(ground)
    shard.forget()
    shard.save_snapshots()
    new = read_meta(ground.store, key)
    assert new is not None and new["previous"] == {}
    stored = {path for path in ground.store.paths(key.prefix) if path != key.pointer}
    assert stored == named_files(new)
    loaded = load_groups(ground.store, key)
    assert loaded is not None and loaded[0]["state"]["user_id"].tolist() == []
    with pytest.raises(ConflictError, match="erasure"):  # whoever does not know of it yet
        position = replace(stale.position, ledger_seq=99)
        save(ground.store, key, stale.table, stale.trend, position, rebase=True)
    assert {p for p in ground.store.paths(key.prefix) if p != key.pointer} == stored
