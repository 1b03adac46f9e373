"""The gateway: from a request to a reply. Plain Python; it knows neither Ray nor HTTP."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.bundle import Bundle
from recsys.errors import ConflictError, EventError, UnavailableError
from recsys.settings import Settings
from recsys.shelf import Evidence
from serving.api.checks import check_id, check_text, parse_time
from serving.api.events import EventReader, erased_user, with_erased
from serving.api.schemas import (
    EventsReply,
    HealthReply,
    ProfileReply,
    SessionIn,
    ShardOut,
    SimilarReply,
    SlateReply,
    TrendingReply,
)
from serving.browse import similar_items, trending_items, trending_reply
from serving.evidence import evidence_of, evidence_of_record, needs_record
from serving.pool.client import Pool
from serving.pool.messages import ProfileView
from serving.replies import profile_reply, profile_version
from serving.session import read_session, session_evidence
from serving.slates import SlateMaker, SlateRequest
from serving.versions import format_versions, parse_versions
from serving.word_reader import Encode, WordReader

log = logging.getLogger(__name__)

DEGRADE_AFTER_S = 2.0
"""Seconds that a slate waits for a profile before it does without (never with ``min_version``)."""
RECORD_TIMEOUT_S = 2.0
"""Seconds that ``explain=full`` waits for a user's record before it does without."""


