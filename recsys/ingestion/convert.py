"""Raw columns of any type -> the types of the schema, row by row sound or marked as bad.

Every function is vectorised and returns ``(column, bad)``: what cannot be converted is null in the
column and True in ``bad`` (T,) bool; what was null stays null and is not bad.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Bad = npt.NDArray[np.bool_]

TIME_UNITS = {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3}
"""Unit of a numeric time -> microseconds in it."""

_COARSER_BELOW = {"s": 0.0, "ms": 1e11, "us": 1e14, "ns": 1e17}
"""Numbers below this are no present-day times in the unit, but fit a coarser one."""

_NUMBER = r"^\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$"
_ZONED = r"(Z|z|[-+]\d\d:?\d\d)$"
_MICROSECONDS = pa.timestamp("us")


def flat(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """One array without dictionary encoding or views."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    return array


def mask(column: pa.Array) -> Bad:
    """A boolean column as (T,) bool; null is False."""
    return np.asarray(pc.fill_null(column, False).to_numpy(zero_copy_only=False), dtype=np.bool_)


def as_text(column: pa.ChunkedArray) -> tuple[pa.Array, Bad]:
    """A column as strings; whole floats lose their ``.0``, since ids with gaps arrive as floats."""
    array = flat(column)
    kind = array.type
    if _is_text(kind):
        return pc.cast(array, pa.string()), np.zeros(len(array), np.bool_)
    if _is_bytes(kind):
        try:
            return pc.cast(array, pa.string()), np.zeros(len(array), np.bool_)
        except pa.ArrowInvalid:
            return _by_row(array, lambda b: b.decode("utf-8"), pa.string())
    if pa.types.is_floating(kind):
        array = pc.if_else(pc.is_nan(array), None, array)
        whole = pc.fill_null(pc.equal(pc.floor(array), array), True)
        if pc.all(whole).as_py() is not False and _fits_int64(array):
            array = pc.cast(array, pa.int64())
    if pa.types.is_nested(kind):
        return pa.nulls(len(array), pa.string()), mask(pc.is_valid(array))
    return pc.cast(array, pa.string()), np.zeros(len(array), np.bool_)


def as_number(column: pa.ChunkedArray) -> tuple[pa.Array, Bad]:
    """A column as float64; NaN and infinities are bad."""
    array = flat(column)
    kind = array.type
    if _is_bytes(kind) or _is_text(kind):
        text, bad = as_text(array)
        text = pc.utf8_trim_whitespace(text)
        text = pc.if_else(pc.equal(text, ""), None, text)
        sound = mask(pc.match_substring_regex(text, _NUMBER))
        bad |= ~sound & mask(pc.is_valid(text))
        numbers = pc.cast(pc.if_else(pa.array(sound), text, None), pa.float64())
    elif _is_numeric(kind) or pa.types.is_null(kind) or pa.types.is_boolean(kind):
        bad = np.zeros(len(array), np.bool_)
        numbers = pc.cast(array, pa.float64(), safe=False)
    else:
        return pa.nulls(len(array), pa.float64()), mask(pc.is_valid(array))
    finite = mask(pc.is_finite(numbers))
    bad |= ~finite & mask(pc.is_valid(numbers))
    return pc.if_else(pa.array(finite), numbers, None), bad


def as_whole(column: pa.ChunkedArray, limit: int) -> tuple[pa.Array, Bad]:
    """A column as int64 with ``|x| <= limit``; fractions are bad."""
    array = flat(column)
    if pa.types.is_integer(array.type):
        array, bad = pc.cast(array, pa.int64(), safe=False), np.zeros(len(array), np.bool_)
    else:
        numbers, bad = as_number(array)
        whole = mask(pc.and_(pc.equal(pc.floor(numbers), numbers), _within(numbers, 2.0**62)))
        bad |= ~whole & mask(pc.is_valid(numbers))
        array = pc.cast(pc.if_else(pa.array(whole), numbers, None), pa.int64())
    fits = mask(_within(array, limit))
    return pc.if_else(pa.array(fits), array, None), bad | (~fits & mask(pc.is_valid(array)))


