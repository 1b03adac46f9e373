"""Compiled: float16 by its bits, because processors and numba know it in part only."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from recsys.memory import bits_of_float, float_of_bits


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def half_to_float(half: int) -> float:
    """The float32 of the bits of a finite float16."""
    bits = np.uint32(np.uint32(half & 0x8000) << np.uint32(16))
    bits = np.uint32(bits | np.uint32(np.uint32(half & 0x7FFF) << np.uint32(13)))
    return float_of_bits(bits) * np.float32(2.0**112)  # type: ignore[no-any-return]


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def float_to_half(number: float, dither: int) -> Any:
    """The bits of a float16 near a float32 of size at most 2: the one above or below, by chance.

    Args:
        number: float32.
        dither: 0 to 8191; evenly spread, the float16 is ``number`` on average.
    """
    bits = bits_of_float(np.float32(number * np.float32(2.0**-112)))
    size = np.uint32(np.uint32(bits & np.uint32(0x7FFFFFFF)) + np.uint32(dither))
    sign = np.uint32(np.uint32(bits >> np.uint32(16)) & np.uint32(0x8000))
    return np.uint16(np.uint32(size >> np.uint32(13)) | sign)
