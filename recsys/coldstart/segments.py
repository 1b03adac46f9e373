"""Segments: what users choose who share an attribute, shrunk to what everybody chooses.

    n_gi   = sum over positive events of users of segment g on item i of 2^(-(T - t)/tau)
    lift_i = mean over a user's segments g of  log[ (n_gi + m p_i) / ((n_g + m) p_i) ]

with ``p`` the shares of the population and ``m`` the strength of the prior: of a segment with few
events hardly anything is left, and of a rare item too. The weight of the lift fades with the items
that the user has touched: by a half at ``fades_at``. Numbers make segments of ten (ages 20 to 29).

Counts are sums, so partitions are merged by addition; segments of few users are never published.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse

from recsys.coldstart.options import SegmentSettings
from recsys.events import EventArrays
from recsys.interest.zero_shot import is_positive
from recsys.settings import InterestSettings

Floats = npt.NDArray[np.float32]

_BAND = 10
_MOST_SEGMENTS = 1_000


def segment_names(attributes: Mapping[str, Any]) -> list[str]:
    """The segments that a user with some attributes is in.

    >>> segment_names({"age": "24", "gender": "F", "tags": ["x"]})
    ['age=20-29', 'gender=F']
    """
    found = []
    for name, value in attributes.items():
        if isinstance(value, bool):
            found.append(f"{name}={str(value).lower()}")
        elif isinstance(value, (int, float, str)) and str(value).strip() != "":
            found.append(f"{name}={_band(str(value).strip())}")
    return found


def _band(value: str) -> str:
    try:
        number = float(value)
    except ValueError:
        return value
    if not np.isfinite(number):
        return value
    first = int(number // _BAND) * _BAND
    return f"{first}-{first + _BAND - 1}"


class SegmentSums(NamedTuple):
    """What is counted of a log, as of one moment."""

    cells: scipy.sparse.csr_matrix
    """(G, N) decayed positive events of each segment's users."""
    everybody: npt.NDArray[np.float64]
    """(N,) of all users."""

    def __add__(self, other: object) -> SegmentSums:
        """Counted together; of the same segments, items and moment."""
        if not isinstance(other, SegmentSums):
            return NotImplemented
        return SegmentSums(self.cells + other.cells, self.everybody + other.everybody)


@dataclass(frozen=True)
class Uncounted:
    """The segments of some users, before any event is counted."""

    names: tuple[str, ...]
    """(G,) sorted."""
    members: Mapping[str, Sequence[int]]
    """User -> segments."""
    n_items: int
    as_of: float
    """T, Unix seconds."""
    options: SegmentSettings

    def count(self, events: EventArrays, interest: InterestSettings) -> SegmentSums:
        """What some users did; the rows of the events are those of the catalog."""
        positive = is_positive(events.kind, events.value, interest)
        kept = np.flatnonzero(positive & (events.item >= 0) & (events.ts <= self.as_of))
        weight = np.exp2((events.ts[kept] - self.as_of) / self.options.half_life_s)
        shape = (len(events.user_ids), self.n_items)
        did = scipy.sparse.csr_matrix((weight, (events.user[kept], events.item[kept])), shape)
        pairs = [
            (g, u) for u, name in enumerate(events.user_ids) for g in self.members.get(name, ())
        ]
        places = np.array(pairs, np.int64).reshape(-1, 2)
        ones = (np.ones(len(places)), (places[:, 0], places[:, 1]))
        is_in = scipy.sparse.csr_matrix(ones, (len(self.names), len(events.user_ids)))
        everybody = np.bincount(events.item[kept], weight, minlength=self.n_items)
        return SegmentSums((is_in @ did).tocsr(), everybody.astype(np.float64))

    def counted(self, sums: Iterable[SegmentSums]) -> Segments:
        """The segments with everything counted."""
        none = scipy.sparse.csr_matrix((len(self.names), self.n_items))
        whole = sum(sums, SegmentSums(none, np.zeros(self.n_items)))
        cells = whole.cells.tocsr()
        cells.sort_indices()
        return Segments(
            self.names,
            cells.indptr.astype(np.int64),
            cells.indices.astype(np.int32),
            cells.data.astype(np.float32),
            whole.everybody.astype(np.float32),
        )


