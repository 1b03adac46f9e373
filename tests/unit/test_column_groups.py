from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from recsys.column_groups import decode_group, encode_group
from recsys.errors import ChecksumError


@pytest.mark.parametrize(
    "array",
    [
        np.arange(24, dtype=np.float32).reshape(2, 3, 4),
        np.arange(5, dtype=np.int32),
        np.array([-np.inf, 0.1, np.nan]),
        np.array([1, 255], dtype=np.uint8),
        np.array([True, False, True]),
        np.zeros((0, 8, 64), dtype=np.float32),
        np.array(["a", "ü", ""], dtype=object),
        np.array([], dtype=object),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_a_column_comes_back_with_its_dtype_shape_and_values(array: np.ndarray[Any, Any]) -> None:
    back = decode_group(encode_group({"x": array, "other": np.arange(2)}))["x"]
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    np.testing.assert_array_equal(back, array)
    assert back.flags.writeable


def test_a_scalar_column_is_refused() -> None:
    with pytest.raises(ValueError, match="scalar"):
        encode_group({"t_ref": np.array(1.0)})


def test_bytes_that_are_no_arrow_file_are_named() -> None:
    with pytest.raises(ChecksumError, match="Arrow"):
        decode_group(b"half a file")
