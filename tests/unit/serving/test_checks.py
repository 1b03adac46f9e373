"""Ids, texts, times, versions and events that clients send."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from recsys.errors import EventError
from recsys.settings import DataSettings
from serving.api.checks import check_id, check_text, parse_time
from serving.api.events import EventReader, RefusedEventError
from serving.versions import format_versions, parse_versions

NOW = 1_700_000_000.0
READER = EventReader("default", DataSettings())
GOOD = {"user_id": "u", "item_id": "i", "kind": "click"}


@pytest.mark.parametrize("value", ["u", "Ünïcode 用户", "a/b?c=d", "x" * 512])
def test_a_sound_id_passes(value: str) -> None:
    assert check_id("user_id", value, 512) == value


@pytest.mark.parametrize("value", ["", "a\x00b", "a\nb", "a\x7fb", "a\x85b", "x" * 513, "\ud800"])
def test_an_unsound_id_is_refused(value: str) -> None:
    with pytest.raises(EventError, match="user_id"):
        check_id("user_id", value, 512)


def test_a_text_may_have_lines_but_not_any_length() -> None:
    assert check_text("text", "two\nlines", 16) == "two\nlines"
    with pytest.raises(EventError, match="17 bytes"):
        check_text("text", "x" * 17, 16)


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (60, 60.0),
        ("60.5", 60.5),
        ("1970-01-01T00:01:00Z", 60.0),
        ("1970-01-01T00:01:00", 60.0),
        ("1970-01-01T01:01:00+01:00", 60.0),
        ("1970-01-01T01:01:00 01:00", 60.0),
        ("1970-01-02", 86_400.0),
    ],
)
def test_times_are_read(given: float | str, seconds: float) -> None:
    assert parse_time("as_of", given) == seconds


@pytest.mark.parametrize(
    "given",
    ["", "soon", "nan", "inf", "1e400", float("nan"), float("inf"), 1.7e12, 10**400, "0001-01-01"],
)
def test_what_is_no_time_is_refused(given: float | str) -> None:
    with pytest.raises(EventError, match="as_of"):
        parse_time("as_of", given)


def test_a_version_token_round_trips() -> None:
    assert parse_versions(format_versions({3: 7, 60: 12})) == {3: 7, 60: 12}
    assert parse_versions(None) == parse_versions("") == {}


@pytest.mark.parametrize(
    "token", ["x", "1", "1.2-", "-1.2", "1.2." * 2_000, "1.99999999999999999999"]
)
def test_another_token_is_refused(token: str) -> None:
    with pytest.raises(EventError, match="min_version"):
        parse_versions(token)


def test_an_event_gets_its_defaults() -> None:
    event = READER.read(GOOD, NOW)
    assert (event.tenant, event.user_id, event.ts, event.ingested_at) == ("default", "u", NOW, NOW)
    assert event.event_id != READER.read(GOOD, NOW).event_id


def test_an_event_a_little_ahead_is_clamped_to_now() -> None:
    assert READER.read({**GOOD, "ts": NOW + 200.0}, NOW).ts == NOW


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"user_id": None}, "bad_event"),
        ({"user_id": 5}, "bad_event"),
        ({"colour": "red"}, "bad_event"),
        ({"value": "3"}, "bad_event"),
        ({"value": float("nan")}, "bad_event"),
        ({"rank": 0}, "bad_event"),
        ({"rank": 2**31}, "bad_event"),
        ({"user_id": ""}, "bad_id"),
        ({"item_id": "x" * 10_000}, "bad_id"),
        ({"event_id": "a\x00"}, "bad_id"),
        ({"text": "x" * 20_000}, "bad_text"),
        ({"ts": "yesterday"}, "bad_time"),
        ({"ts": NOW * 1_000}, "bad_time"),
        ({"ts": NOW + 301.0}, "in_future"),
        ({"ts": NOW - 8 * 86_400.0}, "too_old"),
        ({"kind": "stare"}, "unknown_kind"),
        ({"item_id": None}, "missing_item"),
    ],
)
def test_an_unsound_event_is_refused_with_its_reason(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(RefusedEventError) as caught:
        READER.read({**GOOD, **change}, NOW)
    assert caught.value.reason == reason
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize("raw", [None, 5, "event", [], {}])
def test_what_is_no_event_is_refused(raw: Any) -> None:
    with pytest.raises(RefusedEventError):
        READER.read(raw, NOW)


def test_bad_events_do_not_hold_up_the_others() -> None:
    events, rejected = READER.read_many(
        [GOOD, {}, {**GOOD, "kind": "search", "item_id": None}], NOW
    )
    assert [event.kind for event in events] == ["click", "search"]
    assert [(r.index, r.reason) for r in rejected] == [(1, "bad_event")]