def uncounted(
    users: Iterable[tuple[str, Mapping[str, Any]]],
    n_items: int,
    as_of: float,
    options: SegmentSettings,
) -> Uncounted:
    """Find the segments of users; those of too few users are none.

    Args:
        users: id and attributes of each.
        n_items: N.
        as_of: Unix seconds; later events do not count.
        options: which attributes, and how many users at least.
    """
    wanted = options.attributes
    found: dict[str, list[str]] = {}
    for user_id, attributes in users:
        kept = {k: v for k, v in attributes.items() if wanted is None or k in wanted}
        for name in segment_names(kept):
            found.setdefault(name, []).append(user_id)
    sizes = {name: len(them) for name, them in found.items() if len(them) >= options.min_users}
    largest = sorted(sizes, key=lambda name: (-sizes[name], name))[:_MOST_SEGMENTS]
    names = tuple(sorted(largest))
    members: dict[str, list[int]] = {}
    for g, name in enumerate(names):
        for user_id in found[name]:
            members.setdefault(user_id, []).append(g)
    return Uncounted(names, members, n_items, as_of, options)


@dataclass(frozen=True)
class Segments:
    """Counts of G segments over N items; never changed."""

    names: tuple[str, ...]
    """(G,) sorted; ``attribute=value``."""
    offsets: npt.NDArray[np.int64]
    """(G + 1,) where the items of each begin."""
    item: npt.NDArray[np.int32]
    """(E,) catalog rows; negative = an item that is gone."""
    count: Floats
    """(E,) decayed positive events."""
    everybody: Floats
    """(N,) decayed positive events of all users."""
    _places: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        places = {name: g for g, name in enumerate(self.names)}
        object.__setattr__(self, "_places", places)

    @cached_property
    def population(self) -> npt.NDArray[np.float64]:
        """(N,) share of each item in what everybody chose."""
        counts = self.everybody.astype(np.float64)
        shares: npt.NDArray[np.float64] = counts / max(float(counts.sum()), 1e-9)
        return shares

    def of(self, attributes: Mapping[str, Any]) -> list[int]:
        """The segments that a user with some attributes is in; unknown values are passed over."""
        named = (self._places.get(name) for name in segment_names(attributes))
        return [g for g in named if g is not None]

    def lift(self, segments: Sequence[int], strength: float) -> Floats:
        """(N,) how much likelier items are than for everybody: logs, in the mean over segments.

        Args:
            segments: of a user.
            strength: of the prior, in events.
        """
        known = self.population > 0.0
        total = np.zeros(len(self.population))
        for g in segments:
            run = slice(int(self.offsets[g]), int(self.offsets[g + 1]))
            kept = self.item[run] >= 0
            own = np.zeros(len(self.population))
            own[self.item[run][kept]] = self.count[run][kept]
            share = (own[known] + strength * self.population[known]) / (own.sum() + strength)
            total[known] += np.log(share / self.population[known])
        return (total / max(len(segments), 1)).astype(np.float32)

    def aligned(self, rows: npt.NDArray[np.int64]) -> Segments:
        """The same for another catalog.

        Args:
            rows: (M,) row of each of its items in ours; -1 = we lack it.
        """
        place = np.full(len(self.everybody), -1, np.int32)
        place[rows[rows >= 0]] = np.flatnonzero(rows >= 0)
        everybody = np.append(self.everybody, np.float32(0))[rows]
        return replace(self, item=place[self.item], everybody=everybody)


def fading(n_seen: int, options: SegmentSettings) -> float:
    """What is left of a weight for a user who has touched some items: 1 for somebody new."""
    return options.fades_at / (options.fades_at + n_seen)
