"""The answer to a read of queries: what users ask the items, without what they did."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recsys.interest.model import Query


@dataclass(frozen=True)
class QueryBatch:
    """The queries of B users; a tenth of the bytes of their profiles."""

    user_ids: tuple[str, ...]
    is_known: npt.NDArray[np.bool_]
    """(B,) False for users of whom there is no event."""
    partition: npt.NDArray[np.int64]
    """(B,)."""
    version: npt.NDArray[np.int64]
    """(B,) ledger sequence of the partition that is folded in."""
    as_of: npt.NDArray[np.float64]
    """(B,) Unix seconds; never before the user's latest event."""
    query: Query
    """What the B users ask for."""
