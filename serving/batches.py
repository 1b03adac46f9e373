"""Slates of many users in one request: their profiles are read together."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from recsys.errors import EventError, RetiredError, UnavailableError
from recsys.rules.compiled import CompiledRules
from recsys.shelf import Evidence
from serving.api.checks import check_id, parse_time
from serving.api.schemas import SlateReply
from serving.asking import Asker, asker_of, check_as_of, check_k
from serving.evidence import evidence_of
from serving.gateway import DEGRADE_AFTER_S, Gateway
from serving.pool.messages import ProfileView
from serving.slates import SlateRequest
from serving.versions import parse_versions

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Batch:
    """The slates of some users."""

    as_of: float
    """Unix seconds."""
    slates: list[SlateReply]
    """In the order that was asked for."""


async def recommend_many(
    gateway: Gateway,
    user_ids: Sequence[str],
    request: SlateRequest,
    rules: CompiledRules | None = None,
) -> Batch:
    """A slate for each of many users, as of one moment.

    Args:
        gateway: that makes them.
        user_ids: distinct.
        request: what each is asked for with.
        rules: in place of those that count; None = those.

    Raises:
        EventError: if an argument is unsound, or ``as_of`` is before a user's last event.
        UnavailableError: if ``min_version`` cannot be seen in time.
    """
    settings = gateway.settings
    as_of = gateway.now() if request.as_of is None else parse_time("as_of", request.as_of)
    check_k(settings, request.k)
    limit = settings.serving.api.max_users_per_request
    if not 1 <= len(user_ids) <= limit:
        raise EventError("user_ids", f"are {len(user_ids)}", f"Send 1 to {limit}")
    if len(set(user_ids)) < len(user_ids):
        raise EventError("user_ids", "name somebody twice", "Send each id once")
    for user_id in user_ids:
        check_id("user_ids", user_id, settings.data.max_id_bytes)
    views = await _views(gateway, user_ids, as_of, request)
    slates = []
    for user_id, view in zip(user_ids, views, strict=True):
        if view is not None:
            check_as_of(view, as_of, request.as_of)
        asker = await _asker(gateway, user_id, view, as_of, request)
        slates.append(await gateway.slate(asker, request, rules))
    return Batch(as_of, slates)


async def _views(
    gateway: Gateway, user_ids: Sequence[str], as_of: float, request: SlateRequest
) -> Sequence[ProfileView | None]:
    """All profiles in one read; while they are away, none."""
    min_versions = parse_versions(request.min_version)
    timeout_s = DEGRADE_AFTER_S if len(min_versions) == 0 else None
    try:
        return await gateway.pool.read(user_ids, as_of, min_versions, timeout_s)
    except UnavailableError as error:
        if len(min_versions) > 0 or isinstance(error, RetiredError):
            raise
        log.warning("slates without profiles: %s", error)
        return [None] * len(user_ids)


async def _asker(
    gateway: Gateway, user_id: str, view: ProfileView | None, as_of: float, request: SlateRequest
) -> Asker:
    told = await gateway.newcomers.told(user_id, request.interests, request.said.user, as_of)
    if view is not None:
        return asker_of(view, evidence_of(view)).with_told(told)
    return Asker(Evidence(gateway.slates.shelf.nobody), as_of, user_id).with_told(told)
