"""The routes: HTTP on one side, the gateway on the other, nothing in between."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from pydantic import BaseModel, ValidationError

from recsys.errors import EventError
from recsys.reasons import Explain
from recsys.rules.request import Said, read_context
from serving.api import batches, feedback, items, operations, search, users
from serving.api.access import describe_access
from serving.api.admission import Admission
from serving.api.body import parse_json, read_json
from serving.api.errors import DOCUMENTED, install
from serving.api.event_bodies import EVENT_BODIES, take_events
from serving.api.examples import add_examples
from serving.api.filters import filtered
from serving.api.graph_schemas import WishIn
from serving.api.idempotency import IdempotencyKey, KeysSeen
from serving.api.interests import router as interests_router
from serving.api.parameters import AsOf, ItemFilter, UserId
from serving.api.reading import described_models
from serving.api.rules import BODIES as RULE_BODIES
from serving.api.rules import router as rules_router
from serving.api.schemas import (
    EventIn,
    EventsIn,
    EventsReply,
    HealthReply,
    ProfileReply,
    SessionIn,
    SlateReply,
)
from serving.api.standing import Gate, new_router, stage_of
from serving.api.stream import is_stream, post_stream
from serving.api.stream_schemas import BROKEN, StreamReply
from serving.auth.guard import Guard
from serving.console import mount_console
from serving.observability.meters import SILENT, GatewayMeters
from serving.observability.middleware import RequestLog
from serving.slates import SlateRequest
from serving.stage import Stage, working

REF = "#/components/schemas/{model}"

K = Annotated[int, Query(description="Length of the slate, from 1 to serving.max_k.")]
Diversity = Annotated[
    float | None,
    Query(ge=0.0, le=1.0, description="How unlike the items shall be; default: as is set."),
]
How = Annotated[
    Explain,
    Query(description="What is said about why: none, a reason per item, or full effects."),
]
Without = Annotated[
    str | None,
    Query(
        description="With explain=full: an event that a second slate goes without, by its item's "
        "id or its position (0 is the latest); item:ID and event:POSITION say which."
    ),
]
Context = Annotated[
    str | None,
    Query(
        description="What business rules may ask, as a JSON object: context.NAME, and under user "
        'the user.attributes: {"country": "DE", "user": {"plan": "free"}}.'
    ),
]
Interests = Annotated[
    str | None,
    Query(
        description="What the user says of their taste: a label of an interest or category, or "
        'free text such as "slow-burn science fiction, no horror".'
    ),
]
router = new_router(responses=DOCUMENTED)


def create_app(
    stage: Stage,
    meters: GatewayMeters = SILENT,
    returns_request_id: bool = True,
    guard: Guard | None = None,
    works: Sequence[Callable[[], Coroutine[Any, Any, None]]] = (),
) -> FastAPI:
    """The ASGI application; while it runs, what is on the stage follows trend, rules and people.

    Args:
        stage: on which a gateway answers.
        meters: told of each request.
        returns_request_id: see ``RequestLog``.
        guard: that lets requests in; None = everybody may ask.
        works: further ones that never end, begun with the application.
    """

    @asynccontextmanager
    async def follow(_: FastAPI) -> AsyncIterator[None]:
        follows = [work() for work in works] + ([] if guard is None else [guard.follow()])
        async with stage.running(), working(follows):
            yield

    gateway = stage.front.gateway
    app = FastAPI(
        title="Halflife",
        version="1",
        description="Recommendations from interest that fades.",
        lifespan=follow,
    )
    app.state.stage, app.state.guard = stage, guard
    app.state.keys = KeysSeen(gateway.settings.serving.api.max_idempotency_keys)
    app.state.started_at = gateway.now()
    app.include_router(router)
    app.include_router(rules_router)
    app.include_router(interests_router)
    for more in (feedback, batches, operations, users, search, items):  # ids may hold slashes
        app.include_router(more.router)
    mount_console(app)
    app.add_middleware(Admission, limit=gateway.settings.serving.max_concurrent_requests)
    app.add_middleware(RequestLog, meters=meters, returns_id=returns_request_id)
    install(app)
    _describe_bodies(app)
    if guard is not None:
        describe_access(app)
    return app


def _body(*models: str) -> dict[str, Any]:
    refs = [{"$ref": REF.format(model=model)} for model in models]
    schema = refs[0] if len(refs) == 1 else {"anyOf": refs}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


@router.post("/v1/events", status_code=202, openapi_extra=EVENT_BODIES, responses=BROKEN)
async def post_events(
    request: Request, gateway: Gate, key: IdempotencyKey = None
) -> EventsReply | StreamReply:
    """Take one event, many as ``{"events": [...]}``, or a stream of them as NDJSON.

    The reply comes when all accepted events are durable and in their users' profiles. One event
    alone that is refused is a 422; of many, the refused ones are listed with their reasons.

    With ``Content-Type: application/x-ndjson`` each line is an event, and lines are taken while
    they come in. A stream that breaks off says in ``progress`` what is done of it; sent again as a
    whole with the same ``Idempotency-Key``, or with an ``event_id`` in each event, it counts once.
    """
    keys: KeysSeen = request.app.state.keys
    if is_stream(request):
        return await post_stream(request, gateway, keys, key)  # type: ignore[return-value]
    return await take_events(request, gateway, keys, key)


@router.get("/v1/users/{user_id:id}/recommendations")
async def recommend(  # noqa: PLR0913, PLR0917 - the parameters of the route
    request: Request,
    gateway: Gate,
    user_id: UserId,
    k: K = 10,
    exclude_seen: bool = True,
    as_of: AsOf = None,
    min_version: str | None = None,
    diversity: Diversity = None,
    explain: How = "reason",
    without: Without = None,
    context: Context = None,
    interests: Interests = None,
    wanted: ItemFilter = None,
) -> SlateReply:
    """A user's slate as of a moment. Somebody unknown gets what is trending.

    With ``explain=full`` every recent event is told with its effect on every item: the item's score
    minus its score had the event not happened. Effects of several events do not sum.
    """
    said = Said() if context is None else read_context(parse_json("context", context))
    asked = (k, exclude_seen, as_of, min_version, diversity, explain, without, said, interests)
    rules = await filtered(stage_of(request).front.filters, wanted)
    told = SlateRequest(*asked)
    return await gateway.slate(await gateway.user(user_id, told), told, rules)


@router.post("/v1/recommendations", openapi_extra=_body("SessionIn"))
async def recommend_session(request: Request, gateway: Gate) -> SlateReply:
    """A slate for an anonymous visitor, from the items touched and the words said."""
    body = await read_json(request, gateway.settings.serving.max_body_bytes)
    try:
        session = SessionIn.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "body"
        raise EventError(place, first["msg"]) from error
    return await gateway.recommend_session(session)


@router.get("/v1/users/{user_id:id}/profile")
async def profile(gateway: Gate, user_id: UserId, as_of: AsOf = None) -> ProfileReply:
    """What is known of a user as of a moment, and how sure it still is."""
    return await gateway.profile(user_id, as_of)


@router.get("/healthz")
async def healthz(gateway: Gate) -> HealthReply:
    """200 when the bundle is loaded and every shard answers; else 503."""
    return await gateway.health()


def _describe_bodies(app: FastAPI) -> None:
    """Add the schemas of bodies that are read by hand to the OpenAPI document."""
    plain = app.openapi

    def described() -> dict[str, Any]:
        document = plain()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        by_hand: list[type[BaseModel]] = [EventIn, EventsIn, SessionIn, WishIn, *RULE_BODIES]
        for model in (*by_hand, *described_models()):
            whole = model.model_json_schema(ref_template=REF)
            schemas.update(whole.pop("$defs", {}))
            schemas[model.__name__] = whole
        add_examples(document)
        return document

    app.openapi = described  # type: ignore[method-assign]
