"""Reads through a shard actor on Ray, beside calls of an actor that does nothing.

They are called in turn, one call at a time, and compared by their medians.

``read_ratio``           the query vectors of one profile / nothing
``read_batch_ratio``     those of 256 profiles in one call / nothing
``profile_ratio``        one whole profile, all that a slate and its reasons are made of / nothing
``profile_batch_ratio``  256 of them in one call / nothing
"""

from __future__ import annotations

import argparse
import statistics
import time
from contextlib import ExitStack
from typing import Any

import numpy as np
import ray

from serving.pool.client import CONTROL, READ, WRITE
from serving.pool.packing import pack, unpack
from tests.benchmarks.pool_parts import tables as made
from tests.benchmarks.pool_parts.actors import Events, handle, in_flight, pool_of, ray_here

N_USERS, N_EVENTS, BATCH = 20_000, 200_000, 1_024
MANY, N_CALLS = 256, 200


class Nothing:
    """An actor that does nothing."""

    def nothing(self) -> None:
        """Nothing."""


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure; return the figures."""
    with ExitStack() as stack:
        stack.enter_context(ray_here())
        spec, _ = stack.enter_context(pool_of(1))
        shard = handle(spec, "shard-0")
        events = Events(N_USERS, 1)
        append = shard.append.options(concurrency_group=WRITE)
        in_flight(append.remote, [events.draw(BATCH) for _ in range(N_EVENTS // BATCH)], 4)
        read = shard.packed.options(concurrency_group=READ)
        ask = shard.packed_queries.options(concurrency_group=READ)
        groups = {READ: 8, WRITE: 16, CONTROL: 4}
        plain = ray.remote(num_cpus=0)(Nothing).remote()
        threaded = ray.remote(num_cpus=0, concurrency_groups=groups)(Nothing).remote()
        in_group = threaded.nothing.options(concurrency_group=READ)
        rng = np.random.default_rng(2)
        as_of = time.time() + 3_600.0

        def some(n: int) -> bytes:
            return pack((made.names(rng.integers(0, N_USERS, n)), as_of))

        calls = {
            "nothing": plain.nothing.remote,
            "one": lambda: ask.remote(some(1)),
            "many": lambda: ask.remote(some(MANY)),
            "profile": lambda: read.remote(some(1)),
            "profiles": lambda: read.remote(some(MANY)),
            "nothing_in_a_group": in_group.remote,
        }
        ratios: dict[str, list[float]] = {name: [] for name in calls}
        p50: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(options.rounds + 1):
            found = _round(calls)
            for name, ms in found.items():
                ratios[name].append(ms / found["nothing"])
                p50[name].append(ms)
    medians = {name: statistics.median(values[1:]) for name, values in ratios.items()}
    return {
        "read_ratio": round(medians["one"], 3),
        "read_batch_ratio": round(medians["many"], 3),
        "profile_ratio": round(medians["profile"], 3),
        "profile_batch_ratio": round(medians["profiles"], 3),
        "nothing_in_a_group_ratio": round(medians["nothing_in_a_group"], 3),
        **{f"{name}_ms": round(statistics.median(v[1:]), 3) for name, v in p50.items()},
    }


def _round(calls: dict[str, Any]) -> dict[str, float]:
    """Median milliseconds of each kind of call."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(N_CALLS):
        for name, call in calls.items():
            started = time.perf_counter()
            answer = ray.get(call())
            if answer is not None:
                unpack(answer)
            times[name].append(1e3 * (time.perf_counter() - started))
    return {name: statistics.median(values) for name, values in times.items()}
