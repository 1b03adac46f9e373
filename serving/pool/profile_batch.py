"""The answer to a read: profiles of many users as a few arrays, whatever their number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from recsys.interest.model import Banks, Query
from recsys.interest.recent import Histories
from recsys.interest.shown import Shown
from recsys.wishes.wish import Wish
from serving.pool.messages import ProfileView

UNKNOWN_KIND = "unknown"


@dataclass(frozen=True)
class ProfileBatch(Sequence[ProfileView]):
    """B profiles; one of them is a ``ProfileView``, made when it is asked for."""

    user_ids: tuple[str, ...]
    is_known: npt.NDArray[np.bool_]
    """(B,) False for users of whom there is no event."""
    partition: npt.NDArray[np.int64]
    """(B,)."""
    version: npt.NDArray[np.int64]
    """(B,) ledger sequence of the partition that is folded in."""
    as_of: npt.NDArray[np.float64]
    """(B,) Unix seconds; never before ``t_ref``."""
    t_ref: npt.NDArray[np.float64]
    """(B,) Unix seconds of the latest event; -inf = none."""
    query: Query
    """What the B users ask for."""
    mass: npt.NDArray[np.float32]
    """(B, H) positive mass at ``as_of``."""
    confidence: npt.NDArray[np.float32]
    """(B, H) mass / (mass + m_0)."""
    histories: Histories
    """What they did."""
    importance: npt.NDArray[np.float32]
    """(E,) signed, of the events of ``histories``."""
    kinds: tuple[str, ...]
    """Names of the kinds by code."""
    banks: Banks | None = None
    """The evidence, which reasons are folded from."""
    wishes: Mapping[int, tuple[Wish, ...]] = field(default_factory=dict)
    """What they wish of their interests, by position; most wish nothing, and are left out."""
    shown: Shown | None = None
    """What they were shown lately; None = none of them anything."""

    def __len__(self) -> int:
        return len(self.user_ids)

    @overload
    def __getitem__(self, place: int) -> ProfileView: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[ProfileView]: ...
    def __getitem__(self, place: int | slice) -> ProfileView | Sequence[ProfileView]:
        if isinstance(place, slice):
            return [self[b] for b in range(*place.indices(len(self)))]
        if not -len(self) <= place < len(self):
            raise IndexError(f"profile {place} of {len(self)}")
        b, did = place % len(self), self.histories
        some = slice(int(did.bounds[b]), int(did.bounds[b + 1]))
        return ProfileView(
            user_id=self.user_ids[b],
            is_known=bool(self.is_known[b]),
            partition=int(self.partition[b]),
            version=int(self.version[b]),
            as_of=float(self.as_of[b]),
            t_ref=float(self.t_ref[b]),
            n_events=int(did.n_events[b]),
            query=self.query.of(b),
            mass=self.mass[b],
            confidence=self.confidence[b],
            recent_item=did.item[some],
            recent_ts=did.ts[some],
            recent_importance=self.importance[some],
            recent_kind=tuple(map(self._kind, did.kind[some].tolist())),
            recent_value=did.value[some],
            seen=did.seen[did.seen_bounds[b] : did.seen_bounds[b + 1]],
            banks=None if self.banks is None else self.banks.pick(slice(b, b + 1)),
            wishes=self.wishes.get(b, ()),
            **self._shown(b),
        )

    def _shown(self, b: int) -> dict[str, Any]:
        if self.shown is None:
            return {}
        item, ts = self.shown.of(b)
        return {"shown_item": item, "shown_ts": ts}

    def _kind(self, code: int) -> str:
        return self.kinds[code] if code < len(self.kinds) else UNKNOWN_KIND
