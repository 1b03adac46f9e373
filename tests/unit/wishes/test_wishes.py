"""Wishes by themselves: folded in any order, and matched to other graphs."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from recsys.schema import DEFAULT_TENANT, EVENTS, Event
from recsys.wishes.book import WishBook
from recsys.wishes.matching import LEAST_COSINE, matched
from recsys.wishes.wish import WISH, Wish, encoded, read_wish, wish_text
from tests.unit.graph.planted import graph

LABEL = graph().labels[0].label


def event(ts: float, event_id: str, node: int = 0, **changes: bool | float | None) -> Event:
    label, vector = graph().labels[node].label, encoded(graph().centres[node])
    text = wish_text(label, vector, changes)
    return Event(DEFAULT_TENANT, event_id, "ann", None, WISH, ts, 0, ts, text=text)


def said(*events: Event) -> WishBook:
    book = WishBook()
    book.take(events)
    return book


def test_any_order_gives_the_same_wish() -> None:
    events = [
        event(1.0, "a", mute=True),
        event(2.0, "b", boost=2.0),
        event(2.0, "c", boost=3.0),
        event(3.0, "d", mute=None, pin=True),
    ]
    found = {str(said(*some).of("ann")[0].as_json()) for some in itertools.permutations(events)}
    assert len(found) == 1
    (wish,) = said(*events).of("ann")
    assert (wish.is_muted, wish.boost, wish.is_pinned) == (False, 3.0, True)
    assert said(*events, *events).of("ann") == (wish,)


def test_a_record_and_live_events_say_the_same() -> None:
    events = [event(1.0, "a", mute=True), event(2.5, "b", node=1, forget=True)]
    rows = [e._replace(ts=round(e.ts * 1e6), ingested_at=0) for e in events]
    record = pa.table(
        [pa.array(c, f.type) for c, f in zip(zip(*rows, strict=True), EVENTS, strict=True)],
        schema=EVENTS,
    )
    book = WishBook()
    book.take_record(record)
    assert book.of("ann") == said(*events).of("ann")


def test_a_book_goes_through_a_snapshot() -> None:
    book = said(event(1.0, "a", mute=True), event(2.0, "b", node=1, boost=0.5))
    assert WishBook.from_columns(book.columns()).of("ann") == book.of("ann")


@pytest.mark.parametrize(
    "text",
    [None, "", "[]", "{}", '{"label": "x", "vector": "!", "set": {"mute": true}}',
     '{"label": "x", "vector": "AAA=", "set": {"sing": true}}'],
)  # fmt: skip
def test_what_nobody_understands_is_no_wish(text: str | None) -> None:
    assert read_wish(text, 1.0, "a") is None


def test_a_wish_follows_its_direction_to_a_renamed_node() -> None:
    (wish,) = said(event(1.0, "a", mute=True)).of("ann")
    names = list(graph().labels)
    names[0], names[1] = names[1], names[0]
    other = replace(graph(), labels=tuple(names))
    assert list(matched([wish], other).by_node) == [0]


def test_a_wish_follows_its_label_where_directions_are_new() -> None:
    (wish,) = said(event(1.0, "a", mute=True)).of("ann")
    other = replace(graph(), centres=np.eye(len(graph()), 64, dtype=np.float32))
    found = matched([wish], other)
    assert list(found.by_node) == [0] and found.inactive == ()


def test_a_wish_without_its_interest_waits() -> None:
    (wish,) = said(event(1.0, "a", mute=True)).of("ann")
    far = replace(graph(), centres=-graph().centres)
    assert np.max(far.centres @ wish.centre) < LEAST_COSINE
    lost = replace(far, labels=tuple(n._replace(label=f"not {n.label}") for n in far.labels))
    found = matched([wish], lost)
    assert found.by_node == {} and found.inactive == (wish,)
    assert matched([wish], None).inactive == (wish,)


def test_two_names_of_one_node_are_one_wish() -> None:
    first, second = event(1.0, "a", mute=True), event(2.0, "b", pin=True)
    (one,), (two,) = said(first).of("ann"), said(second).of("ann")
    found = matched([Wish("old name", one.vector, one.said), two], graph()).by_node
    assert list(found) == [0] and found[0].is_muted and found[0].is_pinned
    assert found[0].label == LABEL


def test_what_was_taken_back_is_no_wish() -> None:
    book = said(event(1.0, "a", mute=True), event(2.0, "b", mute=False))
    assert len(matched(book.of("ann"), graph())) == 0
