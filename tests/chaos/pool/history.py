"""What happened in a run, as those saw it who asked; and what is recorded at its end.

All moments are of one clock, that of the process which asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class Sent(NamedTuple):
    """An event that was sent."""

    partition: int
    user: str
    event_id: str


class Append(NamedTuple):
    """A batch that was sent, as often as it took."""

    begin: float
    end: float
    events: tuple[Sent, ...]
    is_acknowledged: bool
    """False: whether it was committed is not known."""
    versions: Mapping[int, int]
    """Partition -> ledger sequence that the acknowledgement promised to later reads."""


class Seen(NamedTuple):
    """A profile as somebody read it, or as it was recovered."""

    begin: float
    end: float
    partition: int
    user: str
    version: int
    min_version: int
    """That the reader asked for; 0 = any."""
    n_events: int
    as_of: float
    mass: tuple[float, ...]
    """(H,) at ``as_of``."""


class Row(NamedTuple):
    """A row of the ledger at the end."""

    partition: int
    seq: int
    user: str
    event_id: str
    kind: str
    ts: float
    writer_epoch: int | None = None
    """Epoch that its writer named; None = not known."""
    epoch: int | None = None
    """Epoch of the partition when it was committed; None = not known."""
    is_released: bool = False
    """Whether nobody owned the partition then."""


@dataclass
class History:
    """A run. Lists may be filled by several threads."""

    appends: list[Append] = field(default_factory=list)
    reads: list[Seen] = field(default_factory=list)
    recovered: list[Seen] = field(default_factory=list)
    """Profiles that a new process found in snapshots and ledger after the end."""
    unread: list[str] = field(default_factory=list)
    """Why profiles with all that was acknowledged could not be read when all was calm again."""
    rows: list[Row] = field(default_factory=list)
