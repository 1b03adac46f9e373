"""How soon an event shows while others ask for half of the slates that the service can make."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from tests.benchmarks.effect import one_round
from tests.benchmarks.http_parts.load import SLATE, slates
from tests.benchmarks.http_parts.optimised import FAST, ha_proxy
from tests.benchmarks.http_parts.site import Plan, Site, running

N_ROUNDS, WARM_UP = 300, 20
CONNECTIONS = 16


def run(options: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure, with Serve's switches for throughput."""
    plan = Plan(n_items=options.items, n_users=options.users, has_noop=False, has_key=True)
    rng = np.random.default_rng(19)
    with (
        tempfile.TemporaryDirectory(prefix="hlp", dir="/tmp") as folder,
        running(plan, {**FAST, **ha_proxy(Path(folder))}) as site,
    ):
        headers = {"Authorization": f"Bearer {site.key}"}
        slates(site.url, site.n_users, options.seconds, key=site.key)
        whole = slates(site.url, site.n_users, options.seconds, key=site.key).per_s
        users = [f"u{user}" for user in rng.integers(options.users, size=N_ROUNDS + WARM_UP)]
        with (
            httpx.Client(base_url=site.url, timeout=30.0, headers=headers) as client,
            loaded(site, whole / 2, headers) as n_answered,
        ):
            began = time.perf_counter()
            rounds = np.array([one_round(client, user) for user in users])[WARM_UP:]
            rate = n_answered() / (time.perf_counter() - began)
    effect_ms, post_ms, n_slates = rounds.T
    say(f"{rate:.0f} slates/s beside it, {whole:.0f} are possible")
    return {
        "effect_p50_ms": round(float(np.percentile(effect_ms, 50)), 1),
        "effect_p99_ms": round(float(np.percentile(effect_ms, 99)), 1),
        "post_p50_ms": round(float(np.percentile(post_ms, 50)), 1),
        "first_slate_share": float(np.mean(n_slates == 1)),
        "load_share": round(rate / whole, 2),
    }


@contextmanager
def loaded(site: Site, per_s: float, headers: dict[str, str]) -> Iterator[Callable[[], int]]:
    """Ask for so many slates a second while the block lasts; gives how many were answered."""
    stopped, answered = threading.Event(), [0]

    async def ask() -> None:
        async with httpx.AsyncClient(
            base_url=site.url,
            timeout=30.0,
            headers=headers,
            limits=httpx.Limits(max_connections=CONNECTIONS),
        ) as client:
            rng, began, n = np.random.default_rng(20), time.perf_counter(), 0
            tasks: set[asyncio.Task[None]] = set()

            async def one() -> None:
                path = SLATE.format(user=rng.integers(site.n_users), k=20)
                (await client.get(path)).raise_for_status()
                answered[0] += 1

            while not stopped.is_set():
                due = int((time.perf_counter() - began) * per_s)
                for _ in range(min(due - n, CONNECTIONS - len(tasks))):
                    task = asyncio.create_task(one())
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                n = due
                await asyncio.sleep(0.005)
            await asyncio.gather(*tasks)

    thread = threading.Thread(target=lambda: asyncio.run(ask()), daemon=True)
    thread.start()
    try:
        yield lambda: answered[0]
    finally:
        stopped.set()
        thread.join()
