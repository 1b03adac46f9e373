"""The fold: the compiled one alone at H = 8, the whole table's, and the live path of a shard.

Tables of 64 partitions, users drawn evenly; what is compared is measured in alternating rounds, and
a figure is the median of its rounds.

``fold_events_per_s``       the compiled fold of evidence, batches of 65,536
``fold_256_events_per_s``   the same at batches of 256, cut into the partitions' parts
``fold_bound_ratio``        speed of the fold / speed of copying the rows that it touches
``fold_scale_ratio``        seconds per event at batches of 256: the large tables / 10,000 users
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from recsys.decay.fold import fold_records
from recsys.folding import LiveEvents, fold_live
from recsys.interest.records import place_of
from recsys.interest.user_memory import UserMemory
from recsys.memory import f32_at, prefetch
from recsys.schema import Event
from recsys.settings import DAY_S
from recsys.trend import TrendState
from tests.benchmarks.pool_parts import tables as made
from tests.benchmarks.pool_parts.tables import Batch

LARGE, SMALL = 65_536, 256
FEW_USERS = 10_000
N_LIVES = 8
N_LARGE, N_SMALL = 4, 400


def run(options: argparse.Namespace) -> dict[str, float]:
    """Measure; return the figures."""
    few, many = _Alone(FEW_USERS), _Alone(options.users)
    speeds: dict[str, list[float]] = {}
    for number in range(options.rounds + 1):
        at = made.START + number * 30 * DAY_S
        for name, table, size, n in (
            ("large", many, LARGE, N_LARGE),
            ("small", many, SMALL, N_SMALL),
            ("few", few, SMALL, N_SMALL),
        ):
            batches = [table.batch(size, at + j * 3_600.0) for j in range(n)]
            for what, work in (("fold", table.fold), ("copy", table.copy)):
                speed = size * n / _seconds(work, batches)
                if number > 0:  # the first round compiles, and touches the memory
                    speeds.setdefault(f"{name}_{what}", []).append(speed)
        sys.stderr.write(f"round {number}: { {k: f'{v[-1]:,.0f}' for k, v in speeds.items()} }\n")
    found = {name: statistics.median(values) for name, values in speeds.items()}
    del few, many, table
    return {
        "fold_events_per_s": round(found["large_fold"], 1),
        "fold_256_events_per_s": round(found["small_fold"], 1),
        "fold_bound_ratio": round(found["large_fold"] / found["large_copy"], 3),
        "fold_scale_ratio": round(found["few_fold"] / found["small_fold"], 3),
        "copy_rows_per_s": round(found["large_copy"], 1),
        "fold_256_few_users_events_per_s": round(found["few_fold"], 1),
        **_whole(options),
    }


class _Alone:
    """Records of many users under the compiled fold, without anything around it."""

    def __init__(self, n_users: int) -> None:
        basis = made.basis_of()
        self._items, self._n_users = basis.items.vectors, n_users
        self._place = place_of(N_LIVES, made.N_DIMS, is_half=False)
        self._rates = math.log(2.0) / np.array(basis.settings.interest.half_lives_s[:N_LIVES])
        self._rng = np.random.default_rng(n_users)
        self._users = [UserMemory(self._place, 64) for _ in range(made.N_PARTITIONS)]
        for users in self._users:
            users.add(-(-n_users // made.N_PARTITIONS))
        self._buffer = np.zeros((LARGE, N_LIVES * made.N_DIMS), np.float32)

    def batch(self, size: int, at: float) -> list[tuple[Any, ...]]:
        """What the fold takes of each partition's part."""
        drawn = made.batch(self._rng, size, self._n_users, at)
        importance = self._rng.uniform(0.3, 2.0, (size, N_LIVES)).astype(np.float32)
        index = drawn.events.item.astype(np.int64)
        cuts = zip(self._users, drawn.bounds[:-1].tolist(), drawn.bounds[1:].tolist(), strict=True)
        return [
            (users.at(drawn.rows[a:b]), drawn.events.ts[a:b], importance[a:b], index[a:b])
            for users, a, b in cuts
        ]

    def fold(self, drawn: list[tuple[Any, ...]]) -> None:
        """Fold a batch, partition by partition."""
        for part in drawn:
            fold_records(part[0], self._place, (*part[1:], self._items), self._rates)

    def copy(self, drawn: list[tuple[Any, ...]]) -> None:
        """Copy what the fold of a batch touches."""
        for records, *_ in drawn:
            _copy(records, self._place.vectors, self._buffer)


