"""The routes of single users: what is known of them, changed, exported and erased."""

from __future__ import annotations

import math
from typing import Annotated, Any

from fastapi import Depends, Request

from recsys.errors import EventError, UnavailableError
from recsys.people import Person
from serving.api.body import read_json
from serving.api.checks import check_id, check_text
from serving.api.errors import DOCUMENTED
from serving.api.parameters import UserId
from serving.api.reading import described, read_model
from serving.api.standing import Gate, check_whole, gateway_of, new_router, stage_of
from serving.api.user_schemas import (
    MAX_ATTRIBUTES,
    AttributesReply,
    ErasedReply,
    ExportReply,
    UserIn,
    UserReply,
)
from serving.gateway import Gateway
from serving.users import UserDesk
from serving.versions import format_versions

router = new_router(responses=DOCUMENTED)

PREFIX = b"/v1/users/"
MAX_VALUE_BYTES = 1_024
DONE = [
    "the tombstone is durable: earlier events of theirs are refused, and whoever reads passes over"
    " those that are there",
    "attributes and follows are removed, and the user from what others follow",
]
LEFT = [
    "rows in ledger and archive, snapshots, cached vectors of their words, training data,"
    " quarantine and batch outputs",
]
FINISH = "python -m pipelines.erase --store S --user U"
_EXAMPLE = {"attributes": {"country": "DE", "plan": "free"}, "follows": ["12"]}


async def _desk(request: Request) -> UserDesk:
    desk: UserDesk | None = stage_of(request).front.users
    if desk is None:
        raise UnavailableError("users", "are not stored here", "Ask a running service")
    return desk


async def _named(request: Request, user_id: UserId) -> str:
    """The id, if it is sound and all of the path."""
    is_export = request.scope["route"].path.endswith("/export")
    check_whole(request, PREFIX, b"/export" if is_export else b"")
    gateway: Gateway = gateway_of(request)
    return check_id("user_id", user_id, gateway.settings.data.max_id_bytes)


Desk = Annotated[UserDesk, Depends(_desk)]
Named = Annotated[str, Depends(_named)]


@router.get("/v1/users/{user_id:id}/export")
async def export_user(desk: Desk, user_id: Named) -> ExportReply:
    """Everything that is held about a user; of somebody unknown, nothing.

    Batch outputs are told by ``python -m pipelines.export`` only. One export is made at a time.
    """
    return ExportReply(**await desk.export(user_id))


@router.get("/v1/users/{user_id:id}")
async def get_user(gateway: Gate, desk: Desk, user_id: Named) -> UserReply:
    """What is known of a user; interests are told by the profile."""
    now, person = gateway.now(), desk.of(user_id)
    (view,) = await gateway.pool.read([user_id], now, {})
    return UserReply(
        user_id=user_id,
        is_known=view.is_known or person != Person(),
        attributes=dict(person.attributes),
        follows=list(person.follows),
        n_events=view.n_events,
        latest_event=view.t_ref if math.isfinite(view.t_ref) else None,
        profile_version=format_versions({view.partition: view.version}),
        as_of=now,
    )


@router.put("/v1/users/{user_id:id}", openapi_extra=described(UserIn, _EXAMPLE))
async def put_user(request: Request, gateway: Gate, desk: Desk, user_id: Named) -> AttributesReply:
    """Say what is known of a user: attributes and follows as a whole.

    The change is durable when the reply comes, and counts in the next slate of the replica that
    answers. Attributes that come with a request for a slate are stronger.
    """
    told = await _told(request, gateway)
    given = {name: value for name, value in told.attributes.items() if value is not None}
    person = Person(given, tuple(told.follows or ()))
    return _reply(gateway, user_id, await desk.write(user_id, lambda _: person))


@router.patch("/v1/users/{user_id:id}", openapi_extra=described(UserIn, _EXAMPLE))
async def patch_user(
    request: Request, gateway: Gate, desk: Desk, user_id: Named
) -> AttributesReply:
    """Change some attributes of a user, or whom they follow; null takes an attribute away."""
    told = await _told(request, gateway)

    def changed(known: Person) -> Person:
        merged: dict[str, Any] = {**known.attributes, **told.attributes}
        left = {name: value for name, value in merged.items() if value is not None}
        if len(left) > MAX_ATTRIBUTES:
            problem = f"are {len(left)} with those that are known"
            raise EventError("attributes", problem, f"At most {MAX_ATTRIBUTES} are kept")
        return Person(left, known.follows if told.follows is None else tuple(told.follows))

    return _reply(gateway, user_id, await desk.write(user_id, changed))


@router.delete("/v1/users/{user_id:id}", status_code=202)
async def delete_user(gateway: Gate, desk: Desk, user_id: Named) -> ErasedReply:
    """Erase a user: what can be done while the service runs is done, and the rest is named.

    The answer is the same whether anything was known of them or not. Who comes back is somebody
    new: events later than the erasure count.
    """
    until = gateway.now()
    try:
        (view,) = await gateway.pool.read([user_id], until, {})
        until = max(until, view.t_ref)
    except UnavailableError:
        pass  # events are never dated ahead of their gateway's clock
    return ErasedReply(
        receipt=await desk.erase(user_id, until),
        done=DONE,
        left=LEFT,
        shards_forget_within_s=gateway.settings.serving.lease_s / 4,
        finish=FINISH,
    )


async def _told(request: Request, gateway: Gateway) -> UserIn:
    body = await read_json(request, gateway.settings.serving.max_body_bytes)
    told, max_bytes = read_model(UserIn, body), gateway.settings.data.max_id_bytes
    for name, value in told.attributes.items():
        check_id("attributes", name, max_bytes)
        check_text("attributes", value or "", MAX_VALUE_BYTES)
    for other in told.follows or ():
        check_id("follows", other, max_bytes)
    return told


def _reply(gateway: Gateway, user_id: str, person: Person) -> AttributesReply:
    return AttributesReply(
        user_id=user_id,
        attributes=dict(person.attributes),
        follows=list(person.follows),
        elsewhere_within_s=gateway.settings.serving.rules_poll_s,
    )
