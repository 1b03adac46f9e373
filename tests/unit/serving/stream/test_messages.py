"""What a message is: the same event each time it comes, or poison with a reason."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.schema import Event
from recsys.settings import DataSettings
from serving.stream.messages import Message, MessageReader, Place, Poison

NOW = 1_700_000_000.0
CLICK = {"user_id": "u", "kind": "click", "item_id": "i"}


def reader(clock_offset_s: float = 0.0) -> MessageReader:
    return MessageReader("shop", DataSettings(), 4_000, clock_offset_s)


def message(value: Any, sent_at: float | None = NOW - 60.0) -> Message:
    data = value if isinstance(value, bytes) or value is None else json.dumps(value).encode()
    return Message(Place("clicks", 3), 17, data, sent_at)


def event_of(value: Any, sent_at: float | None = NOW - 60.0, now: float = NOW) -> Event:
    read = reader().read(message(value, sent_at), now)
    assert not isinstance(read, Poison)
    return read


def test_an_event_without_id_is_named_after_its_place() -> None:
    assert event_of(CLICK).event_id == "kafka:clicks:3:17"
    assert event_of({**CLICK, "event_id": None}).event_id == "kafka:clicks:3:17"
    assert event_of({**CLICK, "event_id": "mine"}).event_id == "mine"


def test_an_event_without_time_happened_when_it_was_sent() -> None:
    assert event_of(CLICK).ts == event_of({**CLICK, "ts": None}).ts == NOW - 60.0
    assert event_of({**CLICK, "ts": NOW - 5.0}).ts == NOW - 5.0
    assert event_of(CLICK, sent_at=None).ts == NOW
    assert event_of(CLICK, sent_at=NOW + 10.0).ts == NOW, "a producer's clock may be ahead"


def test_a_message_that_comes_again_is_the_same_event() -> None:
    first, again = event_of(CLICK, now=NOW), event_of(CLICK, now=NOW + 3_600.0)
    assert first._replace(ingested_at=0.0) == again._replace(ingested_at=0.0)


def test_a_clock_that_is_moved_moves_the_time_of_sending_too() -> None:
    read = reader(clock_offset_s=-1_000.0).read(message(CLICK), NOW - 1_000.0)
    assert isinstance(read, Event) and read.ts == NOW - 1_060.0


def test_an_event_belongs_to_the_tenant_of_the_pool() -> None:
    assert event_of(CLICK).tenant == "shop"
    read = reader().read(message({**CLICK, "tenant": "other"}), NOW)
    assert isinstance(read, Poison) and read.reason == "bad_event"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "bad_event"),
        (b"", "malformed_row"),
        (b"{", "malformed_row"),
        (b"\xff\xfe\xfd", "malformed_row"),
        (b"[" * 3_900, "malformed_row"),
        (b'{"value": ' + b"9" * 3_900 + b"}", "bad_event"),
        (b"[]", "bad_event"),
        (b"null", "bad_event"),
        ([CLICK], "bad_event"),
        ({"events": [CLICK]}, "bad_event"),
        ({**CLICK, "value": float("nan")}, "bad_event"),
        ({**CLICK, "user_id": 7}, "bad_event"),
        ({**CLICK, "kind": "dance"}, "unknown_kind"),
        ({**CLICK, "item_id": None}, "missing_item"),
        ({**CLICK, "user_id": "x" * 600}, "bad_id"),
        ({**CLICK, "user_id": "\ud800"}, "bad_id"),
        ({**CLICK, "ts": "yesterday"}, "bad_time"),
        ({**CLICK, "ts": NOW - 8 * 86_400}, "too_old"),
        ({**CLICK, "ts": NOW + 301.0}, "in_future"),
        ({**CLICK, "text": "x" * 5_000}, "too_large"),
    ],
)
def test_what_is_no_event_is_poison_with_a_reason(value: Any, reason: str) -> None:
    read = reader().read(message(value), NOW)
    assert isinstance(read, Poison) and read.reason == reason


@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
def test_no_bytes_stop_the_reader(value: bytes) -> None:
    assert isinstance(reader().read(message(value), NOW), (Event, Poison))


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
fields = st.sampled_from(["user_id", "kind", "item_id", "ts", "event_id", "rank", "value", "text"])


@given(st.dictionaries(fields, json_values), st.floats() | st.none())
def test_no_json_stops_the_reader(changes: dict[str, Any], sent_at: float | None) -> None:
    read = reader().read(message({**CLICK, **changes}, sent_at), NOW)
    assert isinstance(read, (Event, Poison))
