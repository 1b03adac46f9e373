"""The one place where detached actors are made.

``ensure_pool`` may be called by anybody at any time: by the bring-up, by every replica of the
application, again after a crash. Actors of the same generation are adopted, actors of another
generation (another bundle, other settings) in the same namespace are ended.
"""

from __future__ import annotations

import time
from typing import Any

import ray
from ray.exceptions import RayActorError
from ray.util import list_named_actors

from recsys.errors import UnavailableError
from serving.pool.actor import ShardActor
from serving.pool.client import CONTROL, READ, WRITE, PoolClient
from serving.pool.directory import Directory, ShardMap, rendezvous
from serving.pool.spec import DIRECTORY, TREND_BOARD, PoolSpec
from serving.pool.trend_board import TrendBoard

START_TIMEOUT_S = 120.0
N_READERS, N_WRITERS = 8, 16

ACTOR_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}


def ensure_pool(spec: PoolSpec, timeout_s: float = START_TIMEOUT_S) -> PoolClient:
    """Make sure that a pool runs, every shard loaded.

    Args:
        spec: the pool.
        timeout_s: seconds in which all shards must answer.

    Returns:
        A client of it.

    Raises:
        UnavailableError: if an actor cannot start in time, for example for want of CPUs.
    """
    waiting = [
        shard.status.options(concurrency_group=CONTROL).remote() for shard in start_pool(spec)
    ]
    ready, missing = ray.wait(waiting, num_returns=len(waiting), timeout=timeout_s)
    if len(missing) > 0:
        raise UnavailableError(
            f"{len(missing)} of {len(waiting)} shards",
            f"did not start in {timeout_s:.0f} s",
            "Check the free CPUs of the cluster (serving.shard_cpus), the store and the ledger",
        )
    try:
        ray.get(ready)
    except RayActorError as error:
        raise UnavailableError(
            "a shard", "cannot start", "Its log under the Ray session says why"
        ) from error
    return PoolClient(spec)


def start_pool(spec: PoolSpec) -> list[Any]:
    """Make the actors of a pool, or adopt them; return the shards, which may still be loading."""
    end_pool(spec, but_generation=spec.generation)
    shard_map = rendezvous(spec.n_partitions, spec.shard_names)
    _start(Directory, DIRECTORY, spec, (shard_map,), num_cpus=0.0)
    _start(TrendBoard, TREND_BOARD, spec, (spec.shard_names,), num_cpus=0.0)
    return [_start_shard(name, spec, shard_map) for name in spec.shard_names]


def end_pool(spec: PoolSpec, but_generation: str | None = None, timeout_s: float = 20.0) -> int:
    """End the actors of a pool, of every generation but one; return how many.

    Each acknowledged event is in the ledger, so nothing is lost.
    """
    ended = []
    for found in list_named_actors(all_namespaces=True):
        if found["namespace"] != spec.namespace:
            continue
        if but_generation is not None and found["name"].endswith(f".{but_generation}"):
            continue
        try:
            ray.kill(ray.get_actor(found["name"], namespace=spec.namespace), no_restart=True)
        except ValueError:
            continue  # it ended meanwhile
        ended.append(found)
    deadline = time.monotonic() + timeout_s
    while any(f in list_named_actors(all_namespaces=True) for f in ended):
        if time.monotonic() > deadline:
            break
        time.sleep(0.1)
    return len(ended)


def _start_shard(name: str, spec: PoolSpec, shard_map: ShardMap) -> Any:
    return _start(
        ShardActor,
        name.partition(".")[0],
        spec,
        (spec, name, shard_map.partitions_of(name)),
        num_cpus=spec.settings.serving.shard_cpus,
        scheduling_strategy="SPREAD",
        concurrency_groups={READ: N_READERS, WRITE: N_WRITERS, CONTROL: 2},
    )


def _start(cls: type, role: str, spec: PoolSpec, args: tuple[Any, ...], **options: Any) -> Any:
    # as a class option and not by .options(): Ray takes concurrency_groups only here
    return (
        ray.remote(**options, max_restarts=-1, max_task_retries=0)(cls)
        .options(
            name=spec.actor_name(role),
            namespace=spec.namespace,
            lifetime="detached",
            get_if_exists=True,
            runtime_env={"env_vars": ACTOR_ENVIRONMENT},
        )
        .remote(*args)
    )