class Gateway:
    """Answers every route.

    Args:
        bundle: what is recommended from.
        pool: the profiles.
        settings: of this process.
        clock: Unix seconds now; ``serving.clock_offset_s`` is added to it.
        encode: the text encoder; None = the bundle has none.
    """

    def __init__(
        self,
        bundle: Bundle,
        pool: Pool,
        settings: Settings,
        clock: Callable[[], float],
        encode: Encode | None = None,
    ) -> None:
        self._bundle = bundle
        self._pool = pool
        self.settings = settings
        self._clock = clock
        self._encode = encode
        self.words = None if encode is None else WordReader(pool, encode)
        """Reads what users say behind the requests; None = the bundle has no encoder."""
        self._slates = SlateMaker(bundle, settings)
        self._shelf = self._slates.shelf
        self._trend = self._slates.trend
        self._reader = EventReader(bundle.tenant, settings.data)

    async def post_event(self, raw: Any) -> EventsReply:
        """Take one event.

        Raises:
            EventError: if it is refused.
            UnavailableError: if it could not be made durable in time.
        """
        event = self._reader.read(raw, self._now())
        reply = await self._append([event], [])
        if len(reply.rejected) > 0:
            raise erased_user()
        return reply

    async def post_events(self, raw: Sequence[Any]) -> EventsReply:
        """Take many events; a bad one is reported and does not hold up the others.

        Raises:
            EventError: if there are none, or too many.
            UnavailableError: if they could not be made durable in time.
        """
        limit = self.settings.serving.max_events_per_request
        if not 1 <= len(raw) <= limit:
            raise EventError("events", f"are {len(raw)}", f"Send 1 to {limit}")
        return await self._append(*self._reader.read_many(raw, self._now()))

    async def recommend(self, user_id: str, request: SlateRequest) -> SlateReply:
        """A user's slate; for somebody unknown, and while the profile is away, from trend.

        Raises:
            EventError: if an argument is unsound, or ``as_of`` is before the user's last event.
            UnavailableError: if ``min_version`` cannot be seen in time.
        """
        as_of = self._as_of(request.as_of)
        self._check_k(request.k)
        check_id("user_id", user_id, self.settings.data.max_id_bytes)
        view = await self._view_or_none(user_id, as_of, request)
        if view is None:
            evidence = Evidence(self._shelf.nobody)
        else:
            evidence, as_of = await self._evidence(view, request), view.as_of
        reply = await asyncio.to_thread(self._slates.make, evidence, as_of, request)
        reply.user_id = user_id
        reply.profile_version = None if view is None else profile_version(view)
        reply.degraded = view is None
        reply.cold_start = view is not None and not view.is_known
        return reply

    async def recommend_session(self, session: SessionIn) -> SlateReply:
        """The slate of an anonymous visitor; items that the catalog lacks are named.

        Raises:
            EventError: if an item, a time or the text is unsound.
            UnavailableError: if the encoder is away.
        """
        as_of = self._as_of(session.as_of)
        self._check_k(session.k)
        events, unknown = read_session(
            session, as_of, self._shelf.catalog.index, self.settings.data
        )
        words = None if session.text is None else await self._text_vector(session.text)
        evidence = session_evidence(self._bundle, self._shelf.model, events, words, as_of)
        request = SlateRequest(
            session.k,
            session.exclude_seen,
            diversity=session.diversity,
            explain=session.explain,
            without=session.without,
        )
        reply = await asyncio.to_thread(self._slates.make, evidence, as_of, request)
        reply.unknown_items = unknown
        reply.cold_start = len(events) == 0 and words is None
        return reply

    async def profile(self, user_id: str, asked: float | str | None) -> ProfileReply:
        """What is known of a user.

        Raises:
            EventError: if an argument is unsound, or ``as_of`` is before the user's last event.
            UnavailableError: if the profile is away.
        """
        as_of = self._as_of(asked)
        check_id("user_id", user_id, self.settings.data.max_id_bytes)
        (view,) = await self._pool.read([user_id], as_of, {})
        _check_as_of(view, as_of, asked)
        return await asyncio.to_thread(profile_reply, self._shelf, view)

    async def similar(self, item_id: str, k: int) -> SimilarReply:
        """Items like an item.

        Raises:
            NotFoundError: if the catalog has no such item.
        """
        self._check_k(k)
        check_id("item_id", item_id, self.settings.data.max_id_bytes)
        now = self._now()
        return await asyncio.to_thread(similar_items, self._bundle, self._shelf, item_id, k, now)

    async def trending(
        self, k: int, half_life_s: float | None, asked: float | str | None
    ) -> TrendingReply:
        """What everybody turns to.

        Raises:
            EventError: if an argument is unsound.
        """
        self._check_k(k)
        as_of = self._as_of(asked)
        mass = self._trend.mass(as_of)
        found = await asyncio.to_thread(trending_items, self._shelf, mass, as_of, k, half_life_s)
        return trending_reply(as_of, self._trend.as_of, found)

    async def health(self) -> HealthReply:
        """Whether everything that an answer needs is there.

        Raises:
            UnavailableError: if a shard does not answer.
        """
        shards = await self._pool.status()
        return HealthReply(
            status="ok",
            tenant=self._bundle.tenant,
            bundle_id=self._bundle.bundle_id,
            n_items=len(self._bundle.catalog),
            n_users=sum(shard.n_users for shard in shards),
            trend_as_of=self._trend.as_of,
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

    async def follow_trend(self) -> None:
        """Pull the trend for ever; while the board is away the copy grows old, and says so."""
        while True:
            try:
                await self.pull_trend()
            except UnavailableError as error:
                log.warning("trend is not fresh: %s", error)
            await asyncio.sleep(self.settings.serving.trend_push_s)

    async def pull_trend(self) -> None:
        """Bring the copy of the trend up to date once.

        Raises:
            UnavailableError: if the board is away.
        """
        self._trend.apply(await self._pool.pull_trend(self._trend.version))

    async def _append(self, events: list[Any], rejected: list[Any]) -> EventsReply:
        ack = await self._pool.append(events)
        if ack.n_pending > 0 and self.words is not None:
            self.words.wake()
        return EventsReply(
            accepted=ack.n_accepted,
            duplicates=ack.n_duplicates,
            pending=ack.n_pending,
            rejected=with_erased(events, rejected, ack.refused),
            version=format_versions(ack.versions),
        )

    async def _view_or_none(
        self, user_id: str, as_of: float, request: SlateRequest
    ) -> ProfileView | None:
        min_versions = parse_versions(request.min_version)
        timeout_s = DEGRADE_AFTER_S if len(min_versions) == 0 else None
        try:
            (view,) = await self._pool.read([user_id], as_of, min_versions, timeout_s)
        except UnavailableError as error:
            if len(min_versions) > 0:
                raise
            log.warning("slate without a profile: %s", error)
            return None
        _check_as_of(view, as_of, request.as_of)
        return view

    async def _evidence(self, view: ProfileView, request: SlateRequest) -> Evidence:
        """What a profile says; from the whole record where everything is to be explained."""
        held = evidence_of(view)
        if request.explain != "full" or not needs_record(view, self._shelf):
            return held
        try:
            record = await self._pool.record(view.user_id, RECORD_TIMEOUT_S)
            if record is not None:
                args = (view, record, self.settings, self._encode)
                return await evidence_of_record(self._shelf, *args)
        except (UnavailableError, ConflictError) as error:
            log.warning("explained without the record: %s", error)
        return held

    async def _text_vector(self, text: str) -> npt.NDArray[np.float32] | None:
        """(1, E) what the encoder makes of a text; None where it says nothing."""
        check_text("text", text, self.settings.data.max_text_bytes)
        if text.strip() == "":
            return None
        if self._encode is None:
            raise EventError("text", "cannot be read: the bundle has no encoder", "Send items")
        return await self._encode([text])

    def _as_of(self, asked: float | str | None) -> float:
        return self._now() if asked is None else parse_time("as_of", asked)

    def _now(self) -> float:
        return self._clock() + self.settings.serving.clock_offset_s

    def _check_k(self, k: int) -> None:
        if not 1 <= k <= self.settings.serving.max_k:
            raise EventError("k", f"is {k}", f"Ask for 1 to {self.settings.serving.max_k}")


def _check_as_of(view: ProfileView, as_of: float, asked: float | str | None) -> None:
    if asked is not None and view.t_ref > as_of:
        raise EventError(
            f"as_of {as_of:.6f}",
            f"is before the user's last event at {view.t_ref:.6f}",
            "Ask for a later moment; `python -m pipelines.recommend` replays the past",
        )
