"""From messages to what the gateway takes, and back."""

from __future__ import annotations

from typing import Any

from serving.api.schemas import EventsReply, SlateItemOut, SlateReply
from serving.rpc.halflife_pb2 import Event, IngestReply, Item, RecommendRequest, Rejected, Slate
from serving.slates import SlateRequest

DEFAULT = SlateRequest()


def slate_request(asked: RecommendRequest) -> SlateRequest:
    """What a slate is asked for with; what is not set takes the default."""
    told = {field.name: value for field, value in asked.ListFields()}
    return SlateRequest(
        k=told.get("k", DEFAULT.k),
        exclude_seen=told.get("exclude_seen", DEFAULT.exclude_seen),
        as_of=told.get("as_of"),
        min_version=told.get("min_version"),
        diversity=told.get("diversity"),
        explain="reason" if told.get("explain", True) else "none",
    )


def raw_event(event: Event) -> dict[str, Any]:
    """An event as JSON would bring it: only what was set."""
    return {field.name: value for field, value in event.ListFields()}


def slate_message(reply: SlateReply) -> Slate:
    """A slate as a message."""
    return Slate(
        request_id=reply.request_id,
        user_id=reply.user_id,
        as_of=reply.as_of,
        trend_as_of=reply.trend_as_of,
        profile_version=reply.profile_version,
        degraded=reply.degraded,
        cold_start=reply.cold_start,
        reason=reply.reason,
        items=[_item(item) for item in reply.items],
    )


def ingest_message(reply: EventsReply) -> IngestReply:
    """What became of events, as a message."""
    return IngestReply(
        accepted=reply.accepted,
        duplicates=reply.duplicates,
        pending=reply.pending,
        rejected=[Rejected(**one.model_dump()) for one in reply.rejected],
        version=reply.version,
    )


def _item(item: SlateItemOut) -> Item:
    return Item(
        item_id=item.item_id,
        title=item.title,
        rank=item.rank,
        score=item.score,
        parts=item.parts,
        reason="" if item.reason is None else item.reason.text,
        sources=item.sources,
    )
