"""From what was computed to what is sent."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pydantic import TypeAdapter

from recsys.bundle import Bundle
from recsys.coldstart.reading import Statement
from recsys.shelf import Shelf, interests
from recsys.slate import Slate
from serving.api.schemas import (
    HalfLifeOut,
    HealthReply,
    InterestOut,
    ProfileReply,
    RecentOut,
    ShardOut,
    SlateItemOut,
    SlateReply,
)
from serving.api.statement_schemas import ClauseOut, StatementOut
from serving.asking import Asker
from serving.observability.request import current
from serving.pool.messages import ProfileView, ShardStatus
from serving.versions import format_versions

N_INTERESTS = 10

_ITEMS = TypeAdapter(list[SlateItemOut])


def slate_items(slate: Slate) -> list[SlateItemOut]:
    """The places of a slate, with their reasons."""
    return _ITEMS.validate_python(  # all at once: many models take longer than a slate
        [
            {
                "item_id": item.item_id,
                "title": item.title,
                "rank": item.rank,
                "score": item.score,
                "parts": item.parts,
                "sources": item.sources,
                "log_propensity": item.log_propensity,
                "rules": list(item.rules),
                "probability": item.probability,
                "reason": item.reason,
            }
            for item in slate.items
        ]
    )


def with_asker(reply: SlateReply, asker: Asker, note: str | None = None) -> SlateReply:
    """The reply, with what it says of the one who asked, and what their wishes did to it."""
    told = [text for text in (note, reply.reason) if text is not None]
    reply.reason = "; ".join(told) if len(told) > 0 else None
    is_user = asker.user_id is not None
    reply.user_id = asker.user_id
    reply.profile_version = None if asker.view is None else profile_version(asker.view)
    reply.degraded = is_user and asker.view is None
    reply.cold_start = not asker.is_known and not reply.degraded
    reply.unknown_items = list(asker.unknown_items)
    reply.statement = _statement(asker.evidence.told.statement)
    current().slate(reply.degraded, reply.cold_start)
    return reply


def _statement(statement: Statement | None) -> StatementOut | None:
    if statement is None:
        return None
    clauses = [
        ClauseOut(text=one.text, is_wished=one.is_wished, topics=list(one.topics))
        for one in statement.heard
    ]
    unknown = list(statement.unknown)
    return StatementOut(clauses=clauses, is_read=statement.is_read, unknown=unknown)


def health_reply(
    bundle: Bundle, trend_as_of: float | None, shards: Sequence[ShardStatus]
) -> HealthReply:
    """What a healthy service says of itself."""
    return HealthReply(
        status="ok",
        tenant=bundle.tenant,
        bundle_id=bundle.bundle_id,
        n_items=len(bundle.catalog),
        n_users=sum(shard.n_users for shard in shards),
        trend_as_of=trend_as_of,
        shards=[
            ShardOut(
                name=shard.name.partition(".")[0],
                n_partitions=len(shard.partitions),
                n_users=shard.n_users,
                n_events=shard.n_events,
                recovery_s=shard.recovery_s,
                n_standby=len(shard.copies),
            )
            for shard in shards
        ],
    )


def profile_version(view: ProfileView) -> str:
    """The version token that a profile was read at."""
    return format_versions({view.partition: view.version})


def profile_reply(shelf: Shelf, view: ProfileView) -> ProfileReply:
    """A profile for people: half-lives, interests, recent events."""
    half_lives = zip(shelf.interest.half_lives_s, view.mass, view.confidence, strict=True)
    return ProfileReply(
        user_id=view.user_id,
        as_of=view.as_of,
        last_event_at=view.t_ref if math.isfinite(view.t_ref) else None,
        n_events=view.n_events,
        profile_version=profile_version(view),
        cold_start=not view.is_known,
        query=[float(value) for value in view.query.vectors[0, 0]],
        more_queries=view.query.vectors[0, 1:].tolist(),
        half_lives=[
            HalfLifeOut(half_life_s=half_life_s, mass=float(mass), confidence=float(confidence))
            for half_life_s, mass, confidence in half_lives
        ],
        interests=[
            InterestOut(label=label, weight=weight) for label, weight in _interests(shelf, view)
        ],
        recent=recent_events(shelf, view),
    )


def recent_events(shelf: Shelf, view: ProfileView) -> list[RecentOut]:
    """The recent events of a profile, the latest first."""
    recent = zip(
        view.recent_item, view.recent_kind, view.recent_ts, view.recent_importance, strict=True
    )
    catalog = shelf.catalog
    return [
        RecentOut(
            item_id=catalog.item_ids[row],
            title=catalog.label(int(row)),
            kind=kind,
            ts=float(ts),
            importance=float(importance),
        )
        for row, kind, ts, importance in recent
    ]


def _interests(shelf: Shelf, view: ProfileView) -> list[tuple[str, float]]:
    vectors = view.query.vectors[0]
    return interests(shelf, vectors, limit=N_INTERESTS) if view.is_known else []
