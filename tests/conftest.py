"""Fixtures of every suite: seeds, and one Ray cluster for the whole session."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator

os.environ.update(
    OMP_NUM_THREADS="1",
    RAY_AUTH_MODE="disabled",
    RAY_USAGE_STATS_ENABLED="0",
    RAY_enable_worker_prestart="0",
    RAY_memory_monitor_refresh_ms="0",
    RAY_enable_metrics_collection="0",
    RAY_DATA_DISABLE_PROGRESS_BARS="1",
    TOKENIZERS_PARALLELISM="false",
    HF_HUB_OFFLINE="1",
)

import numpy as np
import pytest

from tests.postgres import PostgresServer, postgres_server

os.environ.pop("RAY_ADDRESS", None)


@pytest.fixture
def rng() -> np.random.Generator:
    """The one source of randomness in tests."""
    return np.random.default_rng(20261121)


@pytest.fixture(scope="session")
def cluster() -> Iterator[None]:
    """One local Ray cluster for all tests that need one."""
    import ray  # noqa: PLC0415 - unit tests must not pay for it

    temporary = tempfile.mkdtemp(prefix="hl", dir="/tmp")  # unix sockets: a short path
    ray.init(
        address="local",
        num_cpus=8,
        include_dashboard=False,
        object_store_memory=100 << 20,
        log_to_driver=False,
        _temp_dir=temporary,
        runtime_env={"env_vars": {"OMP_NUM_THREADS": "1"}},
    )
    yield
    ray.shutdown()
    shutil.rmtree(temporary, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One PostgreSQL server for all tests that need one; each takes databases of its own."""
    with postgres_server() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> str:
    """The URL of an empty database."""
    return postgres.new_database()
