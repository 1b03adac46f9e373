"""How the actors of a pool are made, found and ended: detached, named, restarted by Ray.

The one place of ``.remote()`` on a class. Names carry the generation of the pool, so that actors of
another bundle or other settings are told apart.
"""

from __future__ import annotations

import time
from typing import Any

import ray
from ray.util import list_named_actors

from serving.pool.actor import ShardActor
from serving.pool.client import CONTROL, READ, WRITE
from serving.pool.spec import PoolSpec

N_READERS, N_WRITERS, N_CONTROLLERS = 8, 16, 4
RELEASE_TIMEOUT_S = 5.0

ACTOR_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}


def start_shard(spec: PoolSpec, role: str) -> Any:
    """Make a shard, or find it; it may still be waiting for a node with room."""
    serving = spec.settings.serving
    return start_actor(
        ShardActor,
        role,
        spec,
        (spec, role),
        num_cpus=serving.shard_cpus,
        scheduling_strategy="SPREAD",
        concurrency_groups={READ: N_READERS, WRITE: N_WRITERS, CONTROL: N_CONTROLLERS},
    )


def start_actor(cls: type, role: str, spec: PoolSpec, args: tuple[Any, ...], **options: Any) -> Any:
    """Make a detached actor of a pool, or find it."""
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


def end_actor(spec: PoolSpec, name: str) -> bool:
    """Kill an actor by its full name, for good; return whether there was one."""
    try:
        ray.kill(ray.get_actor(name, namespace=spec.namespace), no_restart=True)
    except ValueError:
        return False
    return True


def names_of(spec: PoolSpec) -> list[str]:
    """Full names of all actors of a pool's store and tenant, of any generation."""
    found = list_named_actors(all_namespaces=True)
    return [actor["name"] for actor in found if actor["namespace"] == spec.namespace]


def wait_until_gone(spec: PoolSpec, names: list[str], timeout_s: float) -> None:
    """Wait until Ray has given names up."""
    deadline = time.monotonic() + timeout_s
    while set(names) & set(names_of(spec)) and time.monotonic() < deadline:
        time.sleep(0.1)
