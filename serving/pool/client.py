"""The client of a pool: finds the shard of a user, keeps deadlines, retries what is safe to retry.

A write is safe to repeat: its events keep their ids, and an id that the ledger has is a duplicate.
Reads of single profiles go together where they come together (``read_lines``).
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recsys.errors import UnavailableError
from recsys.interest.model import Query
from recsys.schema import Event, partition_of
from serving.pool.assignment import ShardMap
from serving.pool.calls import ActorCalls
from serving.pool.messages import AckBatch, ProfileView, ShardStatus, TrendUpdate
from serving.pool.packing import pack, unpack
from serving.pool.query_batch import QueryBatch
from serving.pool.read_lines import ReadLines
from serving.pool.spec import DIRECTORY, TREND_BOARD, PoolSpec

RETRY_EVERY_S = 0.05
MAP_TIMEOUT_S = 1.0
"""Seconds that a client waits for the directory while it has an older map to go by."""

READ, WRITE, CONTROL = "read", "write", "control"
"""Concurrency groups of a shard."""


class PoolClient:
    """A ``Pool`` of named actors; made by ``ensure_pool``.

    Args:
        spec: the pool.
        timeout_s: seconds after which a call is given up; None = the setting.
        calls: by which actors are asked; None = Ray's.
    """

    def __init__(
        self, spec: PoolSpec, timeout_s: float | None = None, calls: ActorCalls | None = None
    ) -> None:
        self.spec = spec
        serving = spec.settings.serving
        self._timeout_s = serving.request_timeout_s if timeout_s is None else timeout_s
        self._calls = ActorCalls(spec, serving.attempt_timeout_s) if calls is None else calls
        self._lines = ReadLines(self._read_many)
        self._map: ShardMap | None = None
        self._last_map: ShardMap | None = None

    async def append(self, events: Sequence[Event]) -> AckBatch:
        """Commit and fold events.

        Raises:
            UnavailableError: if a shard did not answer in time. Some of the events may be
                committed; sending all of them again with the same ids is safe.
        """
        pending: dict[int, list[Event]] = defaultdict(list)
        for event in events:
            pending[self._partition(event.user_id)].append(event)
        given = (pending, "packed_append", WRITE, self._deadline())
        acks: list[AckBatch] = list(map(unpack, await self._scatter(*given, is_packed=True)))
        return AckBatch(
            n_accepted=sum(ack.n_accepted for ack in acks),
            n_duplicates=sum(ack.n_duplicates for ack in acks),
            n_pending=sum(ack.n_pending for ack in acks),
            versions={p: version for ack in acks for p, version in ack.versions.items()},
            refused=tuple(event_id for ack in acks for event_id in ack.refused),
        )

    async def read(
        self,
        user_ids: Sequence[str],
        as_of: float,
        min_versions: Mapping[int, int],
        timeout_s: float | None = None,
    ) -> list[ProfileView]:
        """Profiles, in the order of ``user_ids``.

        Args:
            user_ids: whose; distinct.
            as_of: Unix seconds; a profile whose latest event is later is read at that event.
            min_versions: partition -> ledger sequence that the answer must contain.
            timeout_s: seconds after which it is given up; None = as made.

        Raises:
            UnavailableError: if a shard did not answer in time, or not with ``min_versions``.
        """
        deadline = self._deadline(timeout_s)
        if len(user_ids) == 1 and len(min_versions) == 0:
            view = await self._view(user_ids[0], as_of, deadline)
            if view is not None:
                return [view]
        views: dict[str, ProfileView] = {}
        missing = list(user_ids)
        late: UnavailableError | None = None
        while len(missing) > 0:
            pending: dict[int, list[str]] = defaultdict(list)
            for user_id in missing:
                pending[self._partition(user_id)].append(user_id)
            try:
                parts = await self._scatter(
                    pending, "packed", READ, deadline, as_of, is_packed=True
                )
            except UnavailableError as error:  # with no time left, what was seen before says more
                raise (late or error) from error
            for part in parts:
                views.update((view.user_id, view) for view in unpack(part))
            missing = [
                user_id
                for user_id in missing
                if views[user_id].version < min_versions.get(views[user_id].partition, 0)
            ]
            if len(missing) > 0:
                late = UnavailableError("profile", "has not caught up with min_version yet")
                await self._pause(deadline, late, is_lost=False)
        return [views[user_id] for user_id in user_ids]

    async def _view(self, user_id: str, as_of: float, deadline: float) -> ProfileView | None:
        """One profile, read together with those that others ask for; None = it has to be retried.

        Raises:
            UnavailableError: if it did not come by the deadline.
        """
        shard = (await self._shard_map(deadline)).owners[self._partition(user_id)]
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                return await self._lines.view(shard, user_id, as_of)
        except TimeoutError as error:
            raise UnavailableError(f"actor {shard}", "does not answer", "Retry") from error
        except UnavailableError:
            return None

    async def _read_many(
        self, shard: str, user_ids: Sequence[str], moments: npt.NDArray[np.float64]
    ) -> Sequence[ProfileView]:
        asked = pack((user_ids, moments))
        views: Sequence[ProfileView] = unpack(
            await self._calls.ask(shard, "packed", READ, self._deadline(), asked)
        )
        return views

    async def queries(self, user_ids: Sequence[str], as_of: float) -> dict[str, Query]:
        """What users ask for as of a moment; less is sent than by ``read``.

        Args:
            user_ids: whose; distinct. Those of whom there is no event are left out.
            as_of: Unix seconds.

        Raises:
            UnavailableError: if a shard did not answer in time.
        """
        pending: dict[int, list[str]] = defaultdict(list)
        for user_id in user_ids:
            pending[self._partition(user_id)].append(user_id)
        given = (pending, "packed_queries", READ, self._deadline(), as_of)
        parts: list[QueryBatch] = list(map(unpack, await self._scatter(*given, is_packed=True)))
        return {
            user_id: part.query.of(b)
            for part in parts
            for b, user_id in enumerate(part.user_ids)
            if part.is_known[b]
        }

    async def record(self, user_id: str, timeout_s: float) -> pa.Table | None:
        """All events of a user, schema ``EVENTS``; None where reading them would take too long.

        Raises:
            UnavailableError: if the shard did not answer in time.
            ConflictError: if the archive changed meanwhile; ask again.
        """
        asked, deadline = {self._partition(user_id): [user_id]}, self._deadline(timeout_s)
        ((found,),) = await self._scatter(asked, "record", READ, deadline)
        table: pa.Table | None = found
        return table

    async def pull_trend(self, version: int) -> TrendUpdate:
        """What came to the trend board since ``version``.

        Raises:
            UnavailableError: if the board is away.
        """
        found = await self._calls.ask(TREND_BOARD, "pull", None, self._deadline(), version)
        update: TrendUpdate = found
        return update

    async def waiting_texts(self) -> dict[str, list[str]]:
        """Name of a shard -> texts that its events wait for; shards that want none are left out.

        Raises:
            UnavailableError: if a shard does not answer in time.
        """
        found = await self._ask_all("waiting_texts")
        return {name: texts for name, texts in found.items() if texts}

    async def take_texts(
        self, shard: str, texts: Sequence[str], vectors: npt.NDArray[np.float32]
    ) -> int:
        """Bring a shard the vectors (n, E) of texts (n,); return how many events they folded.

        Raises:
            UnavailableError: if it does not answer in time; it asks again.
        """
        deadline = self._deadline()
        n_folded: int = await self._calls.ask(shard, "take_texts", WRITE, deadline, texts, vectors)
        return n_folded

    async def status(self) -> list[ShardStatus]:
        """What each shard holds.

        Raises:
            UnavailableError: if one does not answer in time.
        """
        return list((await self._ask_all("status")).values())

    async def _ask_all(self, method: str) -> dict[str, Any]:
        """Role -> answer of every shard; where one is away the map is looked at anew."""
        deadline = self._deadline()
        while True:
            roles = (await self._shard_map(deadline)).shards
            calls = (self._calls.ask(role, method, CONTROL, deadline) for role in roles)
            try:
                return dict(zip(roles, await asyncio.gather(*calls), strict=True))
            except UnavailableError as error:
                await self._pause(deadline, error)

    async def _scatter(
        self,
        by_partition: Mapping[int, Sequence[Any]],
        method: str,
        group: str,
        deadline: float,
        *args: Any,
        is_packed: bool = False,
    ) -> list[Any]:
        """One call per shard with what its partitions are asked; what fails is asked again."""
        pending = dict(by_partition)
        done: list[Any] = []
        while True:
            groups: dict[str, list[int]] = defaultdict(list)
            shard_map = await self._shard_map(deadline)
            for partition in pending:
                groups[shard_map.owners[partition]].append(partition)
            asked = {
                shard: ([i for p in mine for i in pending[p]], *args)
                for shard, mine in groups.items()
            }
            calls = (
                self._calls.ask(shard, method, group, deadline, *((pack(a),) if is_packed else a))
                for shard, a in asked.items()
            )
            failure = None
            results = await asyncio.gather(*calls, return_exceptions=True)
            for mine, result in zip(groups.values(), results, strict=True):
                if isinstance(result, UnavailableError):
                    failure = result
                elif isinstance(result, BaseException):
                    raise result
                else:
                    done.append(result)
                    for partition in mine:
                        del pending[partition]
            if failure is None:
                return done
            await self._pause(deadline, failure)

    async def _shard_map(self, deadline: float) -> ShardMap:
        """The map; while the directory is away, the last one that is known."""
        while self._map is None:
            known = self._last_map
            until = deadline if known is None else min(deadline, time.monotonic() + MAP_TIMEOUT_S)
            try:
                self._map = self._last_map = await self._calls.ask(DIRECTORY, "map", None, until)
            except UnavailableError as error:
                if known is not None:
                    return known
                await self._pause(deadline, error)
        return self._map

    async def _pause(self, deadline: float, error: UnavailableError, is_lost: bool = True) -> None:
        """Wait before a retry, or give up at the deadline; where an actor is lost, look anew."""
        if time.monotonic() + RETRY_EVERY_S >= deadline:
            raise error
        if is_lost:
            self._map = None
            self._calls.forget()
        await asyncio.sleep(RETRY_EVERY_S)

    def _partition(self, user_id: str) -> int:
        return partition_of(self.spec.tenant, user_id, self.spec.n_partitions)

    def _deadline(self, timeout_s: float | None = None) -> float:
        return time.monotonic() + (self._timeout_s if timeout_s is None else timeout_s)