def detect_time_unit(column: pa.ChunkedArray) -> str | None:
    """The unit of a numeric time column by the size of its median; None if it is not numeric.

    Seconds lie below 1e11 (the year 5138), milliseconds below 1e14, microseconds below 1e17.
    """
    kind = flat(column).type
    if not (_is_numeric(kind) or _is_text(kind) or _is_bytes(kind)):
        return None
    numbers, _ = as_number(column)
    sizes = np.abs(numbers.drop_null().to_numpy())
    if len(sizes) == 0:
        return None
    return ("s", "ms", "us", "ns")[int(np.searchsorted((1e11, 1e14, 1e17), np.median(sizes)))]


def as_time(column: pa.ChunkedArray, unit: str | None) -> tuple[pa.Array, Bad, Bad]:
    """A column as int64 microseconds since 1970, UTC; naive times are taken as UTC.

    Args:
        column: timestamps, dates, ISO 8601 strings, or numbers in ``unit``.
        unit: of numeric times (see ``detect_time_unit``); None = seconds.

    Returns:
        ``(column, bad, other_unit)``: ``other_unit`` marks numbers that only make sense in a
        coarser unit than the rest of the column.
    """
    array = flat(column)
    kind = array.type
    none = np.zeros(len(array), np.bool_)
    if pa.types.is_timestamp(kind):
        return pc.cast(pc.cast(array, _stamp(kind.tz), safe=False), pa.int64()), none, none
    if pa.types.is_date(kind):
        days = pc.cast(pc.cast(array, pa.date32(), safe=False), pa.int32())
        return _time_of_numbers(pc.multiply(pc.cast(days, pa.float64()), 86_400.0), "s")
    if _is_text(kind) or _is_bytes(kind):
        return _time_of_text(array, unit)
    return _time_of_numbers(array, unit)


def _time_of_numbers(array: pa.Array, unit: str | None) -> tuple[pa.Array, Bad, Bad]:
    unit = unit or "s"
    numbers, bad = as_number(array)
    scaled = pc.round(pc.multiply(numbers, TIME_UNITS[unit]))
    in_range = mask(_within(scaled, 2.0**62))
    bad |= ~in_range & mask(pc.is_valid(scaled))
    other = mask(pc.less(pc.abs(numbers), _COARSER_BELOW[unit]))
    return pc.cast(pc.if_else(pa.array(in_range), scaled, None), pa.int64()), bad, other


def _time_of_text(array: pa.Array, unit: str | None) -> tuple[pa.Array, Bad, Bad]:
    text, bad = as_text(array)
    text = pc.utf8_trim_whitespace(text)
    text = pc.if_else(pc.equal(text, ""), None, text)
    numeric = pc.match_substring_regex(text, _NUMBER)
    counted, bad_numbers, other = _time_of_numbers(pc.if_else(numeric, text, None), unit)
    zoned = pc.match_substring_regex(text, _ZONED)
    written = pc.invert(numeric)
    dated, bad_zoned = _parse(pc.if_else(pc.and_(written, zoned), text, None), "UTC")
    naive, bad_naive = _parse(pc.if_else(pc.and_(written, pc.invert(zoned)), text, None), None)
    whole = pc.coalesce(counted, dated, naive)
    return whole, bad | bad_numbers | bad_zoned | bad_naive, other


def _parse(text: pa.Array, zone: str | None) -> tuple[pa.Array, Bad]:
    try:
        stamps = pc.cast(text, _stamp(zone))
        return pc.cast(stamps, pa.int64()), np.zeros(len(text), np.bool_)
    except pa.ArrowInvalid:
        return _by_row(text, _iso_microseconds, pa.int64())


def _iso_microseconds(text: str) -> int:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _by_row(
    array: pa.Array, convert: Callable[[Any], Any], to: pa.DataType
) -> tuple[pa.Array, Bad]:
    values: list[Any] = []
    bad = np.zeros(len(array), np.bool_)
    for i, raw in enumerate(array.to_pylist()):
        try:
            values.append(None if raw is None else convert(raw))
        except ValueError:  # UnicodeDecodeError is one
            values.append(None)
            bad[i] = True
    return pa.array(values, to), bad


def _within(array: pa.Array, limit: float) -> pa.Array:
    return pc.and_(pc.greater_equal(array, -limit), pc.less_equal(array, limit))


def _fits_int64(array: pa.Array) -> bool:
    largest = pc.max(pc.abs(array)).as_py()
    return largest is None or largest < 2.0**53


def _stamp(zone: str | None) -> pa.DataType:
    return _MICROSECONDS if zone is None else pa.timestamp("us", tz="UTC")


def _is_text(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_numeric(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    )
