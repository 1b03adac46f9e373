"""Which pool a consumer writes to, when pools come and go."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest

from recsys.errors import UnavailableError
from recsys.schema import Event
from recsys.settings import Settings
from serving.pool import AckBatch, PoolSpec
from serving.stream import pool as pool_module
from serving.stream.pool import RunningPool, running_spec

SPEC = PoolSpec("/store", "sqlite:////ledger.db", "shop", "bundle-1", 8, Settings())
NEXT = dataclasses.replace(SPEC, bundle_id="bundle-2")
OTHER = dataclasses.replace(SPEC, tenant="other")


class Cluster:
    """Named actors, and clients that answer while the pool that they were made for runs."""

    def __init__(self) -> None:
        self.pools: list[PoolSpec] = []
        self.written: list[str] = []

    def names(self, all_namespaces: bool) -> list[dict[str, str]]:
        roles = ("shard-0", "directory", "trend-board")
        return [
            {"namespace": spec.namespace, "name": spec.actor_name(role)}
            for spec in self.pools
            for role in roles
        ]

    def client(self, spec: PoolSpec) -> Cluster.Client:
        return Cluster.Client(self, spec)

    class Client:
        def __init__(self, cluster: Cluster, spec: PoolSpec) -> None:
            self.cluster, self.spec = cluster, spec

        async def append(self, events: Sequence[Event]) -> AckBatch:
            if self.spec.generation not in {spec.generation for spec in self.cluster.pools}:
                raise UnavailableError("pool", "is gone")
            self.cluster.written.append(self.spec.generation)
            return AckBatch(len(events), 0, 0, {})


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    cluster = Cluster()
    monkeypatch.setattr(pool_module, "list_named_actors", cluster.names)
    monkeypatch.setattr(pool_module, "PoolClient", cluster.client)
    return cluster


def test_a_pool_is_found_by_store_and_tenant_whatever_made_it(cluster: Cluster) -> None:
    cluster.pools = [OTHER]
    assert running_spec(SPEC) is None
    cluster.pools = [OTHER, NEXT]
    found = running_spec(SPEC)
    assert found is not None and found.generation == NEXT.generation
    assert found.namespace == SPEC.namespace and found.actor_name("x") == NEXT.actor_name("x")
    cluster.pools = [SPEC, NEXT]
    assert running_spec(SPEC) == SPEC


def test_writes_go_to_the_pool_that_took_the_place_of_another(cluster: Cluster) -> None:
    running = RunningPool(SPEC)
    with pytest.raises(UnavailableError, match="does not run"):
        running.append([])
    cluster.pools = [SPEC]
    running.append([])
    cluster.pools = [NEXT]
    with pytest.raises(UnavailableError, match="is gone"):
        running.append([])
    running.append([])
    assert cluster.written == [SPEC.generation, NEXT.generation]
    running.close()
