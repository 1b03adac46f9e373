"""The steward makes what is what shall be: shards that run, and partitions where the map has them.

It looks at everything again at each step, so a step that was cut short, by a crash of the steward
or of a shard, is finished by the next:

    move   prepare: the new owner loads a copy
           freeze, flush, release: the old one takes no more writes, and gives its epoch up
           switch: the map names the new owner
           open: it claims the epoch, folds the ledger's last rows, and serves

Whoever the map names opens a partition that nobody serves; whoever serves one that the map gives
to another hands it over. What a shard owned that is gone is given to others by the map alone, all
at once, so that they wait for its lease once.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from recsys.errors import RecsysError, UnavailableError
from serving.pool.assignment import MapRegistry, ShardMap, first_map, rendezvous, standbys
from serving.pool.failpoints import failpoint
from serving.pool.messages import ShardStatus
from serving.pool.spec import PoolSpec, shard_roles

log = logging.getLogger(__name__)


class Shards(Protocol):
    """The shards of a pool, wherever they run. What does not answer raises UnavailableError."""

    def start(self, role: str) -> None:
        """Make sure that a shard exists; it may still be starting."""

    def end(self, role: str) -> None:
        """End a shard that owns nothing."""

    def statuses(self, roles: Collection[str]) -> dict[str, ShardStatus]:
        """Of the shards that answer."""

    def draining(self, statuses: Mapping[str, ShardStatus]) -> set[str]:
        """Roles on nodes that will be gone soon."""

    def prepare(self, role: str, partition: int) -> None:
        """Have a copy of a partition loaded."""

    def hand_over(self, role: str, partition: int) -> None:
        """Have a partition given up."""

    def open(self, role: str, partitions: Collection[int]) -> None:
        """Have partitions taken over."""

    def keep(self, role: str, partitions: Collection[int]) -> None:
        """Have copies of partitions kept, and of no others."""


class Steward:
    """Works for one pool.

    Args:
        spec: the pool.
        registry: holds the map.
        shards: what is worked with.
    """

    def __init__(self, spec: PoolSpec, registry: MapRegistry, shards: Shards) -> None:
        self._spec, self._registry, self._shards = spec, registry, shards
        self._away_since: dict[str, float] = {}
        self.map = self._begin()
        self.statuses: dict[str, ShardStatus] = {}

    def _begin(self) -> ShardMap:
        """The map of this generation, made where there is none."""
        old = self._registry.read()
        if old is not None and old.generation == self._spec.generation:
            return old
        roles = self._spec.shard_roles
        if old is not None and old.n_configured == len(roles):  # it was scaled: keep that
            roles = shard_roles(old.n_wanted)
        made = first_map(self._spec.n_partitions, roles, self._spec.generation)
        version = 1 if old is None else old.version + 1
        made = replace(made, version=version, n_configured=len(self._spec.shard_roles))
        return self._registry.write(made)

    def step(self, now: float) -> bool:
        """Do what is to be done; return whether everything is as it shall be.

        Args:
            now: seconds of a clock that never goes back.

        Raises:
            UnavailableError: if the pool was replaced by another generation.
            LedgerError: if the ledger does not answer.
        """
        self._look()
        wanted = shard_roles(self.map.n_wanted)
        for role in wanted:
            self._shards.start(role)
        everyone = dict.fromkeys([*wanted, *self.map.shards])
        self.statuses = self._shards.statuses(everyone)
        able = self._able(wanted, now)
        if able:
            self._share_out(able)
        is_settled = self._mend()
        if able:
            self._stand_by(able)
        self._end_idle(wanted)
        return is_settled and bool(able) and set(self.map.owners) <= set(able)

    def _look(self) -> None:
        found = self._registry.read()
        if found is None or found.generation != self._spec.generation:
            raise UnavailableError("this pool", "was replaced by one of another bundle")
        self.map = found

    def _able(self, wanted: Collection[str], now: float) -> list[str]:
        """Shards that may own something: those that answer, or are away for a moment only."""
        draining = self._shards.draining(self.statuses)
        able = []
        for role in wanted:
            if role in self.statuses:
                self._away_since.pop(role, None)
                if role not in draining:
                    able.append(role)
                continue
            since = self._away_since.setdefault(role, now)
            is_old = role in self.map.shards  # a new one gets nothing before it is up
            if is_old and now - since < self._spec.settings.serving.failover_s:
                able.append(role)
        return able

    def _share_out(self, able: Collection[str]) -> None:
        target = rendezvous(self._spec.n_partitions, able)
        shards = tuple(dict.fromkeys([*self.map.shards, *able]))
        if shards != self.map.shards:
            self._write(replace(self.map, version=self.map.version + 1, shards=shards))
        forsaken = {}
        for partition, role in enumerate(target):
            source = self.map.owners[partition]
            if source == role or role not in self.statuses:
                continue
            if source in self.statuses:
                self._move(partition, source, role)
            else:
                forsaken[partition] = role
        if forsaken:
            owners = tuple(forsaken.get(p, owner) for p, owner in enumerate(self.map.owners))
            self._write(replace(self.map, version=self.map.version + 1, owners=owners))

    def _move(self, partition: int, source: str, role: str) -> None:
        try:
            self._shards.prepare(role, partition)
            failpoint("move.prepared")
            self._shards.hand_over(source, partition)
            failpoint("move.released")
            self._write(self.map.moved(partition, role))
            failpoint("move.switched")
            self._shards.open(role, [partition])
            failpoint("move.opened")
        except UnavailableError as error:
            log.warning("partition %d stays on its way to %s: %s", partition, role, error)

    def _mend(self) -> bool:
        """Open what its owner does not serve, hand over what another serves; was there none?"""
        is_whole = True
        fresh = self._shards.statuses(self.map.shards)
        self.statuses = fresh
        for role, status in fresh.items():
            mine = set(self.map.partitions_of(role))
            try:
                for partition in sorted(set(status.partitions) - mine):
                    is_whole = False
                    self._shards.hand_over(role, partition)
                missing = sorted(mine - set(status.partitions))
                if missing:
                    is_whole = False
                    self._shards.open(role, missing)
            except RecsysError as error:
                log.warning("%s is mended later: %s", role, error)
        return is_whole and set(self.map.owners) <= set(fresh)

    def _stand_by(self, able: Collection[str]) -> None:
        """Have copies where the settings want them, and for what is on its way; none elsewhere."""
        heirs: Sequence[str | None] = ()
        if self._spec.settings.serving.standby:
            heirs = standbys(self.map.owners, able)
        target = rendezvous(self._spec.n_partitions, able)
        for role, status in self.statuses.items():
            kept = {p for p, heir in enumerate(heirs) if heir == role}
            kept |= {p for p in status.copies if role in (target[p], self.map.owners[p])}
            kept -= set(status.partitions)
            if kept == set(status.copies):
                continue
            try:
                self._shards.keep(role, kept)
            except RecsysError as error:
                log.warning("copies of %s are looked after later: %s", role, error)

    def _end_idle(self, wanted: Collection[str]) -> None:
        idle = [r for r in self.map.shards if r not in wanted and r not in self.map.owners]
        if not idle:
            return
        shards = tuple(role for role in self.map.shards if role not in idle)
        self._write(replace(self.map, version=self.map.version + 1, shards=shards))
        for role in idle:
            self._shards.end(role)

    def _write(self, shard_map: ShardMap) -> None:
        self.map = self._registry.write(shard_map)
