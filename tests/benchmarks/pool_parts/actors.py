"""A pool of 64 partitions on a Ray of its own, for the parts that measure through actors."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import ray

from recsys.archive import create_store
from recsys.bundle import BundleDraft, load_bundle, publish_bundle
from recsys.catalog import catalog_from_items
from recsys.encoder.projection import fit_projection
from recsys.ranking import default_weights
from recsys.retrieval import build_index
from recsys.schema import DEFAULT_TENANT, Event
from recsys.settings import load
from recsys.store import Store
from serving.pool import PoolClient, PoolSpec, end_pool, ensure_pool
from tests.benchmarks.pool_parts import tables as made

N_ITEMS = 2_000
KINDS = ("view", "click", "play", "purchase")
REPLAYED = ["serving.snapshot_every_s=100000"]
"""Of pools whose events shall stay in the ledger's tail."""

Ints = Sequence[int]


@contextmanager
def ray_here() -> Iterator[None]:
    """Ray on this machine, for as long as the block runs."""
    temporary = tempfile.mkdtemp(prefix="hl", dir="/tmp")  # unix sockets: a short path
    ray.init(
        address="local",
        num_cpus=8,
        include_dashboard=False,
        object_store_memory=200 << 20,
        log_to_driver=False,
        _temp_dir=temporary,
    )
    try:
        yield
    finally:
        ray.shutdown()
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def pool_of(
    n_shards: int, ledger_url: str | None = None, more: Sequence[str] = ()
) -> Iterator[tuple[PoolSpec, PoolClient]]:
    """A pool with an empty ledger (SQLite unless told otherwise), ended with the block."""
    with tempfile.TemporaryDirectory(prefix="hlb", dir="/tmp") as folder:
        url = f"sqlite:///{folder}/ledger.db" if ledger_url is None else ledger_url
        spec = _spec(Path(folder), url, [f"serving.n_shards={n_shards}", *more])
        try:
            yield spec, ensure_pool(spec)
        finally:
            end_pool(spec)


def _spec(folder: Path, url: str, chosen: list[str]) -> PoolSpec:
    settings = load(assignments=[f"encoder.n_dims={made.N_DIMS}", *chosen])
    store = Store(str(folder / "store"))
    create_store(store, made.N_PARTITIONS)
    rng = np.random.default_rng(3)
    catalog = catalog_from_items(pa.table({"item_id": [f"i{n}" for n in range(N_ITEMS)]}))
    read = rng.normal(size=(N_ITEMS, made.N_DIMS)).astype(np.float32)
    projection = fit_projection(read, made.N_DIMS)
    vectors = projection.project(read)
    draft = BundleDraft(
        catalog=catalog,
        vectors=vectors,
        projection=projection,
        index=build_index(vectors, settings.retrieval),
        weights=default_weights(settings.interest, settings.trend),
        settings=settings,
        data_until=0.0,
    )
    publish_bundle(store, DEFAULT_TENANT, draft, 0.0)
    bundle_id = load_bundle(store, DEFAULT_TENANT).bundle_id
    return PoolSpec(store.uri, url, DEFAULT_TENANT, bundle_id, made.N_PARTITIONS, settings)


class Events:
    """Events of users drawn evenly, each with an id of its own.

    Args:
        n_users: to draw from.
        seed: of the draw.
    """

    def __init__(self, n_users: int, seed: int) -> None:
        self._rng, self._n_users, self._seed = np.random.default_rng(seed), n_users, seed
        self._n = 0

    def draw(self, n: int) -> list[Event]:
        """The next events."""
        users = made.names(self._rng.integers(0, self._n_users, n))
        items = self._rng.integers(0, N_ITEMS, n).tolist()
        kinds = self._rng.integers(0, len(KINDS), n).tolist()
        now, first = time.time(), self._n
        self._n += n
        return [
            Event(DEFAULT_TENANT, f"{self._seed}-{first + j}", user, f"i{item}", KINDS[k],
                  now, 0, now)
            for j, (user, item, k) in enumerate(zip(users, items, kinds, strict=True))
        ]  # fmt: skip


def handle(spec: PoolSpec, role: str) -> Any:
    """The actor of a shard."""
    return ray.get_actor(spec.actor_name(role), namespace=spec.namespace)


def in_flight(call: Callable[[Any], Any], arguments: Sequence[Any], n: int) -> float:
    """Seconds of so many calls, n of them at any time."""
    waiting: list[Any] = []
    started = time.perf_counter()
    for argument in arguments:
        if len(waiting) == n:
            done, waiting = ray.wait(waiting, num_returns=1)
            ray.get(done)
        waiting.append(call(argument))
    ray.get(waiting)
    return time.perf_counter() - started
