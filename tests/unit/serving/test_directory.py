"""Who owns which partition."""

from __future__ import annotations

import dataclasses

import pytest

from recsys.settings import Settings
from serving.pool.directory import Directory, rendezvous
from serving.pool.spec import PoolSpec

SPEC = PoolSpec("/store", "sqlite:////l.db", "default", "b1", 64, Settings())


def test_every_partition_has_one_owner_and_the_load_is_even() -> None:
    shard_map = rendezvous(256, ["a", "b", "c", "d"])
    sizes = [len(shard_map.partitions_of(shard)) for shard in shard_map.shards]
    assert sum(sizes) == 256
    assert min(sizes) > 256 / 4 / 2


def test_a_fifth_shard_takes_a_fifth_and_moves_nothing_else() -> None:
    before = rendezvous(1_000, ["a", "b", "c", "d"]).owners
    after = rendezvous(1_000, ["a", "b", "c", "d", "e"]).owners
    moved = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert {new for _, new in moved} == {"e"}
    assert 0.1 < len(moved) / 1_000 < 0.3


def test_a_new_generation_moves_no_partition() -> None:
    before = rendezvous(64, ["shard-0.aa", "shard-1.aa"])
    after = rendezvous(64, ["shard-0.bb", "shard-1.bb"])
    assert [o.split(".")[0] for o in before.owners] == [o.split(".")[0] for o in after.owners]


def test_no_shard_is_no_pool() -> None:
    with pytest.raises(ValueError, match="at least one shard"):
        rendezvous(4, [])


def test_the_directory_hands_out_its_map() -> None:
    shard_map = rendezvous(4, ["a"], version=7)
    assert Directory(shard_map).map().version == 7


def test_pools_of_two_stores_or_tenants_never_share_a_namespace() -> None:
    changed = (
        dataclasses.replace(SPEC, store_uri="/other"),
        dataclasses.replace(SPEC, tenant="other"),
    )
    assert len({SPEC.namespace, *(spec.namespace for spec in changed)}) == 3


def test_another_bundle_or_setting_is_another_generation_in_the_same_namespace() -> None:
    other = dataclasses.replace(SPEC, bundle_id="b2")
    tuned = dataclasses.replace(
        SPEC, settings=Settings.model_validate({"serving": {"n_shards": 3}})
    )
    assert len({SPEC.generation, other.generation, tuned.generation}) == 3
    assert SPEC.namespace == other.namespace == tuned.namespace
    assert len(tuned.shard_names) == 3
    assert dataclasses.replace(SPEC) == SPEC and SPEC.generation in SPEC.shard_names[0]
