"""The steward: whatever is cut short, the next steps finish it, and nothing is lost on the way."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from recsys.bundle import Bundle
from recsys.errors import UnavailableError, WrongOwnerError
from recsys.schema import Event, partition_of
from recsys.settings import Settings
from serving.pool import steward as steward_module
from serving.pool.assignment import MapRegistry, rendezvous, want
from serving.pool.partition import Ground
from serving.pool.shard import Shard
from serving.pool.spec import PoolSpec, shard_roles
from serving.pool.steward import Steward
from tests.unit.serving.here_shards import HereShards, served, settled, write

N_PARTITIONS = 4
MakeEvent = Callable[..., Event]


class CrashError(Exception):
    """The process that worked is no more."""


@pytest.fixture
def spec(bundle: Bundle, settings: Settings) -> PoolSpec:
    return PoolSpec(bundle.store.uri, "", bundle.tenant, bundle.bundle_id, N_PARTITIONS, settings)


@pytest.fixture
def shards(ground: Ground) -> HereShards:
    return HereShards(ground)


@pytest.fixture
def registry(ground: Ground) -> MapRegistry:
    return MapRegistry(ground.ledger, ground.tenant)


@pytest.fixture
def steward(spec: PoolSpec, registry: MapRegistry, shards: HereShards) -> Steward:
    return Steward(spec, registry, shards)


def everybody_is_served_once(steward: Steward, shards: HereShards) -> None:
    assert served(shards) == {p: [role] for p, role in enumerate(steward.map.owners)}


def test_a_new_pool_is_served_by_the_shards_of_its_settings(
    steward: Steward, shards: HereShards
) -> None:
    settled(steward)
    everybody_is_served_once(steward, shards)
    assert set(steward.map.owners) == set(shard_roles(2))


def test_more_shards_take_partitions_over_and_fewer_give_them_back(
    steward: Steward, shards: HereShards, registry: MapRegistry, event: MakeEvent, spec: PoolSpec
) -> None:
    settled(steward)
    users = [f"u{n}" for n in range(30)]
    write(steward, shards, [event(user, "space-1") for user in users], spec.tenant)
    for n_shards in (3, 1, 2):
        want(registry, n_shards)
        settled(steward)
        everybody_is_served_once(steward, shards)
        assert steward.map.owners == rendezvous(N_PARTITIONS, shard_roles(n_shards))
        write(steward, shards, [event(user, "food-1") for user in users], spec.tenant)
    assert set(shards.ended) == {"shard-1", "shard-2"}
    for user in users:
        role = steward.map.owners[partition_of(spec.tenant, user, N_PARTITIONS)]
        (view,) = shards.shards[role].read([user], 2e9)
        assert view.n_events == 4


@pytest.mark.parametrize(
    "point", ["move.prepared", "move.released", "move.switched", "move.opened"]
)
@pytest.mark.parametrize("dies", ["steward", "source", "target"])
def test_a_move_that_is_cut_short_is_finished(  # noqa: PLR0913, PLR0917
    steward: Steward,
    shards: HereShards,
    registry: MapRegistry,
    event: MakeEvent,
    spec: PoolSpec,
    monkeypatch: pytest.MonkeyPatch,
    point: str,
    dies: str,
) -> None:
    settled(steward)
    users = [f"u{n}" for n in range(30)]
    write(steward, shards, [event(user, "space-1") for user in users], spec.tenant)
    before = set(steward.map.owners)
    crashed: list[str] = []

    def crash(name: str) -> None:
        if name != point or crashed:
            return
        crashed.append(name)
        if dies == "steward":
            raise CrashError
        shards.kill("shard-2" if dies == "target" else min(before))

    monkeypatch.setattr(steward_module, "failpoint", crash)
    want(registry, 3)
    try:
        settled(steward)
    except CrashError:
        steward = Steward(spec, MapRegistry(shards._ground.ledger, spec.tenant), shards)
    settled(steward)
    assert crashed == [point]
    everybody_is_served_once(steward, shards)
    assert steward.map.owners == rendezvous(N_PARTITIONS, shard_roles(3))
    write(steward, shards, [event(user, "food-1") for user in users], spec.tenant)
    for user in users:
        role = steward.map.owners[partition_of(spec.tenant, user, N_PARTITIONS)]
        (view,) = shards.shards[role].read([user], 2e9)
        assert view.n_events == 2


def test_a_shard_that_was_restarted_opens_its_partitions_again(
    steward: Steward, shards: HereShards
) -> None:
    settled(steward)
    shards.kill("shard-0")
    settled(steward)
    everybody_is_served_once(steward, shards)


def test_a_shard_that_stays_away_loses_its_partitions_and_gets_them_back(
    steward: Steward, shards: HereShards, spec: PoolSpec
) -> None:
    settled(steward)
    kept = steward.map.owners
    zombie = shards.shards["shard-0"]
    shards.away.add("shard-0")
    assert not steward.step(1.0)
    assert steward.map.owners == kept, "a moment is nothing"
    late = 2.0 + spec.settings.serving.failover_s
    settled(steward, late)
    assert set(steward.map.owners) == {"shard-1"}
    with pytest.raises(WrongOwnerError):
        zombie.append([_of_partition(zombie, kept.index("shard-0"))])
    shards.away.clear()
    settled(steward, late + 1.0)
    assert steward.map.owners == kept
    zombie.renew()
    everybody_is_served_once(steward, shards)


def test_a_draining_node_gives_all_its_partitions_away(
    steward: Steward, shards: HereShards
) -> None:
    settled(steward)
    shards.drained.add("shard-0")
    steward.step(0.0)
    steward.step(0.0)
    assert set(steward.map.owners) == {"shard-1"}
    assert shards.shards["shard-0"].owned() == ()


def test_a_pool_of_another_bundle_starts_from_the_number_of_shards_that_was_asked_for(
    steward: Steward, shards: HereShards, registry: MapRegistry, spec: PoolSpec
) -> None:
    settled(steward)
    want(registry, 3)
    settled(steward)
    successor = dataclasses.replace(spec, bundle_id="another")
    heir = Steward(successor, MapRegistry(shards._ground.ledger, spec.tenant), shards)
    assert heir.map.n_wanted == 3 and len(set(heir.map.owners)) == 3
    with pytest.raises(UnavailableError, match="replaced"):
        steward.step(0.0)


def _of_partition(shard: Shard, partition: int) -> Event:
    tenant = shard._ground.tenant
    user = next(
        f"x{n}" for n in range(1_000) if partition_of(tenant, f"x{n}", N_PARTITIONS) == partition
    )
    return Event(tenant, "late", user, "space-1", "click", 1.0, 0, 1.0)
