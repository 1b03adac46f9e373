"""Profile tables of many partitions, and batches of events for them, without structure."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recsys.basis import Basis
from recsys.catalog import catalog_from_items
from recsys.folding import empty_state
from recsys.interest.id_map import IdBytes
from recsys.interest.model import FoldBatch, ItemTable
from recsys.interest.prepared import Prepared
from recsys.interest.profiles import ProfileTable
from recsys.interest.storage import ProfileDtype, Storage
from recsys.interest.zero_shot import ZeroShot
from recsys.ranking import default_weights
from recsys.settings import DAY_S, Settings

N_PARTITIONS = 64
N_ITEMS = 20_000
N_DIMS = 64
START = 1_704_067_200.0
KINDS = np.array(["view", "click", "play", "purchase", "dislike", "rating"], object)

Ints = npt.NDArray[np.int64]


def basis_of(settings: Settings | None = None) -> Basis:
    """A catalog of random unit vectors, and the zero-shot model."""
    settings, rng = settings or Settings(), np.random.default_rng(17)
    vectors = rng.normal(size=(N_ITEMS, N_DIMS)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    catalog = catalog_from_items(pa.table({"item_id": [f"i{n}" for n in range(N_ITEMS)]}))
    model = ZeroShot(settings.interest, default_weights(settings.interest, settings.trend))
    return Basis(catalog, ItemTable.all_warm(vectors), model, settings)


def new_tables(basis: Basis, dtype: ProfileDtype = "float32") -> list[ProfileTable]:
    """An empty table for each partition."""
    return [empty_state(basis, Storage(dtype))[0] for _ in range(N_PARTITIONS)]


def names(numbers: Ints) -> list[str]:
    """Ids of 20 characters."""
    return [f"user-{number:08x}-{number % 9973:06d}" for number in numbers.tolist()]


def add_users(tables: list[ProfileTable], first: int, last: int) -> None:
    """Let the users ``first:last`` be known; user n is row n // 64 of partition n % 64."""
    for partition, table in enumerate(tables):
        mine = np.arange(first, last)
        table.rows(IdBytes.of(names(mine[mine % N_PARTITIONS == partition])), create=True)


class Batch(NamedTuple):
    """Events by partition: those of p are ``bounds[p]:bounds[p + 1]``."""

    rows: Ints
    bounds: Ints
    events: FoldBatch

    def parts(self, events: Prepared) -> list[tuple[Ints, Prepared]]:
        """Rows and events of each partition."""
        cuts = zip(self.bounds[:-1].tolist(), self.bounds[1:].tolist(), strict=True)
        return [(self.rows[a:b], events.pick(slice(a, b))) for a, b in cuts]


def batch(rng: np.random.Generator, n: int, n_users: int, at: float) -> Batch:
    """Events of users drawn evenly, within a day of a moment."""
    return batch_of(rng, rng.integers(0, n_users, n), at)


def batch_of(rng: np.random.Generator, user: Ints, at: float) -> Batch:
    """An event of each of some users, within a day of a moment."""
    n = len(user)
    order = np.argsort(user % N_PARTITIONS, kind="stable")
    kind = KINDS[rng.integers(0, len(KINDS), n)]
    return Batch(
        rows=(user // N_PARTITIONS)[order],
        bounds=np.searchsorted((user % N_PARTITIONS)[order], np.arange(N_PARTITIONS + 1)),
        events=FoldBatch(
            item=rng.integers(0, N_ITEMS, n).astype(np.int32),
            ts=at + np.sort(rng.uniform(0.0, DAY_S, n)),
            kind=kind,
            value=np.where(kind == "rating", rng.integers(1, 6, n), np.nan),
        ),
    )
