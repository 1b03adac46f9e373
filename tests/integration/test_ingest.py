from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from moto.server import ThreadedMotoServer

from pipelines import ingest, ingest_events
from pipelines.job import Job
from recsys.archive import Archive
from recsys.errors import DataError
from recsys.ledger import open_ledger
from recsys.record import read_all
from recsys.settings import DataSettings, Settings
from recsys.store import Store

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("cluster")]

N = 3_000


@pytest.fixture
def job(tmp_path: Path) -> Job:
    settings = Settings(data=DataSettings(n_partitions=4))
    return Job(Store(str(tmp_path / "store")), f"sqlite:///{tmp_path}/ledger.db", settings)


def write_log(folder: Path) -> None:
    """Six hive-partitioned files, one row in a hundred of an unknown kind."""
    for day in range(6):
        part = folder / f"day={day}"
        part.mkdir(parents=True)
        numbers = range(day * N // 6, (day + 1) * N // 6)
        table = pa.table(
            {
                "household": [f"u{i % 97}" for i in numbers],
                "item_id": [f"i{i % 31}" for i in numbers],
                "kind": ["click" if i % 100 else "???" for i in numbers],
                "ts": [1_700_000_000_000 + i * 1_000 for i in numbers],
            }
        )
        pq.write_table(table, part / "part-0.parquet")


def test_a_log_goes_through_ray_data_once_however_often_it_is_sent(
    job: Job, tmp_path: Path
) -> None:
    write_log(tmp_path / "log")
    mapping = {"user_id": "household"}
    report = ingest.run(job, [str(tmp_path / "log")], mapping=mapping)
    assert report["n_events_new"] == N - N // 100
    assert report["reasons"] == {"unknown_kind": N // 100}
    assert report["events"]["time_units"] == ["ts: ms"]
    assert report["events"]["ignored_columns"] == ["day"]
    assert report["events_per_s"] > 0
    again = ingest.run(job, [str(tmp_path / "log" / "*")], mapping=mapping)
    assert (again["n_events_new"], again["n_duplicates"]) == (0, N - N // 100)
    assert again["manifest_id"] == report["manifest_id"]
    archive = Archive(job.store)
    ledger = open_ledger(job.ledger_url)
    table = read_all(archive, ledger, "default")
    ledger.close()
    assert len(set(zip(*table.select(["user_id", "ts"]).to_pydict().values(), strict=True))) == (
        N - N // 100
    )


def test_an_error_of_a_task_arrives_as_itself(job: Job, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"user_id": 1, "item_id": 2, "kind": "click", "ts": 1700000000}\n' * 9_000)
    with path.open("a") as file:
        file.write("{broken\n" * 9_000)
    with pytest.raises(DataError, match=r"9000 of 18000 events: are bad .*malformed_row 9000"):
        ingest.run(job, [str(path)])
    assert Archive(job.store).manifest() is None


def _serially(title: str, work: Any, shared: Any, tasks: list[Any]) -> Iterator[Any]:
    """In this process: the cluster's workers do not know the stand-in's address."""
    return ((number, work(shared, task)) for number, task in enumerate(tasks))


def test_logs_and_store_may_lie_on_an_object_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    variables = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(ingest_events, "spread", _serially)
    boto3.client("s3").create_bucket(Bucket="logs")
    write_log(tmp_path / "log")
    for path in (tmp_path / "log").glob("*/*"):
        name = f"raw/{path.relative_to(tmp_path / 'log')}"
        boto3.client("s3").put_object(Bucket="logs", Key=name, Body=path.read_bytes())
    settings = Settings(data=DataSettings(n_partitions=4))
    job = Job(Store("s3://logs/store"), f"sqlite:///{tmp_path}/ledger.db", settings)
    for n_new in (N - N // 100, 0):
        report = ingest.run(job, ["s3://logs/raw"], mapping={"user_id": "household"})
        assert (report["n_events_new"], report["events"]["files"]) == (n_new, 6)
    assert report["events"]["ignored_columns"] == ["day"]
    assert job.store.paths("scratch") == []
    server.stop()
