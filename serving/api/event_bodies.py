"""The JSON body of events: one alone, or many."""

from __future__ import annotations

import json
from typing import Any

from fastapi import Request

from recsys.errors import EventError
from serving.api.body import read_json
from serving.api.idempotency import KeysSeen, with_ids
from serving.api.schemas import EventsReply
from serving.gateway import Gateway

_ONE = {"user_id": "479", "item_id": "50", "kind": "click", "rank": 1}
_MORE = {"user_id": "479", "item_id": "172", "kind": "rating", "value": 5.0}

EVENT_BODIES: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "anyOf": [
                        {"$ref": "#/components/schemas/EventIn"},
                        {"$ref": "#/components/schemas/EventsIn"},
                    ]
                },
                "examples": {
                    "one": {"summary": "One event", "value": _ONE},
                    "many": {"summary": "Many events", "value": {"events": [_ONE, _MORE]}},
                },
            },
            "application/x-ndjson": {
                "schema": {"type": "string", "description": "An EventIn a line."},
                "example": f"{json.dumps(_ONE)}\n{json.dumps(_MORE)}\n",
            },
        },
    }
}
"""For the OpenAPI entry."""


async def take_events(
    request: Request, gateway: Gateway, keys: KeysSeen, key: str | None
) -> EventsReply:
    """Read a body of one event or many, and take them.

    Raises:
        EventError: if it holds neither, the one is refused, or the key came with another body.
        UnavailableError: if they could not be made durable in time.
    """
    body = await read_json(request, gateway.settings.serving.max_body_bytes)
    if not isinstance(body, dict):
        raise EventError("body", "is no object", 'Send an event, or {"events": [...]}')
    if key is not None:
        keys.check(key, json.dumps(body, sort_keys=True).encode())
    try:
        return await _take(body, gateway, key)
    except EventError:
        if key is not None:
            keys.forget(key)
        raise


async def _take(body: dict[str, Any], gateway: Gateway, key: str | None) -> EventsReply:
    if "events" not in body:
        return await gateway.post_event(with_ids([body], key)[0])
    if set(body) != {"events"} or not isinstance(body["events"], list):
        raise EventError("events", "is no list, or has company", 'Send {"events": [...]}')
    return await gateway.post_events(with_ids(body["events"], key))
