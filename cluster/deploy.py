"""Putting the pool and the application on the Ray that this process is connected to."""

from __future__ import annotations

import time
from typing import Any

import httpx
from ray import serve

from pipelines.job import Job
from recsys.errors import UnavailableError
from serving.app import LOGGING, AppArgs, build, pool_spec
from serving.auth.exposure import check_exposure
from serving.observability.tracing import tracing_config
from serving.pool import end_pool, start_pool
from serving.rpc.servicer import ADD_TO_SERVER

APPLICATION = "halflife"
HTTP_MARGIN_S = 5.0
"""Seconds that Serve's own timeout leaves ours to answer."""


def app_args(job: Job) -> AppArgs:
    """The arguments of a job's application."""
    return AppArgs(
        store=job.store.uri, ledger=job.ledger_url, tenant=job.tenant, settings=job.settings
    )


def deploy(job: Job, host: str, port: int) -> str:
    """Start the pool, then Serve with the application; return its URL.

    Serve listens where it was started first: a Ray cluster has one Serve.

    Raises:
        ConfigError: if others would reach a service that asks for no key.
        NotFoundError: if nothing was ingested, or no bundle is published.
        UnavailableError: if a part does not start.
    """
    args, serving = app_args(job), job.settings.serving
    check_exposure(serving, host, serving.grpc_port)
    start_pool(pool_spec(args))  # it loads while Serve starts; the application waits for it
    timeout_s = serving.request_timeout_s + HTTP_MARGIN_S
    serve.start(
        http_options={"host": host, "port": port, "request_timeout_s": timeout_s},
        grpc_options=grpc_options(serving.grpc_port, timeout_s),
        logging_config=LOGGING,
        tracing_config=tracing_config(serving.tracing),
    )
    serve.run(build(args), name=APPLICATION, route_prefix="/")
    return f"http://{host}:{port}"


def grpc_options(port: int, timeout_s: float) -> dict[str, Any] | None:
    """What Serve is told of gRPC; None where there is none (port 0)."""
    if port == 0:
        return None
    functions = [ADD_TO_SERVER]
    return {"port": port, "grpc_servicer_functions": functions, "request_timeout_s": timeout_s}


def withdraw(job: Job) -> None:
    """Take the application and the pool away, and Serve if nothing else is on it."""
    serve.delete(APPLICATION)
    if len(serve.status().applications) == 0:
        serve.shutdown()
    end_pool(pool_spec(app_args(job)))


def wait_until_healthy(url: str, timeout_s: float) -> None:
    """Return when ``/healthz`` is 200.

    Raises:
        UnavailableError: if it is not in time.
    """
    deadline = time.monotonic() + timeout_s
    while not is_healthy(url):
        if time.monotonic() > deadline:
            raise UnavailableError(url, f"is not healthy after {timeout_s:.0f} s")
        time.sleep(0.2)


def is_healthy(url: str) -> bool:
    """Whether ``/healthz`` is 200 now."""
    try:
        return httpx.get(f"{url}/healthz", timeout=5.0).status_code == 200
    except httpx.HTTPError:
        return False
