"""What it costs to tell of a request: microseconds beside the same application that tells nothing.

``middleware_us``    ``RequestLog`` with silent meters and a JSON line to nowhere
``base_class_us``    the same line by Starlette's ``BaseHTTPMiddleware``, for comparison
``ray_request_us``   and others: what a gateway tells Ray, in a worker
"""

from __future__ import annotations

import asyncio
import io
import logging
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import ray
from starlette.middleware.base import BaseHTTPMiddleware

from recsys.logs import JsonFormatter
from serving.observability import middleware
from serving.observability.middleware import RequestLog

N_REQUESTS, N_CALLS, ROUNDS = 2_000, 5_000, 9


def run(_: list[str]) -> dict[str, Any]:
    """Measure; return the figures."""
    handler = logging.StreamHandler(io.StringIO())
    handler.setFormatter(JsonFormatter())
    middleware.log.addHandler(handler)
    middleware.log.setLevel(logging.INFO)
    middleware.log.propagate = False
    apps = {"plain": answer, "middleware": RequestLog(answer), "base_class": based()}
    taken: dict[str, list[float]] = {name: [] for name in apps}
    for number in range(ROUNDS):
        sys.stderr.write(f"round {number + 1} of {ROUNDS}\n")
        for name, app in apps.items():
            taken[name].append(asyncio.run(requests(app)))
    medians = {name: statistics.median(found) for name, found in taken.items()}
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    calls = ray.get(ray.remote(in_actor).remote())
    ray.shutdown()
    told = {f"{name}_us": round(medians[name] - medians["plain"], 2) for name in apps}
    return {**told, "plain_us": round(medians["plain"], 2), **calls}


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """An application that does nothing."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


def based() -> Any:
    """The same line, by the class that wraps a request in a task."""

    async def tell(request: Any, call_next: Any) -> Any:
        began = time.perf_counter()
        reply = await call_next(request)
        took_ms = round(1e3 * (time.perf_counter() - began), 2)
        fields = {"method": request.method, "status": reply.status_code, "took_ms": took_ms}
        middleware.log.info("request", extra=fields)
        return reply

    return BaseHTTPMiddleware(answer, dispatch=tell)


async def requests(app: Any) -> float:
    """Microseconds a request."""

    async def send(_: Any) -> None:
        return None

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    began = time.perf_counter()
    for _ in range(N_REQUESTS):
        scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""}
        await app(scope, receive, send)
    return 1e6 * (time.perf_counter() - began) / N_REQUESTS


def in_actor() -> dict[str, float]:
    """Microseconds a call of each kind of Ray metric."""
    from serving.observability.ray_meters import RayGatewayMeters  # noqa: PLC0415 - in the worker

    meters = RayGatewayMeters()
    calls: dict[str, Callable[[], None]] = {
        "ray_request_us": lambda: meters.request("/v1/trending", "GET", 200, 0.01),
        "ray_stage_us": lambda: meters.stage("query", 0.001),
        "ray_fresh_us": lambda: meters.fresh(1.0, 2.0, 3.0),
    }
    return {
        name: round(statistics.median(_each(call) for _ in range(ROUNDS)), 2)
        for name, call in calls.items()
    }


def _each(call: Callable[[], None]) -> float:
    began = time.perf_counter()
    for _ in range(N_CALLS):
        call()
    return 1e6 * (time.perf_counter() - began) / N_CALLS
