"""The gateway: from a request to a reply. Plain Python; it knows neither Ray nor HTTP."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from recsys.bundle import Bundle
from recsys.errors import ConflictError, EventError, RetiredError, UnavailableError
from recsys.rules.compiled import BoundRules, CompiledRules
from recsys.rules.request import RequestFacts
from recsys.settings import Settings
from recsys.shelf import Evidence
from serving.api.checks import check_id, parse_time
from serving.api.events import EventReader, erased_user, with_erased
from serving.api.schemas import (
    EventsReply,
    HealthReply,
    ProfileReply,
    SessionIn,
    SlateReply,
)
from serving.asking import Asker, asker_of, check_as_of, check_k
from serving.drift_meters import DriftMeters
from serving.evidence import evidence_of, evidence_of_record, needs_record
from serving.interests import InterestDesk
from serving.newcomers import NewcomerDesk
from serving.people import People
from serving.pool.messages import ProfileView
from serving.pool.protocol import Pool
from serving.ranking import WeightFollower
from serving.replies import health_reply, profile_reply, with_asker
from serving.rules import RuleDesk
from serving.session import read_session, session_evidence
from serving.slates import SlateMaker, SlateRequest, session_request
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
        rules: of the tenant; None = there are none, and none can be written.
        drift: told how interests drift.
        people: what is stored of users beside events; None = nothing.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what everything is put together from
        self,
        bundle: Bundle,
        pool: Pool,
        settings: Settings,
        clock: Callable[[], float],
        encode: Encode | None = None,
        rules: RuleDesk | None = None,
        drift: DriftMeters | None = None,
        people: People | None = None,
    ) -> None:
        self._bundle = self.bundle = bundle
        self._pool = self.pool = pool
        self.settings = settings
        self._clock = clock
        self._encode = encode
        self.rules = rules
        self.words = None if encode is None else WordReader(pool, encode)
        """Reads what users say behind the requests; None = the bundle has no encoder."""
        self._slates = self.slates = SlateMaker(bundle, settings)
        self.weights = WeightFollower(bundle, self._slates) if settings.ranker.follow else None
        self._shelf, self._trend = self._slates.shelf, self._slates.trend
        self.interests = InterestDesk(bundle, self._shelf, pool, settings, self.now, drift)
        self.newcomers = NewcomerDesk(bundle, self._shelf, pool, settings, encode, people)
        self._reader = EventReader(bundle.tenant, settings.data)

    async def post_event(self, raw: Any) -> EventsReply:
        """Take one event.

        Raises:
            EventError: if it is refused.
            UnavailableError: if it could not be made durable in time.
        """
        event = self._reader.read(raw, self.now())
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
        return await self._append(*self._reader.read_many(raw, self.now()))

    async def recommend(self, user_id: str, request: SlateRequest) -> SlateReply:
        """A user's slate; for somebody unknown, and while the profile is away, from trend.

        Raises:
            EventError: if an argument is unsound, or ``as_of`` is before the user's last event.
            UnavailableError: if ``min_version`` cannot be seen in time.
        """
        return await self.slate(await self.user(user_id, request), request)

    async def recommend_session(self, session: SessionIn) -> SlateReply:
        """The slate of an anonymous visitor; items that the catalog lacks are named.

        Raises:
            EventError: if an item, a time or the text is unsound.
            UnavailableError: if the encoder is away.
        """
        request = session_request(session)
        return await self.slate(await self.visitor(session), request)

    async def user(self, user_id: str, request: SlateRequest) -> Asker:
        """Who asks, by id. Raises as ``recommend`` does."""
        as_of = self._moment(request.as_of)
        check_k(self.settings, request.k)
        check_id("user_id", user_id, self.settings.data.max_id_bytes)
        view = await self._view_or_none(user_id, as_of, request)
        asker = Asker(Evidence(self._shelf.nobody), as_of, user_id)
        if view is not None:
            asker = asker_of(view, await self._evidence(view, request))
        return await self._with_told(asker, request)

    async def visitor(self, session: SessionIn) -> Asker:
        """Who asks, by what was touched. Raises as ``recommend_session`` does."""
        as_of = self._moment(session.as_of)
        check_k(self.settings, session.k)
        events, unknown = read_session(
            session, as_of, self._shelf.catalog.index, self.settings.data
        )
        text = session.text
        words = None if text is None else await self.newcomers.text_vector(text)
        model = self._shelf.model
        evidence = session_evidence(self._bundle, model, events, words, as_of)
        is_known = len(events) > 0 or words is not None
        asker = Asker(evidence, as_of, unknown_items=tuple(unknown), is_known=is_known)
        return await self._with_told(asker, session_request(session))

    async def _with_told(self, asker: Asker, request: SlateRequest) -> Asker:
        """The one who asks, with what is known of them beside events."""
        about = (asker.user_id, request.interests, request.said.user, asker.as_of)
        return asker.with_told(await self.newcomers.told(*about))

    async def slate(
        self, asker: Asker, request: SlateRequest, rules: CompiledRules | None = None
    ) -> SlateReply:
        """The slate for somebody; under other rules than those that count now, if given."""
        bound, patience = None, None if self.rules is None else self.rules.patience()
        said = request.said.at(asker.as_of, asker.is_known, patience)
        if self.rules is not None:
            rules = self.rules.standing.compiled if rules is None else rules
            bound = rules.bind(said)
        work = partial(self._steered, asker, request, bound, said)
        reply = await asyncio.to_thread(work) if request.explain == "full" else work()
        if rules is not None and len(rules.rule_set.rules) > 0:
            reply.rules_version = rules.version
        if bound is not None and len(bound.late) > 0:
            log.warning("rules take too long", extra={"rules": bound.late})
        return reply

    def _steered(
        self, asker: Asker, request: SlateRequest, bound: BoundRules | None, said: RequestFacts
    ) -> SlateReply:
        steer = self.interests.steer(asker, bound, said)
        reply = self._slates.make(steer.evidence, asker.as_of, request, steer.rules)
        return with_asker(reply, asker, steer.note)

    async def profile(self, user_id: str, asked: float | str | None) -> ProfileReply:
        """What is known of a user.

        Raises:
            EventError: if an argument is unsound, or ``as_of`` is before the user's last event.
            UnavailableError: if the profile is away.
        """
        as_of = self.as_of(asked)
        check_id("user_id", user_id, self.settings.data.max_id_bytes)
        (view,) = await self._pool.read([user_id], as_of, {})
        check_as_of(view, as_of, asked)
        return await asyncio.to_thread(profile_reply, self._shelf, view)

    async def health(self) -> HealthReply:
        """Whether everything that an answer needs is there.

        Raises:
            UnavailableError: if a shard does not answer.
        """
        shards = await self._pool.status()
        return health_reply(self._bundle, self._trend.as_of, shards)

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
            if len(min_versions) > 0 or isinstance(error, RetiredError):
                raise
            log.warning("slate without a profile: %s", error)
            return None
        check_as_of(view, as_of, request.as_of)
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

    def as_of(self, asked: float | str | None) -> float:
        """The moment that is asked for; None = now."""
        return self.now() if asked is None else parse_time("as_of", asked)

    def _moment(self, asked: float | str | None) -> float:
        """The moment of a slate; as of now it is one that others share."""
        if asked is not None:
            return self.as_of(asked)
        per_s = self.settings.serving.moments_per_s
        return math.floor(self.now() * per_s) / per_s

    def now(self) -> float:
        """Unix seconds, with the offset of the settings."""
        return self._clock() + self.settings.serving.clock_offset_s
