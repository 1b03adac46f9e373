"""How soon an event shows: from its 202 over HTTP to the slate that has it.

Each round asks for a user's slate, posts a click on its first item, and asks again until that item
is gone from the slate and the slate's version is that of the click.

``p50_ms``, ``p99_ms``   milliseconds from the 202 to the whole reply that shows the effect
``post_p50_ms``          milliseconds that the 202 took: the commit to the ledger is in it
``first_slate_share``    share of the rounds in which the first slate already showed it
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import httpx
import numpy as np

from cluster import local
from pipelines.job import Job
from recsys.archive import create_store
from recsys.settings import Settings, load
from recsys.store import Store
from recsys.testing.fakes import tiny_bundle, tiny_items

GIVE_UP_S = 30.0
N_WORDS = 2_000
HISTORY = 30
WARM_UP = 20


def run(arguments: list[str]) -> dict[str, float]:
    """Measure; return the figures."""
    options = _options(arguments)
    rng = np.random.default_rng(17)
    with tempfile.TemporaryDirectory(prefix="hl-effect-") as folder:
        settings = load(assignments=[f"encoder.n_dims={options.dims}"])
        job = _store(Path(folder), options.items, settings, rng)
        sys.stderr.write("bringing the service up\n")
        service = local.up(job, port=0)
        try:
            with httpx.Client(base_url=service.url, timeout=30.0) as client:
                return _measure(client, options, rng)
        finally:
            local.down(job)


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks effect")
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument("--dims", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=500)
    return parser.parse_args(arguments)


def _store(folder: Path, n_items: int, settings: Settings, rng: np.random.Generator) -> Job:
    words = rng.integers(N_WORDS, size=(n_items, 6))
    texts = {f"i{row}": " ".join(f"w{word}" for word in words[row]) for row in range(n_items)}
    store = Store(str(folder / "store"))
    create_store(store, settings.data.n_partitions)
    tiny_bundle(store, tiny_items(texts), time.time(), settings)
    return Job(store, f"sqlite:///{folder}/ledger.db", settings)


def _measure(
    client: httpx.Client, options: argparse.Namespace, rng: np.random.Generator
) -> dict[str, float]:
    for user in range(options.users):
        items = rng.integers(options.items, size=HISTORY)
        events = [_click(f"u{user}", f"i{item}") for item in items]
        client.post("/v1/events", json={"events": events}).raise_for_status()
    users = [f"u{user}" for user in rng.integers(options.users, size=options.rounds + WARM_UP)]
    rounds = np.array([one_round(client, user) for user in users])[WARM_UP:]
    effect_ms, post_ms, n_slates = rounds.T
    return {
        "p50_ms": round(float(np.percentile(effect_ms, 50)), 2),
        "p99_ms": round(float(np.percentile(effect_ms, 99)), 2),
        "post_p50_ms": round(float(np.percentile(post_ms, 50)), 2),
        "first_slate_share": float(np.mean(n_slates == 1)),
        "n_items": options.items,
        "n_rounds": len(rounds),
    }


def one_round(client: httpx.Client, user: str) -> tuple[float, float, int]:
    """Milliseconds to the effect and of the post, and the slates that it took."""
    first = client.get(f"/v1/users/{user}/recommendations").json()["items"][0]["item_id"]
    asked = time.perf_counter()
    reply = client.post("/v1/events", json=_click(user, first)).raise_for_status()
    taken = time.perf_counter()
    for n_slates in range(1, 10_000):
        slate = client.get(f"/v1/users/{user}/recommendations").json()
        shown = time.perf_counter()
        is_gone = first not in [item["item_id"] for item in slate["items"]]
        if is_gone and slate["profile_version"] == reply.json()["version"]:
            return 1e3 * (shown - taken), 1e3 * (taken - asked), n_slates
        if shown - taken > GIVE_UP_S:
            break
    raise RuntimeError(f"the event of {user} has no effect after {GIVE_UP_S:.0f} s")


def _click(user: str, item: str) -> dict[str, str]:
    return {"user_id": user, "item_id": item, "kind": "click"}
