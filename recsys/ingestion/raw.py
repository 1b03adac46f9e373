"""What every reader of raw files hands on: a batch of rows and their places."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

BATCH_ROWS = 65_536
"""Rows in a batch of Parquet."""
BATCH_BYTES = 8 << 20
"""Bytes in a batch of a text format."""


@dataclass(frozen=True)
class RawBatch:
    """T raw rows."""

    table: pa.Table
    positions: npt.NDArray[np.int64]
    """(T,) place of each row in its file."""
    malformed: list[tuple[int, str]] = field(default_factory=list)
    """``(position, text)`` of lines that are no row."""
