"""The routes that say what is served: bundles, figures, and whether traffic may come."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import Path, Request
from pydantic import BaseModel

from recsys.bundles import Listed, list_bundles, model_of
from recsys.errors import EventError, NotFoundError
from serving.api.errors import DOCUMENTED
from serving.api.pages import Cursor, Limit, cursor_of, place_of
from serving.api.standing import Gate, new_router
from serving.gateway import Gateway

router = new_router(responses=DOCUMENTED)

BundleId = Annotated[str, Path(description="Id of the bundle.")]


class BundleOut(BaseModel):
    """One bundle."""

    bundle_id: str
    is_current: bool
    """Whether the store's pointer names it."""
    is_served: bool
    """Whether the replica that answers serves it."""
    problem: str | None = None
    """What is wrong with it; null = nothing, and the fields below are known."""
    created_at: float | None = None
    """Unix seconds."""
    model: str | None = None
    """``zero-shot`` or ``learned``."""
    n_snapshots: int
    """Partitions whose profiles are made for it."""


class BundlesReply(BaseModel):
    """Bundles, the newest first."""

    bundles: list[BundleOut]
    next_cursor: str | None = None
    """Give it as ``cursor`` for what follows; null = that is all."""


class ReadyReply(BaseModel):
    """The replica takes traffic."""

    status: Literal["ready"]
    bundle_id: str


class StatsReply(BaseModel):
    """Figures of the tenant's pool and of the replica that answers."""

    tenant: str
    bundle_id: str
    rules_version: str | None
    """Null = there are no rules."""
    n_items: int
    n_users: int
    """In memory of the pool."""
    n_events: int
    """Events folded since the shards' start, what they recovered included."""
    n_appended: int
    """Events that came since the shards' start."""
    n_partitions: int
    n_shards: int
    queue_s: float
    """Mean seconds to an acknowledgement on the slowest shard."""
    trend_as_of: float | None
    as_of: float
    """Unix seconds."""
    uptime_s: float
    """Seconds since the replica that answers started."""


@router.get("/v1/bundles")
async def get_bundles(gateway: Gate, limit: Limit = 20, cursor: Cursor = None) -> BundlesReply:
    """The tenant's bundles, the newest first."""
    after = None if cursor is None else place_of(cursor)
    found = await _listed(gateway)
    ids = [one.bundle_id for one in found]
    if after is not None and after not in ids:
        raise EventError("cursor", "names nothing that is there", "Begin without a cursor")
    start = 0 if after is None else ids.index(after) + 1
    page = found[start : start + limit]
    more = start + limit < len(found)
    return BundlesReply(bundles=page, next_cursor=cursor_of(page[-1].bundle_id) if more else None)


@router.get("/v1/bundles/{bundle_id:id}")
async def get_bundle(gateway: Gate, bundle_id: BundleId) -> BundleOut:
    """One bundle."""
    for one in await _listed(gateway):
        if one.bundle_id == bundle_id:
            return one
    raise NotFoundError("the bundle", "does not exist", "GET /v1/bundles lists them")


@router.get("/readyz")
async def readyz(gateway: Gate) -> ReadyReply:
    """200 when slates can be made: the bundle is loaded and every shard answers; else 503."""
    await gateway.pool.status()
    return ReadyReply(status="ready", bundle_id=gateway.bundle.bundle_id)


@router.get("/v1/stats")
async def stats(request: Request, gateway: Gate) -> StatsReply:
    """Figures: users, events, items, versions, and for how long."""
    shards = await gateway.pool.status()
    rules = None if gateway.rules is None else gateway.rules.standing.current.version
    now = gateway.now()
    return StatsReply(
        tenant=gateway.bundle.tenant,
        bundle_id=gateway.bundle.bundle_id,
        rules_version=rules,
        n_items=len(gateway.bundle.catalog),
        n_users=sum(shard.n_users for shard in shards),
        n_events=sum(shard.n_events for shard in shards),
        n_appended=sum(shard.n_appended for shard in shards),
        n_partitions=sum(len(shard.partitions) for shard in shards),
        n_shards=len(shards),
        queue_s=max((shard.queue_s for shard in shards), default=0.0),
        trend_as_of=gateway.slates.trend.as_of,
        as_of=now,
        uptime_s=now - request.app.state.started_at,
    )


async def _listed(gateway: Gateway) -> list[BundleOut]:
    bundle = gateway.bundle
    lines: Sequence[Listed] = await asyncio.to_thread(list_bundles, bundle.store, bundle.tenant)
    return [_out(line, bundle.bundle_id) for line in lines]


def _out(line: Listed, served: str) -> BundleOut:
    manifest = line.manifest
    return BundleOut(
        bundle_id=line.bundle_id,
        is_current=line.is_current,
        is_served=line.bundle_id == served,
        problem=None if manifest is not None else "its manifest is not sound",
        created_at=None if manifest is None else float(manifest["created_at"]),
        model=None if manifest is None else model_of(manifest),
        n_snapshots=line.n_snapshots,
    )
