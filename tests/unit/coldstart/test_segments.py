"""Segments: counts, shrinkage, fading, and the files of a bundle."""

from __future__ import annotations

import numpy as np
import pytest

from recsys.coldstart.options import SegmentSettings
from recsys.coldstart.segments import Segments, fading, segment_names, uncounted
from recsys.coldstart.stored import COUNTS, segment_files, segments_of
from recsys.errors import DataError
from recsys.events import EventArrays, event_arrays
from recsys.settings import InterestSettings
from recsys.testing.fakes import tiny_log

DAY = 86_400.0
NOW = 1_000 * DAY
OPTIONS = SegmentSettings(half_life_s=DAY, min_users=2, strength=10.0)
USERS = {"a": "tea", "b": "tea", "c": "mate", "d": "mate", "e": "rare"}
ROWS = [
    ("a", "x", "click", NOW),
    ("b", "x", "click", NOW - DAY),
    ("a", "y", "dislike", NOW),
    ("c", "y", "click", NOW),
    ("d", "y", "click", NOW),
    ("e", "z", "click", NOW),
    ("a", "z", "click", NOW + 1.0),
    ("stranger", "x", "click", NOW),
]


def log(rows: list[tuple[str, str, str, float]]) -> EventArrays:
    return event_arrays(tiny_log(rows), {"x": 0, "y": 1, "z": 2})


def counted(*parts: list[tuple[str, str, str, float]]) -> Segments:
    users = [(name, {"drink": drink}) for name, drink in USERS.items()]
    begun = uncounted(users, 4, NOW, OPTIONS)
    return begun.counted([begun.count(log(part), InterestSettings()) for part in parts])


def dense(segments: Segments, g: int) -> list[float]:
    run = slice(segments.offsets[g], segments.offsets[g + 1])
    found = np.zeros(4)
    found[segments.item[run]] = segments.count[run]
    return found.tolist()


def test_positive_events_are_counted_by_segment_and_fade() -> None:
    segments = counted(ROWS)
    assert segments.names == ("drink=mate", "drink=tea")  # one user makes no segment
    assert dense(segments, 0) == [0.0, 2.0, 0.0, 0.0]
    assert dense(segments, 1) == [1.5, 0.0, 0.0, 0.0]
    assert segments.everybody.tolist() == [2.5, 2.0, 1.0, 0.0]


def test_partitions_add_up() -> None:
    by_user = [[row for row in ROWS if row[0] == user] for user in [*USERS, "stranger"]]
    whole, parts = counted(ROWS), counted(*by_user)
    np.testing.assert_array_equal(whole.everybody, parts.everybody)
    assert [dense(whole, g) for g in (0, 1)] == [dense(parts, g) for g in (0, 1)]


def test_a_lift_is_a_log_ratio_that_the_prior_shrinks() -> None:
    segments = counted(ROWS)
    p = np.array([2.5, 2.0, 1.0]) / 5.5
    tea = np.log((np.array([1.5, 0.0, 0.0]) + 10.0 * p) / (1.5 + 10.0) / p)
    found = segments.lift(segments.of({"drink": "tea"}), 10.0)
    np.testing.assert_allclose(found[:3], tea, rtol=1e-5)
    assert found[3] == 0.0  # nobody has chosen it
    assert np.abs(segments.lift([1], 1e6)).max() < 1e-5
    assert segments.lift(segments.of({"drink": "water", "age": 3}), 10.0).tolist() == [0.0] * 4


def test_several_segments_count_in_the_mean() -> None:
    segments = counted(ROWS)
    both = segments.lift([0, 1], 10.0)
    mean = (segments.lift([0], 10.0) + segments.lift([1], 10.0)) / 2
    np.testing.assert_allclose(both, mean, atol=1e-6)


def test_numbers_make_bands_and_odd_values_no_segment() -> None:
    names = segment_names(
        {"age": "20", "n": -1, "b": True, "x": None, "l": [1], "e": " ", "i": "inf"}
    )
    assert names == ["age=20-29", "n=-10--1", "b=true", "i=inf"]


def test_the_weight_fades_as_the_user_is_known() -> None:
    options = SegmentSettings(fades_at=3.0)
    assert [fading(n_seen, options) for n_seen in (0, 3, 27)] == [1.0, 0.5, 0.1]


def test_segments_come_back_from_a_bundle() -> None:
    segments = counted(ROWS)
    again = segments_of(segment_files(segments))
    assert again is not None and again.names == segments.names
    np.testing.assert_array_equal(again.lift([1], 10.0), segments.lift([1], 10.0))
    assert segments_of({}) is None and segment_files(None) == {}
    with pytest.raises(DataError, match="segments"):
        segments_of({**segment_files(segments), COUNTS: b"no"})


def test_segments_move_to_another_catalog() -> None:
    segments = counted(ROWS)
    moved = segments.aligned(np.array([-1, 1, 0]))
    np.testing.assert_allclose(moved.everybody, [0.0, 2.0, 2.5])
    found = moved.lift([0], 10.0)
    assert found[0] == 0.0 and found[1] > 0.0 > found[2]
