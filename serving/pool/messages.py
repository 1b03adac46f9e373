"""What the actors of a pool say to each other: plain frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from recsys.interest.model import Banks, Query
from recsys.wishes.wish import Wish

Columns = Mapping[str, npt.NDArray[Any]]
"""A ``TrendState`` as named arrays."""


@dataclass(frozen=True)
class AckBatch:
    """Answer to an append: every accepted event is committed, and folded but for what it lacks."""

    n_accepted: int
    n_duplicates: int
    n_pending: int
    """Accepted events that are no evidence yet: those whose words are still to be read, which takes
    a moment, and those whose item the bundle lacks, which count from the next bundle."""
    versions: Mapping[int, int]
    """Partition -> ledger sequence that a read must have reached to see these events."""
    refused: tuple[str, ...] = ()
    """Ids of events that are refused, for their user was erased after them."""


@dataclass(frozen=True)
class ProfileView:
    """One user's profile, true at ``as_of``."""

    user_id: str
    is_known: bool
    """False for a user of whom there is no event; all the rest is then empty or zero."""
    partition: int
    version: int
    """Ledger sequence of the partition that is folded in."""
    as_of: float
    """Unix seconds; never before ``t_ref``."""
    t_ref: float
    """Unix seconds of the user's latest event; -inf = none."""
    n_events: int
    query: Query
    """What this one user asks for."""
    mass: npt.NDArray[np.float32]
    """(H,) positive mass at ``as_of``."""
    confidence: npt.NDArray[np.float32]
    """(H,) mass / (mass + m_0)."""
    recent_item: npt.NDArray[np.int32]
    """(R,) rows of the catalog, latest first."""
    recent_ts: npt.NDArray[np.float64]
    """(R,) Unix seconds."""
    recent_importance: npt.NDArray[np.float32]
    """(R,) signed."""
    recent_kind: tuple[str, ...]
    """(R,) kinds."""
    recent_value: npt.NDArray[np.float32]
    """(R,) ratings or dwell; NaN where there is none."""
    seen: npt.NDArray[np.int32]
    """Rows of the items that the user touched."""
    banks: Banks | None = None
    """The evidence, which reasons are folded from."""
    wishes: tuple[Wish, ...] = ()
    """What the user wishes of their interests."""
    shown_item: npt.NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    """(I,) rows of the catalog of the latest impressions, oldest first."""
    shown_ts: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    """(I,) Unix seconds."""


@dataclass(frozen=True)
class TrendPush:
    """A shard's news for the board."""

    shard: str
    sequence: int
    """Counts the pushes of one incarnation of a shard, from 1; a repeated number is a retry."""
    is_full: bool
    """True: the shard's whole trend; False: what came since the push before."""
    as_of: float
    """All events that the shard acknowledged before this Unix second are in."""
    columns: Columns


@dataclass(frozen=True)
class TrendUpdate:
    """The board's news for a gateway."""

    version: int
    as_of: float
    """All events acknowledged before this Unix second are in; -inf while a shard is still new."""
    is_full: bool
    """True: replace what you have by ``parts``; False: add them."""
    parts: tuple[Columns, ...]


@dataclass(frozen=True)
class ShardStatus:
    """What one shard holds."""

    name: str
    pid: int
    partitions: tuple[int, ...]
    n_users: int
    n_events: int
    """Events folded since the shard's start, the recovered tail included."""
    recovery_s: float
    """Seconds from its start until all partitions that it found assigned were served."""
    node_id: str = ""
    """Of Ray; empty where there is none."""
    failed: Mapping[int, str] = field(default_factory=dict)
    """Partition -> why it cannot be opened."""
    n_appended: int = 0
    """Events that came since the shard's start."""
    queue_s: float = 0.0
    """Mean seconds from arrival to acknowledgement of the batches of the last minute."""
    rss_bytes: int = 0
    """Resident memory of its process."""
    copies: tuple[int, ...] = ()
    """Partitions of others of which it has a copy, to take over."""
