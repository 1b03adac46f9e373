"""The route of slates for many users."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Request
from pydantic import BaseModel, Field

from recsys.rules.request import read_context
from serving.api import schemas
from serving.api.body import read_json
from serving.api.errors import DOCUMENTED
from serving.api.filters import filtered
from serving.api.reading import described, read_model
from serving.api.standing import gateway_of, new_router, stage_of
from serving.batches import recommend_many
from serving.gateway import Gateway
from serving.slates import SlateRequest

router = new_router(responses=DOCUMENTED)


class BatchIn(schemas.Request):
    """Slates for many users; all that is asked for beside ``user_ids`` counts for each."""

    user_ids: Annotated[list[str], Field(min_length=1)]
    """Whose slates, each once; at most ``serving.api.max_users_per_request``."""
    k: Annotated[int, Field(ge=1)] = 10
    """Length of each slate."""
    exclude_seen: bool = True
    """Leave out what a user touched before."""
    as_of: schemas.Time | None = None
    """The moment that the slates are for; default: now."""
    min_version: str | None = None
    """Version token of a write that the slates must see."""
    diversity: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    """How much unlike each other the items shall be; default: as the server is set."""
    explain: Literal["none", "reason"] = "reason"
    """What is said about why."""
    context: Annotated[dict[str, Any], Field(default_factory=dict)]
    """What rules may ask: ``context.NAME``, and under ``user`` the ``user.attributes``."""
    filter: str | None = None
    """Only items of which this holds, in the language of rules."""


class BatchReply(BaseModel):
    """Slates in the order of ``user_ids``."""

    as_of: float
    """The moment that all of them are true at."""
    slates: list[schemas.SlateReply]


@router.post(
    "/v1/recommendations:batch",
    openapi_extra=described(BatchIn, {"user_ids": ["479", "12"], "k": 5}),
)
async def recommend_batch(request: Request) -> BatchReply:
    """Slates of many users as of one moment. Somebody unknown gets what is trending."""
    gateway: Gateway = gateway_of(request)
    body = await read_json(request, gateway.settings.serving.max_body_bytes)
    told = read_model(BatchIn, body)
    asked = SlateRequest(
        told.k,
        told.exclude_seen,
        told.as_of,
        told.min_version,
        told.diversity,
        told.explain,
        said=read_context(told.context),
    )
    rules = await filtered(stage_of(request).front.filters, told.filter)
    found = await recommend_many(gateway, told.user_ids, asked, rules)
    return BatchReply(as_of=found.as_of, slates=found.slates)
