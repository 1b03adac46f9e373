from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines import ingest
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
    table = read_all(archive, archive.manifest(), ledger, "default")
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
