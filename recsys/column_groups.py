"""A named column group: arrays of any lengths and shapes as one Arrow IPC file.

Every column is stored as one row: a list of its ``n`` elements, fixed-size lists for further axes.
So the file alone tells names, types and shapes, columns of different lengths stand side by side,
and any Arrow reader opens it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recsys.errors import ChecksumError

Column = npt.NDArray[Any]

_WORTH_PACKING = 0.8
"""Share of its size that a group must fall below to be compressed: floats seldom do."""


def encode_group(columns: Mapping[str, Column]) -> bytes:
    """Columns of any lengths and shapes as one Arrow IPC file.

    Args:
        columns: name -> array ``(n, ...)`` of numbers, or ``(n,)`` of strings (dtype object).
            The axes after the first must not be empty.

    Raises:
        ValueError: if a column is a scalar.
    """
    table = pa.table({name: _row(name, np.asarray(array)) for name, array in columns.items()})
    packed = _file(table, "lz4")
    if packed.size > _WORTH_PACKING * table.nbytes:
        return _file(table, None).to_pybytes()  # type: ignore[no-any-return]
    return packed.to_pybytes()  # type: ignore[no-any-return]


def _file(table: pa.Table, compression: str | None) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_file(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _row(name: str, array: Column) -> pa.Array:
    if array.ndim == 0:
        raise ValueError(f"column {name} is a scalar; store it as an array of one element")
    if array.dtype == object:
        values = pa.array(array.tolist(), pa.large_string())
    else:
        values = pa.array(np.ascontiguousarray(array).reshape(-1))
        for length in reversed(array.shape[1:]):
            values = pa.FixedSizeListArray.from_arrays(values, length)
    return pa.LargeListArray.from_arrays(pa.array([0, len(array)], pa.int64()), values)


def decode_group(data: bytes | pa.Buffer, copied: bool = True) -> dict[str, Column]:
    """The columns of ``encode_group``: arrays of the same dtypes and shapes.

    Args:
        data: the file.
        copied: whether columns are writable copies; else those of numbers may share ``data``.

    Raises:
        ChecksumError: if the bytes are no Arrow IPC file.
    """
    try:
        table = pa.ipc.open_file(pa.BufferReader(data)).read_all()
    except (pa.ArrowInvalid, OSError) as error:
        raise ChecksumError("snapshot group", f"is no sound Arrow file ({error})") from error
    return {n: _array(table.column(n).chunk(0).values, copied) for n in table.column_names}


def _array(values: pa.Array, copied: bool) -> Column:
    if pa.types.is_large_string(values.type):
        return np.array(values.to_pylist(), dtype=object)
    shape = [len(values)]
    while pa.types.is_fixed_size_list(values.type):
        shape.append(values.type.list_size)
        values = values.flatten()
    found = values.to_numpy(zero_copy_only=False)
    return (np.array(found) if copied else found).reshape(shape)