@numba.njit(nogil=True)
def _copy(records, offset, buffer):  # type: ignore[no-untyped-def]
    """Copy the rows of sums, asking for them ahead as the fold does."""
    for j in range(len(records)):
        if j + 3 < len(records):
            for line in range(0, buffer.shape[1] * 4, 64):
                prefetch(records[j + 3] + offset + line)
        buffer[j] = numba.carray(f32_at(records[j] + offset), (buffer.shape[1],))


class _Whole:
    """``ProfileTable.fold`` (evidence, recents, seen, counts), and the live path from events."""

    def __init__(self, n_users: int) -> None:
        self._basis, self._n_users = made.basis_of(), n_users
        self._tables = made.new_tables(self._basis)
        made.add_users(self._tables, 0, n_users)
        lives = self._basis.settings.trend.half_lives_s
        self._trends = [TrendState(lives) for _ in self._tables]
        self._rng = np.random.default_rng(3)

    def batch(self, size: int, at: float) -> Batch:
        """Events of all partitions."""
        return made.batch(self._rng, size, self._n_users, at)

    def fold(self, drawn: Batch) -> None:
        """Fold a batch of arrays."""
        basis = self._basis
        ready = basis.codes.prepare(drawn.events, basis.model, basis.items)
        for table, (rows, some) in zip(self._tables, drawn.parts(ready), strict=True):
            table.apply(rows, some)

    def live(self, events: list[list[Event]]) -> None:
        """Fold a batch as a shard gets it, trend included."""
        every = LiveEvents.of([event for part in events for event in part], self._basis)
        first = 0
        for table, trend, part in zip(self._tables, self._trends, events, strict=True):
            if len(part) > 0:
                fold_live(table, trend, every.part(first, first + len(part)), self._basis)
                first += len(part)


def _whole(options: argparse.Namespace) -> dict[str, float]:
    """Speeds of the whole path; a tenth of the users are known."""
    held = _Whole(options.users // 10)
    speeds: dict[str, list[float]] = {"large": [], "small": [], "live": []}
    for number in range(options.rounds + 1):
        at = made.START + number * 30 * DAY_S
        for name, size, n in (("large", LARGE, 2), ("small", SMALL, 100), ("live", SMALL, 100)):
            drawn = [held.batch(size, at) for _ in range(n)]
            if name == "live":
                seconds = _seconds(held.live, [_events(one) for one in drawn])
            else:
                seconds = _seconds(held.fold, drawn)
            speeds[name].append(size * n / seconds)
    return {  # the first round compiles, and touches the memory
        f"whole_fold_{name}_events_per_s": round(statistics.median(values[1:]), 1)
        for name, values in speeds.items()
    }


def _events(drawn: Batch) -> list[list[Event]]:
    """The events of a batch as a shard gets them, by partition."""
    found, given = [], drawn.events
    for partition in range(made.N_PARTITIONS):
        some = range(int(drawn.bounds[partition]), int(drawn.bounds[partition + 1]))
        users = made.names(drawn.rows[drawn.bounds[partition] :][: len(some)] * 64 + partition)
        found.append(
            [
                Event("default", "e", user, f"i{given.item[j]}", given.kind[j], given.ts[j], 0, 0.0)
                for user, j in zip(users, some, strict=True)
            ]
        )
    return found


def _seconds(work: Callable[..., None], batches: list) -> float:  # type: ignore[type-arg]
    started = time.process_time()
    for one in batches:
        work(one)
    return time.process_time() - started
