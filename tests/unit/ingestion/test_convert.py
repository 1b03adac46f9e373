from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from recsys.ingestion.convert import as_number, as_text, as_time, as_whole, detect_time_unit

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
NOON_US = 1_714_564_800_000_000


def column(values: list[Any], kind: pa.DataType | None = None) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values, kind)])


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([1, None], pa.int32(), ["1", None]),
        ([12.0, None, float("nan")], pa.float64(), ["12", None, None]),
        ([1.5, 2.0], pa.float64(), ["1.5", "2"]),
        (["a", None], pa.large_string(), ["a", None]),
        (["a"], pa.string_view(), ["a"]),
        (["a", "b"], pa.dictionary(pa.int8(), pa.string()), ["a", "b"]),
        ([b"\xc3\xa9"], pa.binary(), ["é"]),
        ([True], pa.bool_(), ["true"]),
        ([None], pa.null(), [None]),
    ],
)
def test_ids_of_any_scalar_type_become_text(
    values: list[Any], kind: pa.DataType, expected: list[str | None]
) -> None:
    text, bad = as_text(column(values, kind))
    assert [t and t.removesuffix(".0") for t in text.to_pylist()] == expected
    assert not bad.any()


def test_text_that_is_no_utf8_or_a_list_is_bad() -> None:
    text, bad = as_text(column([b"ok", b"\xff\xfe", None], pa.binary()))
    assert (text.to_pylist(), bad.tolist()) == (["ok", None, None], [False, True, False])
    text, bad = as_text(column([["a"], None]))
    assert (text.to_pylist(), bad.tolist()) == ([None, None], [True, False])


def test_numbers_are_read_from_text_and_what_is_none_is_bad() -> None:
    numbers, bad = as_number(column(["1.5", " -2e3 ", "", None, "abc", "nan", "inf", "0x1"]))
    assert numbers.to_pylist() == [1.5, -2000.0, None, None, None, None, None, None]
    assert bad.tolist() == [False, False, False, False, True, True, True, True]


def test_nan_and_infinity_are_bad_numbers() -> None:
    numbers, bad = as_number(column([1.0, float("nan"), float("-inf"), None]))
    assert numbers.to_pylist() == [1.0, None, None, None]
    assert bad.tolist() == [False, True, True, False]
    assert as_number(column([Decimal("1.25")]))[0].to_pylist() == [1.25]
    assert as_number(column([[1]]))[1].tolist() == [True]


def test_whole_numbers_refuse_fractions_and_what_does_not_fit() -> None:
    whole, bad = as_whole(column(["1", "2.0", "2.5", None, "99"]), 50)
    assert whole.to_pylist() == [1, 2, None, None, None]
    assert bad.tolist() == [False, False, True, False, True]
    assert as_whole(column([1, 99]), 50)[1].tolist() == [False, True]


@pytest.mark.parametrize(
    ("scale", "unit"), [(1, "s"), (1_000, "ms"), (1_000_000, "us"), (1_000_000_000, "ns")]
)
@pytest.mark.parametrize("form", [int, float, str])
def test_the_unit_of_numeric_times_is_found_by_their_size(
    scale: int, unit: str, form: type[Any]
) -> None:
    times = column([form(NOON_US // 1_000_000 * scale), None])
    assert detect_time_unit(times) == unit
    ts, bad, other = as_time(times, unit)
    assert ts.to_pylist() == [NOON_US, None]
    assert not bad.any() and not other.any()


def test_a_time_in_a_coarser_unit_than_its_column_is_marked() -> None:
    times = column([NOON_US // 1_000, NOON_US // 1_000 + 5, NOON_US // 1_000_000])
    assert detect_time_unit(times) == "ms"
    assert as_time(times, "ms")[2].tolist() == [False, False, True]


def test_times_of_every_type_mean_the_same_moment() -> None:
    for values, kind in [
        ([NOON], pa.timestamp("ns", tz="UTC")),
        ([NOON.replace(tzinfo=None)], pa.timestamp("ms")),
        ([NOON], pa.timestamp("us", tz="Europe/Berlin")),
        (["2024-05-01T12:00:00Z"], None),
        (["2024-05-01 12:00:00"], None),
        (["2024-05-01T14:00:00+02:00"], None),
        (["2024-05-01T12:00:00.000000"], None),
        ([b"2024-05-01 12:00"], None),
    ]:
        ts, bad, _ = as_time(column(values, kind), None)
        assert ts.to_pylist() == [NOON_US], (values, kind)
        assert not bad.any()
    assert as_time(column([date(2024, 5, 1)]), None)[0].to_pylist() == [NOON_US - 43_200_000_000]


def test_text_that_is_no_time_is_bad_and_leaves_its_neighbours_alone() -> None:
    ts, bad, _ = as_time(
        column(["2024-05-01", "soon", "", None, "2024-05-01T12:00:00Z", "32"]), "s"
    )
    assert ts.to_pylist() == [NOON_US - 43_200_000_000, None, None, None, NOON_US, 32_000_000]
    assert bad.tolist() == [False, True, False, False, False, False]


def test_numeric_times_that_are_none_are_bad() -> None:
    ts, bad, _ = as_time(column([1e300, float("nan"), 5.25]), "s")
    assert ts.to_pylist() == [None, None, 5_250_000]
    assert bad.tolist() == [True, True, False]


def test_times_of_no_size_have_no_unit() -> None:
    assert detect_time_unit(column([None, None], pa.int64())) is None
    assert detect_time_unit(column([NOON])) is None
    assert detect_time_unit(column(["2024-05-01"])) is None


def test_dates_are_their_midnights() -> None:
    ts, bad, other = as_time(pa.array([19_000, None, -1, 2**31 - 1], pa.date32()), None)
    assert ts.to_pylist() == [19_000 * 86_400_000_000, None, -86_400_000_000, None]
    assert bad.tolist() == [False, False, False, True] and not other.any()
