"""The service over HTTP under a load that comes and goes, and with processes that are killed."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import pytest

from tests.benchmarks.http_parts.site import Plan, Site, running
from tests.chaos.serving_load import PROXY, REPLICA, SHARD, Clients, comes_true, processes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SCALING = (
    "serving.scaling.max_replicas=2",
    "serving.scaling.ongoing_requests=3",
    "serving.scaling.upscale_delay_s=0",
    "serving.scaling.downscale_delay_s=2",
    "serving.scaling.look_back_s=3",
)
QUICK = {
    "RAY_SERVE_REPLICA_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "0.5",
    "RAY_SERVE_HANDLE_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "0.5",
}
TWO = ("serving.scaling.min_replicas=2", "serving.scaling.max_replicas=2")


def small(*settings: str) -> Plan:
    return Plan(n_items=1_000, n_users=20, n_dims=16, has_noop=False, settings=settings)


@pytest.fixture(scope="module")
def pair() -> Iterator[Site]:
    """A service with two gateways."""
    with running(small(*TWO)) as site:
        yield site


def told(clients: Clients) -> None:
    sys.stderr.write(f"{dict(clients.by_status)} {clients.details.most_common(5)}\n")


def test_replicas_come_and_go_with_the_load_and_nobody_notices() -> None:
    with running(small(*SCALING), QUICK) as site:

        def n() -> int:
            return len(processes(site, REPLICA))

        assert n() == 1
        with Clients(site, 12) as many:
            assert comes_true(lambda: n() == 2, 60.0)
            time.sleep(10.0)  # the second one answers, too
        with Clients(site, 1) as few:
            assert comes_true(lambda: n() == 1, 60.0)
            time.sleep(2.0)
        for clients in (many, few):
            told(clients)
            assert clients.n_5xx == 0 and clients.by_status[-1] == 0
            assert clients.lost() == {}


@pytest.mark.parametrize("title", [REPLICA, SHARD, PROXY])
def test_a_process_is_killed_under_load(pair: Site, title: str) -> None:
    with Clients(pair, 8) as clients:
        time.sleep(10.0)
        killed = processes(pair, title)[0]
        n_before = len(processes(pair, title))
        killed.kill()
        assert comes_true(lambda: len(processes(pair, title)) == n_before, 60.0)
        time.sleep(30.0)
    told(clients)
    assert clients.lost() == {}
    assert clients.n_5xx < 1e-3 * clients.by_status.total()
