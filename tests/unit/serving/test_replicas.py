"""How many replicas there shall be, and how many requests one takes."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import ValidationError
from ray.serve.config import AutoscalingConfig, AutoscalingPolicy

from recsys.scaling_options import ScalingSettings
from serving.api.admission import Admission
from serving.app import MAX_TOKENS, _n_tokens
from serving.scaling import LOOK_S, WAITING, ByWaiting, LoopWatch, gateways, replicas

MANY = ScalingSettings(min_replicas=2, max_replicas=6, min_encoders=0, max_encoders=3)


def context(n: int, n_requests: float, waits: list[float]) -> Any:
    return SimpleNamespace(
        current_num_replicas=n,
        target_num_replicas=1,
        total_num_requests=n_requests,
        aggregated_metrics={WAITING: {f"r{i}": wait for i, wait in enumerate(waits)}},
        config=AutoscalingConfig(min_replicas=1, max_replicas=9, target_ongoing_requests=10.0),
    )


@pytest.mark.parametrize(
    ("n", "n_requests", "waits", "wanted"),
    [
        (2, 20.0, [0.01, 0.01], 2.0),  # at the target
        (2, 5.0, [0.0, 0.0], 0.5),
        (2, 50.0, [0.01, 0.01], 5.0),  # by the load
        (2, 20.0, [0.06, 0.09], 3.0),  # by the wait
        (2, 20.0, [9.0, 9.0], 4.0),  # twice as many at a time
        (2, 90.0, [0.06, 0.09], 9.0),
        (2, 20.0, [], 2.0),
        (0, 0.0, [], 1.0),
    ],
)
def test_the_load_and_the_wait_each_ask_for_replicas(
    n: int, n_requests: float, waits: list[float], wanted: float
) -> None:
    assert ByWaiting(0.05)(context(n, n_requests, waits))[0] == pytest.approx(wanted)


def test_bounds_that_differ_leave_the_number_to_serve() -> None:
    assert replicas(3, 3, MANY) == {"num_replicas": 3}
    config = AutoscalingConfig.model_validate(gateways(MANY)["autoscaling_config"])
    assert (config.min_replicas, config.max_replicas, config.initial_replicas) == (2, 6, 2)
    policy = AutoscalingPolicy.model_validate(config.policy)
    assert policy.policy_kwargs == {"target_s": MANY.waiting_s}
    encoders = AutoscalingConfig.model_validate(replicas(0, 3, MANY)["autoscaling_config"])
    assert encoders.min_replicas == 0 and encoders.downscale_to_zero_delay_s == 900.0


def test_bounds_the_wrong_way_round_are_refused() -> None:
    with pytest.raises(ValidationError, match="min_replicas=3 is above max_replicas=2"):
        ScalingSettings(min_replicas=3, max_replicas=2)


def test_a_loop_that_is_held_up_is_late() -> None:
    async def use() -> tuple[float, float]:
        watch = LoopWatch()
        following = asyncio.create_task(watch.follow())
        await asyncio.sleep(3.5 * LOOK_S)
        idle = watch.late_s()
        for _ in range(3):
            time.sleep(2 * LOOK_S)
            await asyncio.sleep(LOOK_S)
        following.cancel()
        return idle, watch.late_s()

    idle, busy = asyncio.run(use())
    assert busy > idle + 0.02


def test_what_is_above_the_limit_is_told_to_come_again() -> None:
    app, let = FastAPI(), asyncio.Event()

    @app.get("/v1/slow")
    async def slow() -> str:
        await let.wait()
        return "done"

    @app.get("/healthz")
    async def healthy() -> str:
        return "ok"

    app.add_middleware(Admission, limit=2)

    async def use() -> None:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            first = [asyncio.create_task(client.get("/v1/slow")) for _ in range(2)]
            await asyncio.sleep(0.05)
            refused = await client.get("/v1/slow")
            assert refused.status_code == 429 and refused.headers["Retry-After"] == "1"
            assert refused.headers["Content-Type"] == "application/problem+json"
            assert (await client.get("/healthz")).status_code == 200
            let.set()
            assert [(await one).status_code for one in first] == [200, 200]
            assert (await client.get("/v1/slow")).status_code == 200

    asyncio.run(use())


def test_texts_count_by_their_length_and_one_call_always_fits() -> None:
    assert _n_tokens([["x" * 40, ""]]) == 14
    assert _n_tokens([["x" * 40], ["x" * 40]]) == 24
    assert _n_tokens([["x" * 100_000]]) == MAX_TOKENS
    assert _n_tokens([["x" * 100_000], ["x"]]) > MAX_TOKENS
