"""Who shall own what: the versioned map partition -> shard, kept in the ledger's registry.

Partitions are given out by rendezvous hashing with bounded load: each goes to the shard with the
largest hash of (shard, partition) that is not full, so adding one shard to n moves about
1 / (n + 1) of them. The map says who *shall* own a partition and is a hint to clients; who *does*
own it, the epochs of the ledger say.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace

from recsys.errors import UnavailableError
from recsys.ledger import Ledger

LOAD_BOUND = 1.25
"""A shard owns at most this many times the mean."""
N_TRIES = 50


@dataclass(frozen=True)
class ShardMap:
    """Who owns what. A map with a larger version replaces one with a smaller."""

    version: int
    """Counts changes, from 1."""
    shards: tuple[str, ...]
    """Roles of the shards, for example ``shard-0``."""
    owners: tuple[str, ...]
    """Role per partition."""
    generation: str = ""
    """Of the pool that made it."""
    n_wanted: int = 0
    """Shards that the pool shall have."""
    n_configured: int = 0
    """Shards that the settings of the pool ask for."""

    def partitions_of(self, shard: str) -> tuple[int, ...]:
        """Partitions of a shard, ascending."""
        return tuple(p for p, owner in enumerate(self.owners) if owner == shard)

    def moved(self, partition: int, shard: str) -> ShardMap:
        """The next map, in which a partition is another shard's."""
        owners = (*self.owners[:partition], shard, *self.owners[partition + 1 :])
        return replace(self, version=self.version + 1, owners=owners)


def rendezvous(n_partitions: int, shards: Collection[str]) -> tuple[str, ...]:
    """The shard of each partition.

    Raises:
        ValueError: if there is no shard.

    >>> set(rendezvous(64, ["a", "b"])) == {"a", "b"}
    True
    """
    if len(shards) == 0:
        raise ValueError("a pool needs at least one shard")
    return _rendezvous(n_partitions, tuple(shards))


@functools.lru_cache(maxsize=256)
def _rendezvous(n_partitions: int, shards: tuple[str, ...]) -> tuple[str, ...]:
    most = math.ceil(LOAD_BOUND * n_partitions / len(shards))
    room = dict.fromkeys(shards, most)
    owners = []
    for partition in range(n_partitions):
        ranked = sorted(shards, key=lambda shard: (_weight(shard, partition), shard), reverse=True)
        owner = next(shard for shard in ranked if room[shard] > 0)
        room[owner] -= 1
        owners.append(owner)
    return tuple(owners)


def standbys(owners: Sequence[str], shards: Collection[str]) -> tuple[str | None, ...]:
    """The shard that gets each partition if its owner, and nobody else, is gone.

    Args:
        owners: of each partition.
        shards: that may own something.

    Returns:
        One per partition; None where there is nobody but the owner.

    >>> standbys(["a", "b", "a"], ["a", "b"])
    ('b', 'a', 'b')
    """
    heirs: dict[str, tuple[str | None, ...]] = {}
    for owner in set(owners):
        others = [shard for shard in shards if shard != owner]
        heirs[owner] = rendezvous(len(owners), others) if others else (None,) * len(owners)
    return tuple(heirs[owner][partition] for partition, owner in enumerate(owners))


def first_map(n_partitions: int, shards: Sequence[str], generation: str = "") -> ShardMap:
    """The map of a new pool."""
    owners = rendezvous(n_partitions, shards)
    return ShardMap(1, tuple(shards), owners, generation, len(shards), len(shards))


class MapRegistry:
    """The map in the ledger's registry: whoever changes it must have seen what it replaces.

    Args:
        ledger: holds it.
        tenant: whose pool.
    """

    def __init__(self, ledger: Ledger, tenant: str) -> None:
        self._ledger, self._key = ledger, f"pool/{tenant}"
        self._version = 0

    def read(self) -> ShardMap | None:
        """The map as it is; None before there was a pool."""
        found = self._ledger.get_value(self._key)
        if found is None:
            return None
        text, self._version = found
        value = json.loads(text)
        lists = {name: tuple(value[name]) for name in ("shards", "owners")}
        return ShardMap(**{**value, **lists})

    def write(self, shard_map: ShardMap) -> ShardMap:
        """Replace the map that was read last.

        Raises:
            UnavailableError: if somebody else replaced it meanwhile; read it again.
        """
        text = json.dumps(asdict(shard_map))
        if not self._ledger.put_value(self._key, text, self._version):
            raise UnavailableError("map of the pool", "was replaced by somebody else", "Retry")
        self._version += 1
        return shard_map


def want(registry: MapRegistry, n_shards: int) -> ShardMap:
    """Ask for a number of shards; the directory does it.

    Raises:
        UnavailableError: if there is no pool, or if its map changes all the time.
    """
    for _ in range(N_TRIES):
        found = registry.read()
        if found is None:
            raise UnavailableError("pool", "never ran on this ledger", "Bring it up first")
        try:
            changed = replace(found, version=found.version + 1, n_wanted=n_shards)
            return registry.write(changed)
        except UnavailableError:
            continue
    raise UnavailableError("map of the pool", "changes all the time", "Retry")


def _weight(shard: str, partition: int) -> bytes:
    return hashlib.blake2b(f"{shard}\0{partition}".encode(), digest_size=8).digest()
