"""Bringing a pool up and down.

``ensure_pool`` may be called by anybody at any time: by the bring-up, by every replica of the
application, again after a crash. Actors of the same generation are adopted, actors of another
generation (another bundle, other settings) in the same namespace are ended.
"""

from __future__ import annotations

import time
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, RayActorError, RayError

from recsys.errors import UnavailableError
from serving.pool.actors import end_actor, names_of, start_actor, start_shard, wait_until_gone
from serving.pool.client import PoolClient
from serving.pool.directory import Directory
from serving.pool.spec import DIRECTORY, TREND_BOARD, PoolSpec
from serving.pool.trend_board import TrendBoard

START_TIMEOUT_S = 120.0
POLL_S = 0.1


def ensure_pool(spec: PoolSpec, timeout_s: float = START_TIMEOUT_S) -> PoolClient:
    """Make sure that a pool runs, every partition served.

    Args:
        spec: the pool.
        timeout_s: seconds in which all partitions must be served.

    Returns:
        A client of it.

    Raises:
        UnavailableError: if they are not in time, for example for want of CPUs.
    """
    directory = start_pool(spec)
    deadline = time.monotonic() + timeout_s
    while not _is_settled(directory, deadline):
        if time.monotonic() > deadline:
            raise UnavailableError(
                "pool",
                f"does not serve all its partitions after {timeout_s:.0f} s",
                "Check the free CPUs of the cluster (serving.shard_cpus), the store and the "
                "ledger; the logs of directory and shards lie under the Ray session",
            )
        time.sleep(POLL_S)
    return PoolClient(spec)


def start_pool(spec: PoolSpec) -> Any:
    """Make the actors of a pool, or adopt them; return the directory. Shards may still load."""
    end_pool(spec, but_generation=spec.generation)
    start_actor(TrendBoard, TREND_BOARD, spec, (spec.shard_roles,), num_cpus=0.0)
    for role in spec.shard_roles:  # beside the directory, which starts those that it lacks
        start_shard(spec, role)
    return start_actor(Directory, DIRECTORY, spec, (spec,), num_cpus=0.0, max_concurrency=16)


def end_pool(spec: PoolSpec, but_generation: str | None = None, timeout_s: float = 20.0) -> int:
    """End the actors of a pool, of every generation but one; return how many.

    Each acknowledged event is in the ledger, so nothing is lost.
    """
    spared = f".{but_generation}"
    names = [n for n in names_of(spec) if but_generation is None or not n.endswith(spared)]
    names.sort(key=lambda name: not name.startswith(DIRECTORY))  # first who would start others
    ended = [name for name in names if end_actor(spec, name)]
    wait_until_gone(spec, ended, timeout_s)
    return len(ended)


def _is_settled(directory: Any, deadline: float) -> bool:
    try:
        left_s = max(0.1, deadline - time.monotonic())
        settled: bool = ray.get(directory.is_settled.remote(), timeout=left_s)
    except ActorUnavailableError:  # a call was lost, or Ray starts it again
        return False
    except RayActorError as error:
        raise UnavailableError(
            "the directory", "cannot start", "Its log under the Ray session says why"
        ) from error
    except (RayError, TimeoutError):
        return False
    return settled
