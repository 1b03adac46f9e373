"""Reading profiles as of a moment: copied under the lock of their partitions, read after it.

Both steps are over all users at once, of whichever partitions: a partition only says where its
users stand in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from recsys.interest.id_map import IdBytes
from recsys.interest.model import Banks, InterestModel
from recsys.interest.profiles import ProfileTable
from recsys.interest.recent import Histories, histories
from recsys.interest.shown import Shown, joined
from recsys.interest.zero_shot import gaps, half_lives_passed
from recsys.settings import InterestSettings
from recsys.wishes.wish import Wish
from serving.pool.partition import Partition
from serving.pool.profile_batch import ProfileBatch
from serving.pool.query_batch import QueryBatch

Moments = float | npt.NDArray[np.float64]


class Found(NamedTuple):
    """Where B users stand in memory."""

    at: npt.NDArray[np.int64]
    """(B,) address of each record; 0 = unknown."""
    partition: npt.NDArray[np.int64]
    """(B,)."""
    version: npt.NDArray[np.int64]
    """(B,)."""
    evicting: list[ProfileTable]
    """Tables that may have brought somebody back."""


class Asking(NamedTuple):
    """A copy of the evidence that partitions hold of B users; of somebody unknown it is empty."""

    user_ids: tuple[str, ...]
    found: Found
    banks: Banks


class Held(NamedTuple):
    """A copy of what partitions hold of B users; of somebody unknown it is empty."""

    asking: Asking
    histories: Histories
    importance: npt.NDArray[np.float32]
    """(E,) signed, of the events of ``histories``."""
    kinds: tuple[str, ...]
    wishes: dict[int, tuple[Wish, ...]]
    """By position; of users who wish something."""
    shown: Shown | None


def hold(partitions: Sequence[Partition], user_ids: Sequence[str]) -> Held:
    """Copy what partitions hold of users; call it while nobody else touches the partitions.

    Args:
        partitions: (B,) at least one, the partition of each user; all of one bundle.
        user_ids: (B,).

    Raises:
        StoreError: if somebody who was evicted cannot be brought back.
    """
    found, table = _found(partitions, user_ids), partitions[0].table
    did = histories(found.at, table.interest.n_recent)
    held = Held(
        asking=Asking(tuple(user_ids), found, table.banks_at(found.at)),
        histories=did,
        importance=table.codes.signed(did.kind, did.value),
        kinds=table.kinds,
        wishes=_wishes(partitions, user_ids),
        shown=_shown(partitions, user_ids),
    )
    _trim(found.evicting)
    return held


def hold_evidence(partitions: Sequence[Partition], user_ids: Sequence[str]) -> Asking:
    """Copy the evidence alone; otherwise as ``hold``."""
    found = _found(partitions, user_ids)
    asking = Asking(tuple(user_ids), found, partitions[0].table.banks_at(found.at))
    _trim(found.evicting)
    return asking


def _wishes(
    partitions: Sequence[Partition], user_ids: Sequence[str]
) -> dict[int, tuple[Wish, ...]]:
    said = ((b, partition.table.wishes) for b, partition in enumerate(partitions))
    found = ((b, book.of(user_ids[b])) for b, book in said if len(book) > 0)
    return {b: wishes for b, wishes in found if len(wishes) > 0}


def _shown(partitions: Sequence[Partition], user_ids: Sequence[str]) -> Shown | None:
    if all(len(partition.table.shown) == 0 for partition in partitions):
        return None
    return joined(
        [
            partition.table.shown.of(IdBytes.of([user_id]))
            for partition, user_id in zip(partitions, user_ids, strict=True)
        ]
    )


def _found(partitions: Sequence[Partition], user_ids: Sequence[str]) -> Found:
    numbers = np.array([partition.number for partition in partitions], np.int64)
    order = np.argsort(numbers, kind="stable")
    ids = IdBytes.of([user_ids[b] for b in order])
    bounds = np.flatnonzero(np.diff(numbers[order], prepend=-1, append=-1))
    by_partition, evicting = np.zeros(len(numbers), np.int64), []
    for first, last in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        table = partitions[order[first]].table
        table.locate(ids.part(first, last), by_partition[first:last])
        if table.storage.spill is not None:
            evicting.append(table)
    at = np.empty_like(by_partition)
    at[order] = by_partition
    version = np.array([partition.position.ledger_seq for partition in partitions], np.int64)
    return Found(at, numbers, version, evicting)


def queries_of(asking: Asking, as_of: float, model: InterestModel) -> QueryBatch:
    """What users ask for at a moment; before a user's latest event it counts as that."""
    moments = np.maximum(as_of, asking.banks.t_ref)
    return QueryBatch(
        user_ids=asking.user_ids,
        is_known=asking.found.at != 0,
        partition=asking.found.partition,
        version=asking.found.version,
        as_of=moments,
        query=model.query(asking.banks, moments),
    )


def profile_views(
    held: Held, as_of: Moments, model: InterestModel, interest: InterestSettings
) -> ProfileBatch:
    """Profiles at a moment.

    Args:
        held: B copies.
        as_of: Unix seconds, of all or (B,) of each; before a user's latest event it counts as that.
        model: what makes queries of them.
        interest: the half-lives.
    """
    asking, banks = held.asking, held.asking.banks
    moments = np.maximum(as_of, banks.t_ref)
    left = half_lives_passed(gaps(banks.t_ref, moments), interest.half_lives_s)
    mass_now = banks.mass * left
    return ProfileBatch(
        user_ids=asking.user_ids,
        is_known=asking.found.at != 0,
        partition=asking.found.partition,
        version=asking.found.version,
        as_of=moments,
        t_ref=banks.t_ref,
        query=model.query(banks, moments),
        mass=mass_now,
        confidence=mass_now / (mass_now + np.float32(interest.confidence_mass)),
        histories=held.histories,
        importance=held.importance,
        kinds=held.kinds,
        banks=banks,
        wishes=held.wishes,
        shown=held.shown,
    )


def _trim(tables: Sequence[ProfileTable]) -> None:
    """Who was brought back may have made others too many."""
    for table in tables:
        table.trim()
