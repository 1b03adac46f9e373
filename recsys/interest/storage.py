"""How a table holds its profiles: in which form, how many in memory, and where the others are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ProfileDtype = Literal["float32", "float16"]


@dataclass(frozen=True)
class Storage:
    """Nothing is ever lost by it: whoever is asked for comes back."""

    dtype: ProfileDtype = "float32"
    """Of sums (float32), or of means (float16)."""
    seed: int = 0
    """Of the chances by which means are rounded; the same folds give the same bits."""
    spill: Path | None = None
    """File for those who do not fit; None = everybody stays."""
    max_users: int | None = None
    """Most users in memory, the most recently active ones."""
    ttl_s: float | None = None
    """Seconds behind the table's latest event after which a user leaves memory."""

    @property
    def is_half(self) -> bool:
        """Whether means are held, in float16."""
        return self.dtype == "float16"
