"""The directory: which shard owns which partition, as a versioned map.

Partitions are given out by rendezvous hashing: each goes to the shard with the largest hash of
(shard, partition), so adding one shard to n moves about 1 / (n + 1) of them and no others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class ShardMap:
    """Who owns what. A map with a larger version replaces one with a smaller."""

    version: int
    """Counts changes, from 1."""
    shards: tuple[str, ...]
    """Actor names."""
    owners: tuple[str, ...]
    """Actor name per partition."""

    def partitions_of(self, shard: str) -> tuple[int, ...]:
        """Partitions that a shard owns, ascending."""
        return tuple(p for p, owner in enumerate(self.owners) if owner == shard)


def owner_of(partition: int, shards: Sequence[str]) -> str:
    """The shard with the largest hash of (shard, partition).

    >>> owner_of(3, ["a", "b"]) in ("a", "b")
    True
    """
    return max(shards, key=lambda shard: (_weight(shard, partition), shard))


def rendezvous(n_partitions: int, shards: Sequence[str], version: int = 1) -> ShardMap:
    """The map of a set of shards.

    Raises:
        ValueError: if there is no shard.
    """
    if len(shards) == 0:
        raise ValueError("a pool needs at least one shard")
    owners = tuple(owner_of(partition, shards) for partition in range(n_partitions))
    return ShardMap(version, tuple(shards), owners)


class Directory:
    """Holds the map; runs as a small named actor. Clients keep a copy and ask again on refusal.

    Args:
        shard_map: the first map.
    """

    def __init__(self, shard_map: ShardMap) -> None:
        self._map = shard_map

    def map(self) -> ShardMap:
        """The current map."""
        return self._map


def _weight(shard: str, partition: int) -> bytes:
    # the generation in an actor's name must not move partitions
    role = shard.partition(".")[0]
    return hashlib.blake2b(f"{role}\0{partition}".encode(), digest_size=8).digest()
