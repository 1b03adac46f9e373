"""Shards of a steward in the test's own process."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from recsys.errors import UnavailableError
from recsys.ledger import Owner
from recsys.schema import Event, partition_of
from serving.pool.leases import Leases
from serving.pool.messages import ShardStatus
from serving.pool.partition import Ground
from serving.pool.shard import Shard
from serving.pool.steward import Steward

N_PARTITIONS = 4


class HereShards:
    """Shards in this process that start, die and drain as a test wants."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self.shards: dict[str, Shard] = {}
        self.away: set[str] = set()
        self.drained: set[str] = set()
        self.dead: set[str] = set()
        self.n_started = 0
        self.ended: list[str] = []

    def start(self, role: str) -> None:
        if role in self.shards or role in self.away:
            return
        self.n_started += 1
        owner = Owner(role, "here", f"process-{self.n_started}", 0.05)
        leases = Leases(
            self._ground.ledger, self._ground.tenant, owner, gone=lambda o: o.process in self.dead
        )
        self.shards[role] = Shard(self._ground, N_PARTITIONS, leases)

    def kill(self, role: str) -> None:
        shard = self.shards.pop(role)
        self.dead.add(shard._leases.owner.process)

    def end(self, role: str) -> None:
        self.ended.append(role)
        self.kill(role)

    def statuses(self, roles: Collection[str]) -> dict[str, ShardStatus]:
        found = {}
        for role in roles:
            if role in self.shards and role not in self.away:
                partitions, n_users, n_events = self.shards[role].counts()
                copies = self.shards[role].copied()
                found[role] = ShardStatus(
                    role, 1, partitions, n_users, n_events, 0.0, copies=copies
                )
        return found

    def draining(self, statuses: Mapping[str, ShardStatus]) -> set[str]:
        return self.drained & set(statuses)

    def prepare(self, role: str, partition: int) -> None:
        self._of(role).prepare(partition)

    def hand_over(self, role: str, partition: int) -> None:
        self._of(role).hand_over(partition)

    def open(self, role: str, partitions: Collection[int]) -> None:
        self._of(role).open(partitions)

    def keep(self, role: str, partitions: Collection[int]) -> None:
        self._of(role).keep_copies(partitions)
        self._of(role).catch_up_copies()

    def _of(self, role: str) -> Shard:
        if role not in self.shards or role in self.away:
            raise UnavailableError(role, "is away")
        return self.shards[role]


def settled(steward: Steward, now: float = 0.0, n_steps: int = 12) -> None:
    for _ in range(n_steps):
        if steward.step(now):
            return
    raise AssertionError(f"not settled: {steward.map}")


def served(shards: HereShards) -> dict[int, list[str]]:
    """Partition -> who serves it."""
    found: dict[int, list[str]] = {p: [] for p in range(N_PARTITIONS)}
    for role, shard in shards.shards.items():
        for partition in shard.owned():
            found[partition].append(role)
    return found


def write(steward: Steward, shards: HereShards, events: list[Event], tenant: str) -> None:
    for event in events:
        role = steward.map.owners[partition_of(tenant, event.user_id, N_PARTITIONS)]
        shards.shards[role].append([event])
