import numpy as np
import pyarrow as pa

from recsys.events import NO_TEXT, UNKNOWN_ITEM, UNKNOWN_TEXT, event_arrays, timestamps_s
from recsys.schema import EVENTS
from recsys.testing.fakes import tiny_log

ITEMS = {"a": 0, "b": 1}


def test_events_are_sorted_by_user_then_time_then_place_in_the_source() -> None:
    rows = [("v", "a", "click", 5.0), ("u", "b", "view", 9.0), ("u", "a", "click", 3.0)]
    rows += [("u", "b", "click", 3.0)]
    events = event_arrays(tiny_log(rows), ITEMS)
    assert events.user_ids == ["u", "v"]
    assert events.bounds.tolist() == [0, 3, 4]
    assert events.user.tolist() == [0, 0, 0, 1]
    assert events.item.tolist() == [0, 1, 1, 0]
    assert events.kind.tolist() == ["click", "click", "view", "click"]
    assert events.ts.tolist() == [3.0, 3.0, 9.0, 5.0]
    assert len(events) == 4


def test_unknown_and_missing_items_are_marked() -> None:
    rows = [("u", "zz", "click", 1.0), ("u", None, "search", 2.0), ("u", "b", "click", 3.0)]
    assert event_arrays(tiny_log(rows), ITEMS).item.tolist() == [UNKNOWN_ITEM, UNKNOWN_ITEM, 1]


def test_a_missing_value_is_nan() -> None:
    log = tiny_log([("u", "a", "rating", 1.0), ("u", "b", "click", 2.0)], values={0: 4.5})
    value = event_arrays(log, ITEMS).value
    assert value[0] == 4.5
    assert np.isnan(value[1])


def test_no_events_give_empty_arrays() -> None:
    events = event_arrays(EVENTS.empty_table(), ITEMS)
    assert len(events) == 0
    assert events.user_ids == []
    assert events.bounds.tolist() == [0]


def test_users_that_stand_in_several_chunks_stay_one_user() -> None:
    parts = [tiny_log([("u", "a", "click", float(n))]) for n in range(3)]
    events = event_arrays(pa.concat_tables(parts), ITEMS)
    assert events.user_ids == ["u"]
    assert events.bounds.tolist() == [0, 3]


def test_times_keep_their_microseconds() -> None:
    log = tiny_log([("u", "a", "click", 1_700_000_000.000001)])
    assert event_arrays(log, ITEMS).ts[0] == 1_700_000_000.000001


def test_a_missing_time_is_nan() -> None:
    column = pa.array([1_000_000, None], pa.timestamp("us", tz="UTC"))
    seconds = timestamps_s(column)
    assert seconds[0] == 1.0
    assert np.isnan(seconds[1])


def test_times_of_any_unit_are_read_in_seconds() -> None:
    assert timestamps_s(pa.array([1_500], pa.timestamp("ms", tz="UTC"))).tolist() == [1.5]


def test_words_are_rows_of_the_known_texts() -> None:
    rows = [("u", "a", "comment", 1.0), ("u", None, "search", 2.0), ("u", "b", "click", 3.0)]
    rows += [("u", None, "search", 4.0), ("u", "zz", "comment", 5.0), ("u", None, "search", 6.0)]
    texts = {0: "fine", 1: "rockets", 3: "unheard of", 4: "fine", 5: " "}
    log = tiny_log(rows, texts=texts)
    events = event_arrays(log, ITEMS, {"fine": 0, "rockets": 1})
    assert events.text is not None
    expected = [0, 1, NO_TEXT, UNKNOWN_TEXT, UNKNOWN_TEXT, NO_TEXT]  # the fifth lacks its item
    assert events.text.tolist() == expected
    kept = events.kept(np.array([1, 3])).text
    assert kept is not None and kept.tolist() == [1, UNKNOWN_TEXT]


def test_words_that_nobody_reads_are_not_there() -> None:
    log = tiny_log([("u", None, "search", 1.0)], texts={0: "rockets"})
    assert event_arrays(log, ITEMS).text is None
    assert event_arrays(tiny_log([("u", "a", "click", 1.0)]), ITEMS, {"rockets": 0}).text is None
