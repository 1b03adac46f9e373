"""A process with a Ray of its own, our application on it, and one beside it that does nothing.

Serve reads its switches when a process starts, so each way to run it is a process:
``python -m tests.benchmarks.http_parts.site FOLDER``. It prints one line of JSON when all is up,
and ends with its standard input.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import httpx
import numpy as np
import numpy.typing as npt
import ray
from fastapi import FastAPI
from ray import serve

from cluster import local
from cluster.processes import free_port
from pipelines.job import Job
from recsys.archive import create_store
from recsys.schema import DEFAULT_TENANT
from recsys.settings import load
from recsys.store import Store
from recsys.testing.fakes import tiny_bundle, tiny_items
from serving.api.schemas import SlateReply
from serving.app import LOGGING, MAX_ONGOING_REQUESTS
from serving.auth.keys import KeyEntry, add_key
from tests.benchmarks.http_parts.load import SLATE

HOST = "127.0.0.1"
N_TOPICS, PER_TOPIC = 100, 20
"""Topics of items, and words of each; an item is of one, and a user turns to three."""
HISTORY, PER_POST = 30, 30
KEYS = "keys.json"
WAIT_S = 0.002
OBJECT_STORE_BYTES = 200 << 20


@dataclass(frozen=True)
class Plan:
    """What a site is."""

    n_items: int = 20_000
    n_users: int = 1_000
    n_dims: int = 64
    k: int = 20
    has_noop: bool = True
    has_key: bool = False
    """Whether callers must show a key."""
    settings: tuple[str, ...] = ("ranking.trend=[0.02,0.02,0.02,0.02,0.02,0.02]",)
    """Assignments beside the defaults: slates are of the users' tastes, with reasons that are."""


@dataclass(frozen=True)
class Site:
    """Where to ask."""

    url: str
    noop_url: str | None
    n_users: int
    key: str | None
    pid: int
    """Of the process whose children all others are."""


@contextmanager
def running(plan: Plan, environment: Mapping[str, str] | None = None) -> Iterator[Site]:
    """A site in a process of its own, while the block lasts.

    Raises:
        RuntimeError: if it does not come up; its own words are on standard error.
    """
    with tempfile.TemporaryDirectory(prefix="hl-http-") as folder:
        (Path(folder) / "plan.json").write_text(json.dumps(asdict(plan)), encoding="utf-8")
        command = [sys.executable, "-m", __name__, folder]
        told = {**local.RAY_ENVIRONMENT, **os.environ, **(environment or {})}
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=told, text=True
        ) as process:
            try:
                yield _ready(process.stdout)
            finally:
                if process.stdin is not None:
                    process.stdin.close()
                process.wait(60.0)


def _ready(lines: IO[str] | None) -> Site:
    for line in lines or ():
        if line.startswith("{"):
            return Site(**json.loads(line))
    raise RuntimeError("the site did not come up")


def main(folder: Path) -> None:
    """Bring everything up, say where, and wait."""
    told = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    plan = Plan(**{**told, "settings": tuple(told["settings"])})
    job = _store(folder, plan)
    with tempfile.TemporaryDirectory(prefix="hl", dir="/tmp") as short:
        ray.init(
            address="local",
            num_cpus=8,
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            log_to_driver=False,
            _temp_dir=short,
        )
        port = free_port(HOST)
        key = _key(folder) if plan.has_key else None
        service = local.up(job, port=port)
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        with httpx.Client(base_url=service.url, timeout=60.0, headers=headers) as client:
            _warm(client, plan)
            path = SLATE.format(user=0, k=plan.k)
            slate = client.get(path).raise_for_status().json()
        noop_url = _noop(slate, service.url) if plan.has_noop else None
        site = Site(service.url, noop_url, plan.n_users, key, os.getpid())
        print(json.dumps(asdict(site)), flush=True)  # noqa: T201
        sys.stdin.read()
        if plan.has_noop:
            serve.delete("noop")
        local.down(job)
        ray.shutdown()


def _store(folder: Path, plan: Plan) -> Job:
    rng = np.random.default_rng(17)
    told = [f"encoder.n_dims={plan.n_dims}", *plan.settings]
    if plan.has_key:
        told.append(f"serving.auth.keys_file={folder / KEYS}")
    settings = load(assignments=told)
    topic = np.arange(plan.n_items) % N_TOPICS
    words = topic[:, None] * PER_TOPIC + rng.integers(PER_TOPIC, size=(plan.n_items, 6))
    texts = {f"i{row}": " ".join(f"w{word}" for word in words[row]) for row in range(plan.n_items)}
    store = Store(str(folder / "store"))
    create_store(store, settings.data.n_partitions)
    tiny_bundle(store, tiny_items(texts), time.time(), settings)
    return Job(store, f"sqlite:///{folder}/ledger.db", settings)


def _key(folder: Path) -> str:
    """A key that may recommend and ingest."""

    def entry(key_id: str, sha256: str) -> KeyEntry:
        return KeyEntry(
            id=key_id, sha256=sha256, tenant=DEFAULT_TENANT, scopes=["recommend", "ingest"],
            name="benchmark", created_at=time.time(), expires_at=None, requests_per_s=None,
        )  # fmt: skip

    return add_key(folder / KEYS, entry)


def _warm(client: httpx.Client, plan: Plan) -> None:
    """Give each user a history."""
    rng = np.random.default_rng(18)
    now = time.time()
    tastes = rng.integers(N_TOPICS, size=(plan.n_users, 3))
    for start in range(0, plan.n_users, PER_POST):
        users = range(start, min(start + PER_POST, plan.n_users))
        events = [
            {
                "user_id": f"u{user}",
                "item_id": f"i{_item(rng, tastes[user], plan.n_items)}",
                "kind": "click",
                "ts": now - float(rng.uniform(60.0, 30 * 86_400.0)),
            }
            for user in users
            for _ in range(HISTORY)
        ]
        client.post("/v1/events", json={"events": events}).raise_for_status()


def _item(rng: np.random.Generator, tastes: npt.NDArray[np.int64], n_items: int) -> int:
    """A random item of a random taste."""
    return int(rng.choice(tastes)) + N_TOPICS * int(rng.integers(n_items // N_TOPICS))


def _noop(slate: dict[str, Any], url: str) -> str:
    """Deploy an application of one route of the same shape that always sends the same slate.

    Under ``/waiting`` it waits for a moment before, as whoever reads a profile must: Serve then
    asks its proxy whether the caller has hung up, which one that never waits is spared.
    """
    reply = SlateReply.model_validate(slate)
    app = FastAPI()

    @app.get("/v1/users/{user_id}/recommendations")
    async def recommend(user_id: str, k: int = 10) -> SlateReply:
        return reply

    @app.get("/waiting/v1/users/{user_id}/recommendations")
    async def recommend_later(user_id: str, k: int = 10) -> SlateReply:
        await asyncio.sleep(WAIT_S)
        return reply

    @serve.deployment(
        name="Noop",
        num_replicas=1,
        max_ongoing_requests=MAX_ONGOING_REQUESTS,
        ray_actor_options={
            "num_cpus": 0.1,
            "runtime_env": {"env_vars": {"OMP_NUM_THREADS": "1"}},
        },
        logging_config=LOGGING,
    )
    @serve.ingress(app)
    class Noop:
        """Sends what it has."""

    serve.run(Noop.bind(), name="noop", route_prefix="/noop")
    return f"{url}/noop"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
