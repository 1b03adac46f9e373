"""The jobs as people run them, `python -m pipelines.NAME`, on a store in S3 (moto's server)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from moto.server import ThreadedMotoServer

from recsys.schema import TIMESTAMP
from recsys.testing import tiny_items, tiny_log

DAY_S = 86_400.0
T0 = 1_700_000_000.0
TEXTS = {
    "i1": "Guitar solos and loud drums",
    "i2": "Bass guitar lessons",
    "i3": "Slow jazz piano",
    "i4": "Bread with garlic",
    "i5": "Tomato soup recipe",
    "i6": "Chocolate cake recipe",
}


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    access = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "NO_PROXY": "127.0.0.1",
    }
    client = boto3.client(
        "s3",
        endpoint_url=access["AWS_ENDPOINT_URL"],
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    client.create_bucket(Bucket="halflife")
    yield {**os.environ, **access}
    server.stop()


def _job(name: str, environment: dict[str, str], *options: str) -> dict[str, Any]:
    command = [sys.executable, "-m", f"pipelines.{name}", *options]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr[-4_000:]
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_log_becomes_slates_on_an_object_store(
    environment: dict[str, str], tmp_path: Path, rng: np.random.Generator
) -> None:
    rows = [
        (f"u{n % 7}", str(rng.choice(list(TEXTS))), "click", T0 + n * DAY_S / 10)
        for n in range(120)
    ]
    pq.write_table(tiny_log(rows), tmp_path / "events.parquet")
    pq.write_table(tiny_items(TEXTS), tmp_path / "items.parquet")
    asked = pa.table(
        {
            "user_id": ["u1", "nobody"],
            "ts": pa.array([int((T0 + 20 * DAY_S) * 1e6)] * 2, pa.int64()).cast(TIMESTAMP),
        }
    )
    pq.write_table(asked, tmp_path / "asked.parquet")
    place = ["--store", "s3://halflife/shop", "--ledger", f"sqlite:///{tmp_path}/ledger.db"]
    place += ["--set", "data.n_partitions=4"]

    events, items = str(tmp_path / "events.parquet"), str(tmp_path / "items.parquet")
    taken = _job("ingest", environment, *place, "--events", events, "--items", items)
    assert taken["n_events_new"] == 120 and taken["n_quarantined"] == 0
    bundle = _job("embed", environment, *place)
    assert bundle["n_encoded"] == len(TEXTS)
    folded = _job("bootstrap", environment, *place)
    assert (folded["n_users"], folded["n_events"]) == (7, 120)
    out = str(tmp_path / "slates.parquet")
    queries = str(tmp_path / "asked.parquet")
    _job("recommend", environment, *place, "--queries", queries, "--out", out, "--seen", "include")
    slates = pq.read_table(out).to_pandas()
    assert set(slates["user_id"]) == {"u1", "nobody"}
    assert slates.groupby("user_id")["rank"].max().to_dict() == {"u1": 6, "nobody": 6}


def test_a_remote_store_asks_for_a_ledger(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pipelines.compact", "--store", "memory:///"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert "--ledger" in done.stderr and "Traceback" not in done.stderr
