"""From what a client sent to canonical events: defaults, checks, and reasons for refusal."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from recsys.errors import EventError
from recsys.schema import Event, microseconds
from recsys.settings import DataSettings
from serving.api.checks import check_id, check_text, parse_time
from serving.api.schemas import EventIn, Rejected

BAD_EVENT, BAD_ID, BAD_TEXT, BAD_TIME = "bad_event", "bad_id", "bad_text", "bad_time"
TOO_OLD, IN_FUTURE = "too_old", "in_future"
ERASED = "erased"
UNKNOWN_KIND, MISSING_ITEM = "unknown_kind", "missing_item"


class RefusedEventError(EventError):
    """One event is refused, with a reason for programs.

    Args:
        reason: one of the words above.
        error: what is wrong, for people.
    """

    def __init__(self, reason: str, error: EventError) -> None:
        super().__init__(error.thing, error.problem, error.remedy)
        self.args = (reason, error)
        self.reason = reason


class EventReader:
    """Reads the events of one tenant.

    Args:
        tenant: whose.
        data: limits and kinds.
    """

    def __init__(self, tenant: str, data: DataSettings) -> None:
        self._tenant = tenant
        self._data = data

    def read_many(self, raw: Sequence[Any], now: float) -> tuple[list[Event], list[Rejected]]:
        """Sound events, and the reasons of the others.

        Args:
            raw: parsed JSON values.
            now: Unix seconds.
        """
        events, rejected = [], []
        for index, value in enumerate(raw):
            try:
                events.append(self.read(value, now))
            except RefusedEventError as error:
                rejected.append(Rejected(index=index, reason=error.reason, detail=str(error)))
        return events, rejected

    def read(self, raw: Any, now: float) -> Event:
        """One sound event.

        Raises:
            RefusedEventError: if it is not.
        """
        try:
            event = EventIn.model_validate(raw)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"][:1]) or "event"
            raise RefusedEventError(BAD_EVENT, EventError(place, first["msg"])) from error
        self._check_kind(event)
        self._check_words(event)
        return Event(
            tenant=self._tenant,
            event_id=uuid.uuid4().hex if event.event_id is None else event.event_id,
            user_id=event.user_id,
            item_id=event.item_id,
            kind=event.kind,
            ts=microseconds(self._time(event, now)) / 1e6,
            seq=0,  # the ledger gives it
            ingested_at=microseconds(now) / 1e6,
            value=event.value,
            text=event.text,
            session_id=event.session_id,
            request_id=event.request_id,
            rank=event.rank,
            source=event.source,
        )

    def _check_kind(self, event: EventIn) -> None:
        if event.kind not in self._data.kinds:
            known = EventError("kind", "is not known", f"Known: {', '.join(self._data.kinds)}")
            raise RefusedEventError(UNKNOWN_KIND, known)
        if event.item_id is None and event.kind not in self._data.itemless_kinds:
            raise RefusedEventError(
                MISSING_ITEM, EventError("item_id", f"is missing in a {event.kind}", "Give it")
            )

    def _check_words(self, event: EventIn) -> None:
        ids = ("user_id", "item_id", "event_id", "session_id", "request_id", "source")
        for name in ids:
            value = getattr(event, name)
            if value is not None:
                try:
                    check_id(name, value, self._data.max_id_bytes)
                except EventError as error:
                    raise RefusedEventError(BAD_ID, error) from error
        if event.text is not None:
            try:
                check_text("text", event.text, self._data.max_text_bytes)
            except EventError as error:
                raise RefusedEventError(BAD_TEXT, error) from error

    def _time(self, event: EventIn, now: float) -> float:
        if event.ts is None:
            return now
        try:
            ts = parse_time("ts", event.ts)
        except EventError as error:
            raise RefusedEventError(BAD_TIME, error) from error
        if ts > now + self._data.max_future_s:
            far = EventError("ts", f"lies {ts - now:.0f} s ahead", "Unix seconds, UTC")
            raise RefusedEventError(IN_FUTURE, far)
        if ts < now - self._data.max_late_s:
            late = EventError(
                "ts",
                f"is older than {self._data.max_late_s:.0f} s",
                "Older events come in by `python -m pipelines.ingest`",
            )
            raise RefusedEventError(TOO_OLD, late)
        return min(ts, now)


def erased_user() -> RefusedEventError:
    """What is wrong with an event whose user was erased after it happened."""
    told = EventError("user_id", "was erased after this event", "Later events are taken")
    return RefusedEventError(ERASED, told)


def with_erased(
    events: Sequence[Event], rejected: Sequence[Rejected], refused: Sequence[str]
) -> list[Rejected]:
    """The rejected events of a request, with those whose user was erased, in their order.

    Args:
        events: the sound ones, in the order of the request.
        rejected: the others.
        refused: ids of sound ones that the ledger refused.
    """
    if len(refused) == 0:
        return list(rejected)
    unsound = {one.index for one in rejected}
    places = [i for i in range(len(events) + len(unsound)) if i not in unsound]
    told = str(erased_user())
    more = [
        Rejected(index=place, reason=ERASED, detail=told)
        for place, event in zip(places, events, strict=True)
        if event.event_id in refused
    ]
    return sorted([*rejected, *more], key=lambda one: one.index)
