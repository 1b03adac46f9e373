"""Who was erased, for readers: whatever an old file still holds of them counts as not there.

Tombstones name users by pseudonym (``recsys.ledger.erasure``), so a reader works out the pseudonym
of every user that it reads; where nobody was erased it works out nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recsys.ledger.erasure import ERASURE_KEY, erasure_pseudonym
from recsys.schema import microseconds


class Tombs(Protocol):
    """The part of ``Ledger`` that tells who was erased."""

    def tombstones(self, tenant: str) -> list[tuple[str, float]]:
        """See ``Ledger.tombstones``."""

    def get_value(self, key: str) -> tuple[str, int] | None:
        """See ``Ledger.get_value``."""


@dataclass(frozen=True)
class Erasures:
    """The erased users of a tenant."""

    tenant: str
    key: str = ""
    until: Mapping[str, int] = field(default_factory=dict)
    """Pseudonym -> microseconds; events up to then are gone, later ones are a returned user's."""

    @property
    def version(self) -> int:
        """See ``Ledger.erasure_version``."""
        return sum(self.until.values())

    def of(self, user_id: str) -> int | None:
        """Microseconds up to which a user's events are gone; None = not erased."""
        if len(self.until) == 0:
            return None
        return self.until.get(erasure_pseudonym(self.key, self.tenant, user_id))

    def among(self, user_ids: Iterable[str]) -> list[str]:
        """Those of some users who were erased, even if they came back."""
        return [] if len(self.until) == 0 else [u for u in user_ids if self.of(u) is not None]

    def stays(self, events: pa.Table) -> npt.NDArray[np.bool_]:
        """(T,) which events are still there.

        Args:
            events: columns tenant, user_id and ts at least; those of other tenants stay.
        """
        if len(self.until) == 0 or len(events) == 0:
            return np.ones(len(events), np.bool_)
        coded = events["user_id"].combine_chunks().dictionary_encode()
        if isinstance(coded, pa.ChunkedArray):
            coded = coded.combine_chunks()
        ends = [self.of(user) for user in coded.dictionary.to_pylist()]
        none = np.iinfo(np.int64).min
        until = np.array([none if end is None else end for end in ends], np.int64)
        ts = events["ts"].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy()
        others = pa.compute.not_equal(events["tenant"], self.tenant).to_numpy()
        stays: npt.NDArray[np.bool_] = (ts > until[coded.indices.to_numpy()]) | others
        return stays

    def kept(self, events: pa.Table) -> pa.Table:
        """Events without those that are gone; see ``stays``."""
        if len(self.until) == 0:
            return events
        return events.filter(pa.array(self.stays(events)))


def erasures_of(ledger: Tombs | None, tenant: str) -> Erasures:
    """Who was erased of a tenant, by now."""
    found = [] if ledger is None else ledger.tombstones(tenant)
    key = None if ledger is None or len(found) == 0 else ledger.get_value(ERASURE_KEY)
    if key is None:
        return Erasures(tenant)
    return Erasures(tenant, key[0], {name: microseconds(at) for name, at in found})
