"""What names a pool."""

from __future__ import annotations

import dataclasses

from recsys.settings import Settings
from serving.pool.spec import PoolSpec

SPEC = PoolSpec("/store", "sqlite:////l.db", "default", "b1", 4, Settings())


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
    assert len(tuned.shard_roles) == 3
    assert dataclasses.replace(SPEC) == SPEC
    assert SPEC.generation in SPEC.actor_name(SPEC.shard_roles[0])
