"""A ledger without a database: a few dicts, and nothing that is fast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from recsys.errors import StaleEpochError
from recsys.ledger import (
    DUPLICATE,
    ERASED,
    ERASURE_KEY,
    TAIL,
    UNOWNED,
    Claim,
    Owner,
    erasure_pseudonym,
)
from recsys.schema import Event, microseconds


@dataclass
class _Partition:
    last_seq: int = 0
    trimmed_seq: int = 0


@dataclass
class _Held:
    epoch: int = 0
    owner: Owner | None = None
    """None: nobody, or released."""


class MemoryLedger:
    """A ledger that forgets everything with the process."""

    def __init__(self) -> None:
        self._rows: list[tuple[int, int, Event]] = []
        self._ids: dict[tuple[str, str, str], tuple[int, float]] = {}
        self._partitions: dict[int, _Partition] = {}
        self._owners: dict[tuple[str, int], _Held] = {}
        self._values: dict[str, tuple[str, int]] = {}
        self._tombstones: dict[tuple[str, str], float] = {}

    def append(
        self,
        partitions: Sequence[int],
        events: Sequence[Event],
        epochs: Mapping[int, int] = UNOWNED,
    ) -> list[int]:
        """See ``recsys.ledger.Ledger.append``."""
        held = {
            (e.tenant, p): self._held(e.tenant, p) for p, e in zip(partitions, events, strict=True)
        }
        stale = tuple(
            p
            for (_, p), row in held.items()
            if row.epoch != epochs.get(p, 0) or (row.epoch > 0 and row.owner is None)
        )
        if len(stale) > 0:
            raise StaleEpochError(f"partitions {stale}", "are owned by others", "", stale)
        return [self._add(p, e) for p, e in zip(partitions, events, strict=True)]

    def _partition(self, partition: int) -> _Partition:
        return self._partitions.setdefault(partition, _Partition())

    def _held(self, tenant: str, partition: int) -> _Held:
        return self._owners.setdefault((tenant, partition), _Held())

    def _add(self, partition: int, event: Event) -> int:
        key = (event.tenant, event.user_id, event.event_id)
        if self._is_erased(event.tenant, event.user_id, event.ts):
            return ERASED
        if key in self._ids:
            return DUPLICATE
        row = self._partition(partition)
        row.last_seq += 1
        self._ids[key] = (partition, event.ts)
        self._rows.append((partition, row.last_seq, event._replace(seq=row.last_seq)))
        return row.last_seq

    def _is_erased(self, tenant: str, user_id: str, ts: float) -> bool:
        if ERASURE_KEY not in self._values:
            return False
        name = erasure_pseudonym(self._values[ERASURE_KEY][0], tenant, user_id)
        return ts <= self._tombstones.get((tenant, name), float("-inf"))

    def tail(self, partition: int, after_seq: int = 0, tenant: str | None = None) -> pa.Table:
        """See ``recsys.ledger.Ledger.tail``."""
        found = [
            (*_stored(event), seq)
            for p, seq, event in self._rows
            if p == partition and seq > after_seq and tenant in (None, event.tenant)
        ]
        columns = list(zip(*found, strict=True)) if found else [()] * len(TAIL)
        arrays = [pa.array(c, type=f.type) for c, f in zip(columns, TAIL, strict=True)]
        return pa.Table.from_arrays(arrays, schema=TAIL)

    def last_seq(self, partition: int) -> int:
        """See ``recsys.ledger.Ledger.last_seq``."""
        return self._partition(partition).last_seq

    def trimmed_seq(self, partition: int) -> int:
        """See ``recsys.ledger.Ledger.trimmed_seq``."""
        return self._partition(partition).trimmed_seq

    def start_after(self, partition: int, seq: int) -> None:
        """See ``recsys.ledger.Ledger.start_after``."""
        row = self._partition(partition)
        if row.last_seq < seq:
            row.last_seq = row.trimmed_seq = seq

    def register_archived(self, partitions: Sequence[int], ids: pa.Table) -> int:
        """See ``recsys.ledger.Ledger.register_archived``."""
        before = len(self._ids)
        for partition, row in zip(partitions, ids.to_pylist(), strict=True):
            key, ts = (row["tenant"], row["user_id"], row["event_id"]), row["ts"].timestamp()
            if not self._is_erased(row["tenant"], row["user_id"], ts):
                self._ids.setdefault(key, (partition, ts))
        return len(self._ids) - before

    def trim(self, partition: int, upto_seq: int, keep_ids_after_ts: float) -> int:
        """See ``recsys.ledger.Ledger.trim``."""
        n_removed = self._keep_rows(
            [row for row in self._rows if row[0] != partition or row[1] > upto_seq]
        )
        held = {(e.tenant, e.user_id, e.event_id) for _, _, e in self._rows}
        self._ids = {
            key: (p, ts)
            for key, (p, ts) in self._ids.items()
            if p != partition or ts >= keep_ids_after_ts or key in held
        }
        row = self._partition(partition)
        row.trimmed_seq = max(row.trimmed_seq, min(upto_seq, row.last_seq))
        return n_removed

    def trim_before(self, partition: int, ts: float) -> int:
        """See ``recsys.ledger.Ledger.trim_before``."""
        self._ids = {k: (p, at) for k, (p, at) in self._ids.items() if p != partition or at >= ts}
        return self._keep_rows(
            [row for row in self._rows if row[0] != partition or row[2].ts >= ts]
        )

    def _keep_rows(self, rows: list[tuple[int, int, Event]]) -> int:
        n_removed = len(self._rows) - len(rows)
        self._rows = rows
        return n_removed

    def claim(
        self,
        tenant: str,
        partitions: Sequence[int],
        owner: Owner,
        expected: Mapping[int, int] | None = None,
    ) -> list[Claim]:
        """See ``recsys.ledger.Ledger.claim``."""
        claims = []
        for partition in partitions:
            row = self._held(tenant, partition)
            if expected is not None and row.epoch != expected.get(partition):
                continue
            previous = row.owner
            if previous is not None and previous.is_same_process(owner):
                previous = None
            row.epoch, row.owner = row.epoch + 1, owner
            claims.append(Claim(partition, row.epoch, previous))
        return claims

    def epochs(self, tenant: str, partitions: Sequence[int]) -> dict[int, int]:
        """See ``recsys.ledger.Ledger.epochs``."""
        owners = self.owners(tenant)
        return {p: owners[p][1] for p in partitions if p in owners}

    def owners(self, tenant: str) -> dict[int, tuple[Owner, int]]:
        """See ``recsys.ledger.Ledger.owners``."""
        rows = sorted(
            ((p, row) for (t, p), row in self._owners.items() if t == tenant),
            key=lambda pair: pair[0],
        )
        return {p: (row.owner, row.epoch) for p, row in rows if row.owner is not None}

    def release(self, tenant: str, partitions: Mapping[int, int]) -> None:
        """See ``recsys.ledger.Ledger.release``."""
        for partition, epoch in partitions.items():
            if self._held(tenant, partition).epoch == epoch:
                self._held(tenant, partition).owner = None

    def get_value(self, key: str) -> tuple[str, int] | None:
        """See ``recsys.ledger.Ledger.get_value``."""
        return self._values.get(key)

    def put_value(self, key: str, value: str, version: int) -> bool:
        """See ``recsys.ledger.Ledger.put_value``."""
        if self._values.get(key, ("", 0))[1] != version:
            return False
        self._values[key] = (value, version + 1)
        return True

    def bury(self, tenant: str, pseudonym: str, at: float) -> None:
        """See ``recsys.ledger.Ledger.bury``."""
        key = (tenant, pseudonym)
        self._tombstones[key] = max(at, self._tombstones.get(key, at))

    def erase(self, tenant: str, user_id: str, pseudonym: str, at: float) -> int:
        """See ``recsys.ledger.Ledger.erase``."""
        self.bury(tenant, pseudonym, at)
        user, end = (tenant, user_id), microseconds(at)
        self._ids = {
            k: (p, ts)
            for k, (p, ts) in self._ids.items()
            if k[:2] != user or microseconds(ts) > end
        }
        return self._keep_rows([row for row in self._rows if not _is_old(row[2], user, end)])

    def tombstones(self, tenant: str) -> list[tuple[str, float]]:
        """See ``recsys.ledger.Ledger.tombstones``."""
        found = [(name, at) for (t, name), at in self._tombstones.items() if t == tenant]
        return sorted(found, key=lambda pair: (pair[1], pair[0]))

    def erasure_version(self, tenant: str) -> int:
        """See ``recsys.ledger.Ledger.erasure_version``."""
        return sum(microseconds(at) for _, at in self.tombstones(tenant))

    def close(self) -> None:
        """See ``recsys.ledger.Ledger.close``."""


def _stored(event: Event) -> Event:
    """An event with its times as the ledger keeps them: whole microseconds."""
    return event._replace(ts=microseconds(event.ts), ingested_at=microseconds(event.ingested_at))


def _is_old(event: Event, user: tuple[str, str], end: int) -> bool:
    """Whether an event is of a user, and not later than a time (microseconds)."""
    return (event.tenant, event.user_id) == user and microseconds(event.ts) <= end
