"""Splits as the command line writes them."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from pipelines.past import Past
from pipelines.times import parse_time
from recsys.errors import ConfigError, DataError
from recsys.evaluation.split import Queries, last_event_queries, time_at_share, time_queries
from recsys.events import timestamps_s

LOO = "loo"
LOO_STRICT = "loo-strict"


@dataclass(frozen=True)
class Split:
    """Which moments are asked about."""

    name: str
    start: float | None
    """Unix seconds of a time split; None = leave-one-out."""

    def queries(self, past: Past) -> Queries:
        """All queries of the split.

        Raises:
            DataError: if there are none.
        """
        if self.start is not None:
            found = time_queries(past.events, past.positive, self.start)
        else:
            strict = self.name == LOO_STRICT
            found = last_event_queries(past.events, past.positive, strict)
        if len(found) == 0:
            kinds = ", ".join(past.settings.interest.positive_kinds)
            raise DataError(
                f"split {self.name}",
                "leaves no positive event to ask for",
                f"Choose an earlier split; positive kinds are {kinds}",
            )
        return found


def parse_split(split: str, table: pa.Table | None) -> Split:
    """Read a split as it is written on the command line.

    Args:
        split: ``time:0.8``, ``time:2024-05-01``, ``time:1714521600``, ``loo`` or ``loo-strict``.
        table: the events; only a share needs them.

    Raises:
        ConfigError: if it is none of these.
    """
    share = share_of(split)
    if share is not None:
        assert table is not None
        return Split(split, time_at_share(timestamps_s(table["ts"]), share))
    if split.startswith("time:"):
        return Split(split, parse_time(split.removeprefix("time:")))
    if split in (LOO, LOO_STRICT):
        return Split(split, None)
    raise ConfigError(
        f"split {split!r}", "is unknown", "Use time:0.8, time:2024-05-01, loo or loo-strict"
    )


def share_of(split: str) -> float | None:
    """The share in ``time:0.8``; None for all other splits."""
    try:
        share = float(split.removeprefix("time:"))
    except ValueError:
        return None
    return share if split.startswith("time:") and 0.0 < share < 1.0 else None
