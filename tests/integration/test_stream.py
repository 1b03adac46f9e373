"""From a topic into a real pool: consumers and shards killed, the command ended, counted once."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import ray

from recsys.errors import UnavailableError
from recsys.ledger import open_ledger
from recsys.schema import DEFAULT_TENANT, Event
from recsys.settings import load
from recsys.store import Store
from serving.pool import PoolClient, PoolSpec, end_pool, ensure_pool
from serving.stream import fleet as fleet_module
from serving.stream.actor import ConsumerTask
from serving.stream.fleet import Fleet
from serving.stream.group import Group
from serving.stream.loop import Pace
from serving.stream.pool import RunningPool, running_spec
from serving.stream.properties import KafkaProperties
from serving.stream.run import consume
from serving.stream.subscription import Subscription
from tests.integration.brokers import QUICK, Broker
from tests.integration.test_pool import N_PARTITIONS, new_spec, pids

pytestmark = pytest.mark.ray

PATIENCE_S = 180.0


@pytest.fixture(scope="module")
def broker() -> Broker:
    return Broker()


@pytest.fixture(scope="module")
def spec(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PoolSpec]:
    spec = new_spec(tmp_path_factory.mktemp("stream"), n_shards=2)
    yield spec
    end_pool(spec)


@pytest.fixture
def pool(spec: PoolSpec) -> PoolClient:
    return ensure_pool(spec)


def clicks(prefix: str, n: int) -> list[Mapping[str, Any]]:
    return [{"user_id": f"{prefix}-{i % 40}", "kind": "click", "item_id": "i1"} for i in range(n)]


def subscribed(broker: Broker, topic: str) -> Subscription:
    return Subscription(broker.address, topic, "g", properties=KafkaProperties(QUICK))


def recorded(spec: PoolSpec, topic: str) -> Counter[str]:
    """Ids in the ledger that come from a topic."""
    ledger, found = open_ledger(spec.ledger_url), Counter[str]()
    for partition in range(N_PARTITIONS):
        ids = ledger.tail(partition)["event_id"].to_pylist()
        found.update(i for i in ids if i.startswith(f"kafka:{topic}:"))
    ledger.close()
    return found


def wait_until(fact: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not fact():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.2)


def expected(topic: str, n: int) -> dict[str, int]:
    return {f"kafka:{topic}:{i % 4}:{i // 4}": 1 for i in range(n)}


def test_once_reads_to_the_present_end_and_quarantines_poison(
    broker: Broker, spec: PoolSpec, pool: PoolClient
) -> None:
    bad = [b"{broken", {"user_id": "u", "kind": "dance"}, None, b'"\xff"']
    broker.send("once", *clicks("once", 400), *bad)
    task = ConsumerTask(spec, subscribed(broker, "once"), Pace(n_batch=64))
    report = consume(task, 2, is_once=True, stop=threading.Event())
    assert recorded(spec, "once") == expected("once", 400)
    assert report["n_events"] + report["n_duplicates"] == 400 and report["lag"] == 0
    assert set(report["reasons"]) == {"malformed_row", "unknown_kind", "bad_event"}
    store = Store(spec.store_uri)
    rows = [row for p in store.paths("quarantine") for row in store.read_table(p).to_pylist()]
    found = {(r["source"], r["position"], r["reason"], r["table"]) for r in rows}
    assert found == {
        ("kafka:once:0", 100, "malformed_row", "events"),
        ("kafka:once:1", 100, "unknown_kind", "events"),
        ("kafka:once:2", 100, "bad_event", "events"),
        ("kafka:once:3", 100, "malformed_row", "events"),
    }
    again = consume(task, 1, is_once=True, stop=threading.Event())
    assert again["n_events"] == again["n_duplicates"] == again["n_poison"] == 0


def test_consumers_write_to_whichever_pool_runs(spec: PoolSpec, pool: PoolClient) -> None:
    others = load(assignments=["serving.n_shards=3", "serving.request_timeout_s=2"])
    as_here = dataclasses.replace(spec, settings=others)
    assert as_here.generation != spec.generation
    found = running_spec(as_here)
    assert found is not None and found.generation == spec.generation
    assert running_spec(dataclasses.replace(spec, tenant="nobody")) is None
    running = RunningPool(as_here)
    event = Event(DEFAULT_TENANT, "e", "follower", "i1", "click", time.time(), 0, time.time())
    assert running.append([event]).n_accepted == 1
    assert running.append([event]).n_duplicates == 1
    running.close()


def test_nothing_is_lost_or_counted_twice_when_consumers_and_shards_are_killed(
    broker: Broker, spec: PoolSpec, pool: PoolClient
) -> None:
    n_each = 2_000
    task = ConsumerTask(spec, subscribed(broker, "killed"), Pace(n_batch=16))
    broker.send("killed", *clicks("killed", n_each))
    group = Group(task.subscription)
    fleet = Fleet(task, 2)
    deadline = time.monotonic() + PATIENCE_S

    def watch_until(n_committed: int, n_restarts: int) -> None:
        while sum(group.committed().values()) < n_committed or fleet.n_restarts < n_restarts:
            assert time.monotonic() < deadline
            fleet.watch(0.1)

    def kill(found: Iterable[int]) -> None:
        for pid in found:
            os.kill(pid, signal.SIGKILL)
        broker.send("killed", *clicks("killed", n_each))

    watch_until(500, n_restarts=0)
    kill(fleet.pids)
    watch_until(n_each + 500, n_restarts=2)
    kill(pids(pool).values())
    watch_until(2 * n_each + 500, n_restarts=2)
    kill(fleet.pids)
    watch_until(4 * n_each, n_restarts=4)
    progress = fleet.stop()
    group.close()
    assert recorded(spec, "killed") == expected("killed", 4 * n_each)
    assert sum(progress.lags.values()) == 0


def test_a_consumer_that_gets_nowhere_is_given_up(
    broker: Broker, spec: PoolSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_module, "MAX_FRUITLESS", 1)
    task = ConsumerTask(spec, subscribed(broker, "fruitless"), Pace())
    fleet = Fleet(task, 1)
    with pytest.raises(UnavailableError, match="ended 2 times"):
        while True:
            os.kill(fleet.pids[0], signal.SIGKILL)
            fleet.watch(5.0)


def test_sigterm_ends_the_command_with_everything_committed(
    broker: Broker, spec: PoolSpec, pool: PoolClient, tmp_path: Path
) -> None:
    broker.send("command", *clicks("command", 300))
    secrets = tmp_path / "kafka.properties"
    secrets.write_text("# fast\nsession.timeout.ms = 3000\nheartbeat.interval.ms=500\n")
    arguments = ["--topic", "command", "--brokers", broker.address, "--group", "g"]
    arguments += ["--store", spec.store_uri, "--ledger", spec.ledger_url]
    arguments += ["--kafka-config", str(secrets), "--consumers", "2", "--batch", "50"]
    address = ray.get_runtime_context().gcs_address
    process = subprocess.Popen(
        [sys.executable, "-m", "serving.consume", *arguments],
        env={**os.environ, "RAY_ADDRESS": address},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until(lambda: len(recorded(spec, "command")) == 300 or process.poll() is not None)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
    assert process.returncode == 0, err[-2_000:]
    report = json.loads(out.splitlines()[-1])
    assert report["lag"] == 0 and report["n_events"] + report["n_duplicates"] == 300
    assert recorded(spec, "command") == expected("command", 300)
