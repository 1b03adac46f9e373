"""The routes of business rules."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from pydantic import BaseModel, ValidationError

from recsys.errors import EventError, NotFoundError
from recsys.rules.schema import read_rules
from serving.api.body import read_json
from serving.api.errors import DOCUMENTED, documented
from serving.api.rule_schemas import (
    DryRunIn,
    DryRunReply,
    RollbackIn,
    RulesIn,
    RulesReply,
    TurnOut,
    WarningOut,
)
from serving.api.standing import Gate, gateway_of, new_router
from serving.dry_run import dry_run
from serving.rules import RuleDesk, Standing

router = new_router(prefix="/v1/rules", responses={**DOCUMENTED, **documented(409)})
BODIES = (RulesIn, RollbackIn, DryRunIn)
"""Bodies that are read by hand."""

Body = TypeVar("Body", bound=BaseModel)


async def _desk(request: Request) -> RuleDesk:
    desk = gateway_of(request).rules
    if desk is None:
        raise NotFoundError("rules", "are not served here", "Start the service with a store")
    return desk


Desk = Annotated[RuleDesk, Depends(_desk)]


def _body(model: str) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{model}"}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


@router.get("")
async def get_rules(desk: Desk) -> RulesReply:
    """The rules that count, and which versions did before."""
    return await asyncio.to_thread(_reply, desk.standing)


@router.put("", openapi_extra=_body("RulesIn"))
async def put_rules(request: Request, gateway: Gate, desk: Desk) -> RulesReply:
    """Write a whole set of rules, if nobody did since ``expected_version`` was read (else 409).

    Every expression is compiled and type-checked first, and the items that it is about are found.
    Slates of this replica obey at once, those of others within ``serving.rules_poll_s``.
    """
    raw = await read_json(request, gateway.settings.serving.max_body_bytes)
    told = _read(RulesIn, raw)
    expected, now = told.expected_version, gateway.now()
    return _reply(await asyncio.to_thread(desk.put, raw["rules"], expected, now))


@router.post("/rollback", openapi_extra=_body("RollbackIn"))
async def post_rollback(request: Request, gateway: Gate, desk: Desk) -> RulesReply:
    """Let an earlier version count again."""
    raw = await read_json(request, gateway.settings.serving.max_body_bytes)
    told = _read(RollbackIn, raw)
    expected, now = told.expected_version, gateway.now()
    return _reply(await asyncio.to_thread(desk.roll_back, told.version, expected, now))


@router.post("/dry-run", openapi_extra=_body("DryRunIn"))
async def post_dry_run(request: Request, gateway: Gate, desk: Desk) -> DryRunReply:
    """What rules would change of somebody's slate; nothing is written."""
    raw = await read_json(request, gateway.settings.serving.max_body_bytes)
    told = _read(DryRunIn, raw)
    rules = await asyncio.to_thread(desk.compile, raw["rules"])
    return await dry_run(gateway, told, rules)


def _read(model: type[Body], raw: Any) -> Body:
    if isinstance(raw, dict) and isinstance(raw.get("rules"), list):
        read_rules({"rules": raw["rules"]})  # its errors name the rule
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "body"
        raise EventError(place, first["msg"]) from error


def _reply(standing: Standing) -> RulesReply:
    turns = reversed(standing.current.history)
    return RulesReply(
        version=standing.current.version,
        rules=list(standing.compiled.rule_set.rules),
        warnings=[WarningOut(rules=list(one.rules), text=one.text) for one in standing.warnings],
        history=[TurnOut(version=turn.version, at=turn.at) for turn in turns],
    )
