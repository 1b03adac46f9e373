"""The route of slate feedback: what was shown, and what the user did."""

from __future__ import annotations

import json
from typing import Any

from fastapi import Request

from recsys.errors import EventError
from serving.api.body import read_json
from serving.api.checks import check_id
from serving.api.errors import DOCUMENTED
from serving.api.feedback_schemas import FeedbackIn
from serving.api.idempotency import IdempotencyKey, KeysSeen, derived_id
from serving.api.parameters import RequestId
from serving.api.reading import described, read_model
from serving.api.schemas import EventsReply
from serving.api.standing import Gate, new_router

router = new_router(responses=DOCUMENTED)

IMPRESSION = "impression"


_EXAMPLE = {
    "user_id": "479",
    "shown": ["50", "172", "181"],
    "events": [{"item_id": "172", "kind": "click"}],
}


@router.post(
    "/v1/slates/{request_id:id}/feedback",
    status_code=202,
    openapi_extra=described(FeedbackIn, _EXAMPLE),
)
async def post_feedback(
    request: Request,
    gateway: Gate,
    request_id: RequestId,
    key: IdempotencyKey = None,
) -> EventsReply:
    """Say what of a slate was shown, in its order, and what the user did.

    Every item shown becomes an impression with its rank; a slate's impressions count once, however
    often they are sent. Events get the slate's ``request_id``, and their rank from ``shown``. In
    ``rejected`` the items of ``shown`` are counted first, then ``events``.
    """
    check_id("request_id", request_id, gateway.settings.data.max_id_bytes)
    body = await read_json(request, gateway.settings.serving.max_body_bytes)
    told = read_model(FeedbackIn, body)
    if key is not None:
        keys: KeysSeen = request.app.state.keys
        keys.check(key, json.dumps([request_id, body], sort_keys=True).encode())
    raw = [*_impressions(request_id, told), *_events(request_id, told, key)]
    if len(raw) == 0:
        raise EventError("feedback", "says nothing", 'Send "shown", "events", or both')
    return await gateway.post_events(raw)


def _impressions(request_id: str, told: FeedbackIn) -> list[dict[str, Any]]:
    return [
        {
            **_about(request_id, told),
            "item_id": item_id,
            "kind": IMPRESSION,
            "rank": rank,
            "event_id": derived_id(request_id, IMPRESSION, rank, item_id),
        }
        for rank, item_id in enumerate(told.shown, 1)
    ]


def _events(request_id: str, told: FeedbackIn, key: str | None) -> list[dict[str, Any]]:
    rank_of = {item_id: rank for rank, item_id in reversed([*enumerate(told.shown, 1)])}
    found = []
    for place, event in enumerate(told.events):
        said = event.model_dump(exclude_none=True)
        if key is not None:
            said.setdefault("event_id", derived_id(key, place))
        if event.item_id in rank_of:
            said.setdefault("rank", rank_of[event.item_id])
        found.append({**_about(request_id, told), **said})
    return found


def _about(request_id: str, told: FeedbackIn) -> dict[str, Any]:
    """What all events of a feedback have in common."""
    about = {"ts": told.ts, "session_id": told.session_id, "source": told.source}
    known = {name: value for name, value in about.items() if value is not None}
    return {**known, "user_id": told.user_id, "request_id": request_id}
