"""What gRPC asks is answered by the stage, as over HTTP; errors are gRPC's own codes."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

import grpc

from recsys.errors import (
    ConflictError,
    DataError,
    EventError,
    LedgerError,
    NotFoundError,
    RecsysError,
    UnavailableError,
)
from serving.api.filters import filtered
from serving.auth.callers import Scope
from serving.auth.guard import AccessError, Deed, Guard
from serving.rpc.halflife_pb2 import IngestReply, IngestRequest, RecommendRequest, Slate
from serving.rpc.messages import ingest_message, raw_event, slate_message, slate_request
from serving.stage import Stage

log = logging.getLogger(__name__)

ADD_TO_SERVER = "serving.rpc.halflife_pb2_grpc.add_HalflifeServicer_to_server"
"""For ``grpc_servicer_functions`` of Serve."""

CODES: tuple[tuple[type[RecsysError], grpc.StatusCode], ...] = (
    (NotFoundError, grpc.StatusCode.NOT_FOUND),
    (DataError, grpc.StatusCode.INVALID_ARGUMENT),
    (ConflictError, grpc.StatusCode.ABORTED),
    (UnavailableError, grpc.StatusCode.UNAVAILABLE),
    (LedgerError, grpc.StatusCode.UNAVAILABLE),
)
"""The first class that fits decides; anything else is INTERNAL."""

ACCESS_CODES = {
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
}

T = TypeVar("T")


class Context(Protocol):
    """What Serve hands to a method that asks for it."""

    def set_code(self, code: grpc.StatusCode) -> None:
        """The status that the client gets."""

    def set_details(self, details: str) -> None:
        """The sentence that the client gets."""

    def invocation_metadata(self) -> Sequence[tuple[str, str]]:
        """The headers of the call."""


class RefusedError(Exception):
    """Ends a call whose status has been set; it says no more than the client may know."""


class Servicer:
    """Answers calls.

    Args:
        stage: on which a gateway answers.
        guard: that lets calls in; None = everybody may ask.
    """

    def __init__(self, stage: Stage, guard: Guard | None = None) -> None:
        self._stage, self._guard = stage, guard

    async def recommend(self, asked: RecommendRequest, context: Context) -> Slate:
        """A user's slate as of a moment.

        Raises:
            RefusedError: with the code and details set.
        """

        async def answer() -> Slate:
            front = self._stage.front
            request = slate_request(asked)
            if request.diversity is not None and not 0.0 <= request.diversity <= 1.0:
                raise EventError("diversity", f"is {request.diversity}", "Send 0 to 1")
            source = asked.filter if asked.HasField("filter") else None
            rules = await filtered(front.filters, source)
            asker = await front.gateway.user(asked.user_id, request)
            return slate_message(await front.gateway.slate(asker, request, rules))

        return await self._told(context, "recommend", answer)

    async def ingest(self, asked: IngestRequest, context: Context) -> IngestReply:
        """Takes events.

        Raises:
            RefusedError: with the code and details set.
        """

        async def answer() -> IngestReply:
            raw = [raw_event(event) for event in asked.events]
            return ingest_message(await self._stage.front.gateway.post_events(raw))

        return await self._told(context, "ingest", answer)

    async def _told(self, context: Context, scope: Scope, answer: Callable[[], Awaitable[T]]) -> T:
        """An answer, or an error that says what HTTP would say."""
        try:
            await self._admit(context, scope)
            return await self._stage.ask(answer)
        except AccessError as error:
            context.set_code(ACCESS_CODES[error.status])
            context.set_details(error.detail)
        except RecsysError as error:
            code = next((code for kind, code in CODES if isinstance(error, kind)), None)
            if code is None or isinstance(error, LedgerError):
                log.error("a call failed", exc_info=error)
            context.set_code(code or grpc.StatusCode.INTERNAL)
            context.set_details(_sentence(error, code is not None))
        except Exception:
            log.exception("a call failed")
            context.set_code(grpc.StatusCode.INTERNAL)
            context.set_details("The server failed; its log says why")
        raise RefusedError("the status says why")

    async def _admit(self, context: Context, scope: Scope) -> None:
        if self._guard is None:
            return
        shown = dict(context.invocation_metadata()).get("authorization")
        try:
            await self._guard.admit(shown, scope)
        except AccessError as error:
            self._guard.tell(None, scope, Deed(f"gRPC {scope}", error.status, "", None))
            raise


def _sentence(error: RecsysError, is_known: bool) -> str:
    if isinstance(error, LedgerError):
        return "Not all events could be made durable. Retry; those with an event_id count once"
    return str(error) if is_known else "The server failed; its log says why"
