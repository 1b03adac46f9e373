"""What a profile pool is made of: everything that its actors need to start, and their names."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

from recsys.settings import Settings

DIRECTORY = "directory"
TREND_BOARD = "trend-board"


@dataclass(frozen=True)
class PoolSpec:
    """One pool: the profiles of one tenant of one store, folded with one bundle."""

    store_uri: str
    """URI of the store."""
    ledger_url: str
    """Database URL of the ledger."""
    tenant: str
    """Whose profiles."""
    bundle_id: str
    """Bundle whose item vectors and settings make the folds."""
    n_partitions: int
    """Partitions of the store."""
    settings: Settings
    """Of this process; the interest and trend settings that count are the bundle's."""

    @cached_property
    def namespace(self) -> str:
        """Ray namespace: one per store and tenant, so pools side by side never meet."""
        return f"halflife-{_short_hash(self.store_uri, self.tenant)}"

    @cached_property
    def generation(self) -> str:
        """Hash of all that a pool is made of; actors of another generation are of another pool."""
        return _short_hash(
            self.ledger_url,
            self.bundle_id,
            str(self.n_partitions),
            self.settings.model_dump_json(),
        )

    @property
    def shard_roles(self) -> tuple[str, ...]:
        """Roles of the shards that the settings ask for."""
        return shard_roles(self.settings.serving.n_shards)

    def actor_name(self, role: str) -> str:
        """Name of an actor of this generation."""
        return f"{role}.{self.generation}"


def shard_roles(n_shards: int) -> tuple[str, ...]:
    """Roles of so many shards."""
    return tuple(f"shard-{number}" for number in range(n_shards))


def _short_hash(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=6).hexdigest()
