"""The profile pool: profiles in memory, spread over named actors, durable by the ledger."""

from serving.pool.client import PoolClient
from serving.pool.ensure import end_pool, ensure_pool, start_pool
from serving.pool.messages import AckBatch, ProfileView, ShardStatus, TrendUpdate
from serving.pool.protocol import Pool
from serving.pool.spec import PoolSpec

__all__ = [
    "AckBatch",
    "Pool",
    "PoolClient",
    "PoolSpec",
    "ProfileView",
    "ShardStatus",
    "TrendUpdate",
    "end_pool",
    "ensure_pool",
    "start_pool",
]
