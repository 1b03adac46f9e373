"""Two stores side by side on one machine, by the commands that people type."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from cluster import local, processes
from pipelines.job import Job
from recsys.archive import create_store
from recsys.errors import ConfigError, NotFoundError, UnavailableError
from recsys.settings import load
from recsys.store import Store
from recsys.testing.fakes import tiny_bundle, tiny_items
from tests.integration.brokers import Broker

pytestmark = pytest.mark.ray

TEXTS = {f"i{n}": f"word{n % 3} word{n}" for n in range(12)}


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[list[str]]:
    made = []
    for name in ("left", "right"):
        store = Store(str(tmp_path / name))
        create_store(store, 4)
        settings = load(assignments=["encoder.n_dims=8"])
        tiny_bundle(store, tiny_items(TEXTS), time.time(), settings)
        made.append(store.uri)
    yield made
    for uri in made:
        local.down(Job(Store(uri), f"sqlite:///{uri}/ledger.db", load()))


def command(name: str, store: str, *options: str) -> subprocess.Popen[str]:
    return started("-m", "cluster.local", name, "--store", store, *options)


def started(*words: str) -> subprocess.Popen[str]:
    """A command as from another shell, which knows of no Ray."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    return subprocess.Popen(
        [sys.executable, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def consuming(store: str, broker: Broker) -> subprocess.Popen[str]:
    words = ["-m", "serving.consume", "--topic", "t", "--brokers", broker.address, "--once"]
    return started(*words, "--store", store)


def answer(process: subprocess.Popen[str], status: int = 0) -> dict[str, Any]:
    stdout, stderr = process.communicate(timeout=280)
    assert process.returncode == status, stderr
    found: dict[str, Any] = json.loads(stdout.splitlines()[-1])
    return found


def test_two_stores_come_up_side_by_side_and_go_down_one_by_one(stores: list[str]) -> None:
    one_shard = ("--set", "serving.n_shards=1", "--port", "0")
    keys, key = _key_beside(stores[1])
    locked = ("--set", f"serving.auth.keys_file={keys}", "--set", "serving.auth.reload_s=0.1")
    starting = [
        command("up", store, *one_shard, *more)
        for store, more in zip(stores, ((), locked), strict=True)
    ]
    left, right = (answer(process) for process in starting)
    assert left["health"]["status"] == right["health"]["status"] == "ok"
    assert len({left["url"], right["url"]}) == 2 and not left["was_up"]

    again = answer(command("up", stores[0], *one_shard))
    assert again["was_up"] and again["pid"] == left["pid"] and again["url"] == left["url"]
    assert answer(command("status", stores[0]))["state"] == "up"

    taken = command("up", str(Path(stores[0]).parent / "third"), "--port", right["url"][-5:])
    _, stderr = taken.communicate(timeout=60)
    assert taken.returncode == 2 and "cannot be used" in stderr

    event = {"user_id": "u", "item_id": "i1", "kind": "click"}
    assert httpx.post(f"{left['url']}/v1/events", json=event).status_code == 202
    broker = Broker()
    broker.send("t", event, {**event, "user_id": "w"})
    consumed = answer(consuming(stores[0], broker))
    assert consumed["n_events"] == 2 and consumed["lag"] == 0
    assert httpx.get(f"{left['url']}/healthz").json()["n_users"] == 2
    assert httpx.get(f"{right['url']}/healthz").json()["n_users"] == 0
    _asks_for_keys(right["url"], keys, key)

    assert answer(command("down", stores[0]))["n_processes_ended"] > 5
    assert processes.tagged(left["id"]) == [] and not Path(left["folder"]).exists()
    _, stderr = (lost := consuming(stores[0], broker)).communicate(timeout=60)
    assert lost.returncode == 2 and "python -m cluster.local up" in " ".join(stderr.split())
    assert httpx.get(f"{right['url']}/healthz").status_code == 200
    assert answer(command("status", stores[0]), status=1)["state"] == "down"
    assert answer(command("down", stores[1]))["n_processes_ended"] > 5
    assert processes.tagged(right["id"]) == []


def _key_beside(store: str) -> tuple[str, str]:
    """A file of keys, and a key."""
    file = str(Path(store) / "keys.json")
    made = started("-m", "serving.keys", "create", file, "--scope", "recommend", "--rate", "20")
    return file, made.communicate(timeout=60)[0].strip()


def _asks_for_keys(url: str, file: str, key: str) -> None:
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}) as client:
        slate = "/v1/users/u/recommendations"
        assert httpx.get(f"{url}{slate}").status_code == 401
        assert client.get(slate).status_code == 200
        assert client.get("/v1/stats").status_code == 403
        statuses = [client.get(slate).status_code for _ in range(80)]
        assert set(statuses) == {200, 429} and 39 <= statuses.count(200) < 80
        revoked = started("-m", "serving.keys", "revoke", file, key.split("_")[1])
        assert revoked.wait(60) == 0
        deadline = time.monotonic() + 20
        while client.get(slate).status_code != 401:
            assert time.monotonic() < deadline, "a revoked key goes on counting"
            time.sleep(0.1)


@pytest.mark.parametrize("option", ["serving.host=0.0.0.0", "serving.grpc_port=9000"])
def test_what_others_would_reach_without_a_key_does_not_start(
    stores: list[str], option: str
) -> None:
    job = Job(Store(stores[0]), f"sqlite:///{stores[0]}/ledger.db", load(assignments=[option]))
    with pytest.raises(ConfigError, match="key"):
        local.up(job, port=0)
    assert local.find(job) is None


def test_a_store_without_a_bundle_is_refused_at_once(tmp_path: Path) -> None:
    job = Job(Store(str(tmp_path)), f"sqlite:///{tmp_path}/ledger.db", load())
    with pytest.raises(NotFoundError, match=r"pipelines\.embed"):
        local.up(job, port=0)
    assert local.find(job) is None


def test_what_ends_while_it_starts_says_why_and_leaves_nothing(
    stores: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    job = Job(Store(stores[0]), f"sqlite:///{stores[0]}/ledger.db", load())
    monkeypatch.setattr(local, "_environment", lambda: {**os.environ, "RECSYS__SERVING__X": "1"})
    with pytest.raises(UnavailableError, match=r"(?s)ended while it started.*serving\.x"):
        local.up(job, port=0)
    assert local.find(job) is None


def test_a_ledger_of_no_known_kind_is_refused_at_once(stores: list[str]) -> None:
    with pytest.raises(ConfigError, match="mysql"):
        local.up(Job(Store(stores[0]), "mysql://nowhere", load()), port=0)
