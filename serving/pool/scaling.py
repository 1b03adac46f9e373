"""How many shards a pool shall have, by their load; bounded, and slower down than up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from recsys.serving_options import ServingSettings

CALM = 0.7
"""A pool shrinks only where fewer shards would stay below this share of every limit."""


@dataclass(frozen=True)
class Load:
    """Of one shard, since the look before."""

    events_per_s: float
    queue_s: float
    """Mean seconds to an acknowledgement."""
    rss_bytes: int


def wanted_shards(n_now: int, loads: Sequence[Load], rule: ServingSettings) -> int:
    """The number of shards by the load.

    Events and memory are shared out evenly; where batches wait too long, one shard is added.

    Args:
        n_now: shards now.
        loads: of each.
        rule: limits and bounds.

    >>> wanted_shards(1, [Load(20_000.0, 0.0, 0)], ServingSettings(shard_events_per_s=5_000))
    4
    """
    if len(loads) < n_now:  # one is away: its load is not known
        return n_now
    events = sum(load.events_per_s for load in loads) / rule.shard_events_per_s
    memory = sum(load.rss_bytes for load in loads) / (rule.shard_memory_mb * 2**20)
    need = max(math.ceil(max(events, memory)), 1)
    if max(load.queue_s for load in loads) > rule.shard_queue_s:
        need = max(need, n_now + 1)
    if need < n_now:
        need = min(n_now, max(math.ceil(max(events, memory) / CALM), 1))
    return min(max(need, rule.min_shards), rule.max_shards)


class Autoscaler:
    """Keeps what it saw, and holds still for a while after a change.

    Args:
        rule: limits, bounds, and ``scale_cooldown_s``.
    """

    def __init__(self, rule: ServingSettings) -> None:
        self._rule = rule
        self._seen: dict[str, tuple[int, int, float]] = {}
        self._changed_at = -math.inf

    def decide(self, n_now: int, seen: Sequence[Seen], now: float) -> int:
        """The number of shards that the pool shall have.

        Args:
            n_now: that it shall have by now.
            seen: of each shard that answers.
            now: seconds of a clock that never goes back.
        """
        loads = []
        for shard in seen:
            pid, n_appended, at = self._seen.get(shard.name, (shard.pid, shard.n_appended, now))
            if pid == shard.pid and now > at:
                rate = (shard.n_appended - n_appended) / (now - at)
                loads.append(Load(rate, shard.queue_s, shard.rss_bytes))
            self._seen[shard.name] = (shard.pid, shard.n_appended, now)
        if now - self._changed_at < self._rule.scale_cooldown_s or len(loads) == 0:
            return n_now
        wanted = wanted_shards(n_now, loads, self._rule)
        if wanted != n_now:
            self._changed_at = now
        return wanted


@dataclass(frozen=True)
class Seen:
    """Counters of one shard."""

    name: str
    pid: int
    n_appended: int
    """Since its process began."""
    queue_s: float
    rss_bytes: int
