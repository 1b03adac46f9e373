"""Snapshots of the partitions that a shard holds, written while they are served."""

from __future__ import annotations

import logging

from recsys.errors import ConflictError
from recsys.snapshot import TREND, save_groups
from serving.pool.holdings import Holdings

log = logging.getLogger(__name__)


def save_changed(holdings: Holdings) -> int:
    """See ``Shard.save_snapshots``."""
    with holdings.lock:
        dirty = [p.number for p in holdings.partitions.values() if p.is_dirty]
        clean = [p for p in holdings.partitions.values() if not p.is_dirty]
    n_saved = 0
    for number in dirty:
        try:
            _save(holdings, number)
            n_saved += 1
        except ConflictError as error:
            log.info("partition %d is loaded again: %s", number, error)
            holdings.reload(number)
    for partition in clean:
        if partition.is_outdated(holdings.ground):
            holdings.reload(partition.number)
    return n_saved


def _save(holdings: Holdings, number: int) -> None:
    with holdings.lock:
        partition = holdings.partitions.get(number)
        if partition is None:  # handed over meanwhile
            return
        groups = {**partition.table.columns(), TREND: partition.trend.columns()}
        position, rebase = partition.position, partition.is_rebuilt
        n_read = partition.n_read
    ground = holdings.ground
    save_groups(ground.store, ground.key(number), groups, position, rebase)
    with holdings.lock:
        partition.is_rebuilt = False
        partition.is_dirty = (partition.position, partition.n_read) != (position, n_read)
