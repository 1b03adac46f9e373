"""The whole of ingest in one process: ``spread`` is replaced by a loop."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from pipelines import ingest, ingest_events
from pipelines.job import Job
from recsys.archive import Archive
from recsys.errors import ConfigError, DataError
from recsys.ingestion import plan, reading, shuffle
from recsys.ledger import ERASURE_KEY, erasure_pseudonym, open_ledger
from recsys.record import read_all
from recsys.schema import Event, partition_of
from recsys.settings import DataSettings, Settings
from recsys.store import Store

T0 = 1_700_000_000
DAY = 86_400
N_PARTITIONS = 4
KEY = "ab" * 32


@pytest.fixture(autouse=True)
def in_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def spread(title: str, work: Any, shared: Any, tasks: Sequence[Mapping[str, Any]]) -> Any:
        return _loop(work, shared, tasks)

    monkeypatch.setattr(ingest_events, "spread", spread)
    monkeypatch.setattr(ingest_events, "ray_session", nullcontext)


def _loop(work: Any, shared: Any, tasks: Sequence[Mapping[str, Any]]) -> Iterator[Any]:
    for number, task in reversed(list(enumerate(tasks))):  # results come in any order
        yield number, json.loads(json.dumps(work(shared, json.loads(json.dumps(task)))))


@pytest.fixture
def job(tmp_path: Path) -> Job:
    settings = Settings(data=DataSettings(n_partitions=N_PARTITIONS))
    return Job(Store(str(tmp_path / "store")), f"sqlite:///{tmp_path}/ledger.db", settings)


def rows(n: int, start: int = 0, **more: Any) -> list[dict[str, Any]]:
    return [
        {
            "user_id": f"u{i % 7}",
            "item_id": f"i{i % 5}",
            "kind": "click",
            "ts": T0 + 60 * i,
            "event_id": f"e{i}",
            **more,
        }
        for i in range(start, start + n)
    ]


def log(path: Path, content: list[dict[str, Any]]) -> list[str]:
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(r) + "\n" for r in content))
    elif path.suffix == ".csv":
        pa_csv.write_csv(pa.Table.from_pylist(content), path)
    else:
        pq.write_table(pa.Table.from_pylist(content), path)
    return [str(path)]


def record(job: Job) -> list[dict[str, Any]]:
    archive = Archive(job.store)
    ledger = open_ledger(job.ledger_url)
    table = read_all(archive, ledger, job.tenant)
    ledger.close()
    return list(table.to_pylist())


def ids(job: Job) -> list[str]:
    return sorted(r["event_id"] for r in record(job))


def live(job: Job, content: list[dict[str, Any]]) -> list[int]:
    names = ("event_id", "user_id", "item_id", "kind", "ts")
    events = [Event("default", *(r[n] for n in names), 0, r["ts"]) for r in content]
    partitions = [partition_of("default", e.user_id, N_PARTITIONS) for e in events]
    ledger = open_ledger(job.ledger_url)
    sequences = ledger.append(partitions, events)
    ledger.close()
    return sequences


@pytest.mark.parametrize("ending", ["parquet", "jsonl", "csv"])
def test_every_event_is_archived_in_its_partition(job: Job, tmp_path: Path, ending: str) -> None:
    report = ingest.run(job, log(tmp_path / f"log.{ending}", rows(50, value=1.5)))
    assert (report["n_rows"], report["n_events_new"], report["n_duplicates"]) == (50, 50, 0)
    assert report["data_until"] == T0 + 60 * 49
    assert report["events"]["time_units"] == ["ts: s"]
    got = record(job)
    assert sorted(r["event_id"] for r in got) == sorted(f"e{i}" for i in range(50))
    assert {r["value"] for r in got} == {1.5}
    manifest = Archive(job.store).manifest()
    assert manifest is not None
    for p in manifest.partitions:
        users = Archive(job.store).read_partition(manifest, p)["user_id"].unique().to_pylist()
        assert {partition_of("default", u, N_PARTITIONS) for u in users} == {p}
    assert job.store.paths("scratch") == []


def test_the_same_files_twice_change_nothing(job: Job, tmp_path: Path) -> None:
    bad = [{**r, "kind": "nope"} for r in rows(2, start=100)]
    places = log(tmp_path / "log.jsonl", [*rows(80), *bad])
    first = ingest.run(job, places)
    before = job.store.paths("archive") + job.store.paths("quarantine")
    second = ingest.run(job, places)
    assert (second["n_events_new"], second["n_duplicates"]) == (0, 80)
    assert first["reasons"] == second["reasons"] == {"unknown_kind": 2}
    assert second["manifest_id"] == first["manifest_id"]
    assert job.store.paths("archive") + job.store.paths("quarantine") == before


def test_derived_ids_survive_moving_and_growing_the_log(job: Job, tmp_path: Path) -> None:
    content = [{k: v for k, v in r.items() if k != "event_id"} for r in rows(30)]
    ingest.run(job, log(tmp_path / "a" / "log.csv", content[:20]))
    report = ingest.run(job, log(tmp_path / "b" / "other.csv", content))
    assert (report["n_events_new"], report["n_duplicates"]) == (10, 20)


def test_an_event_that_came_live_is_not_archived_again(job: Job, tmp_path: Path) -> None:
    content = rows(10)
    assert 0 not in live(job, content[:4])
    report = ingest.run(job, log(tmp_path / "log.parquet", content))
    assert (report["n_events_new"], report["n_duplicates"]) == (6, 4)
    assert ids(job) == sorted(r["event_id"] for r in content)


def test_an_event_that_was_archived_is_a_duplicate_when_it_comes_live(
    job: Job, tmp_path: Path
) -> None:
    old = [{**r, "event_id": f"old{i}", "ts": T0 - 30 * DAY} for i, r in enumerate(rows(3))]
    ingest.run(job, log(tmp_path / "log.parquet", [*rows(10), *old]))
    assert live(job, rows(10)) == [0] * 10
    assert 0 not in live(job, old), "the gateway refuses these as too old; their ids are not kept"
    assert len(ids(job)) == 13, "and the record counts even them once"


def test_ids_become_known_even_if_the_first_ingest_died_before_it_registered_them(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = log(tmp_path / "log.parquet", rows(10))
    ingest.run(job, places)
    Path(job.ledger_url.removeprefix("sqlite:///")).unlink()
    ingest.run(job, places)
    assert live(job, rows(10)) == [0] * 10


def test_an_event_counts_once_if_it_comes_live_while_it_is_ingested(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported = ingest_events._export_tails

    def late(*arguments: Any) -> Any:
        tails = exported(*arguments)
        live(job, rows(5))
        return tails

    monkeypatch.setattr(ingest_events, "_export_tails", late)
    ingest.run(job, log(tmp_path / "log.parquet", rows(10)))
    assert ids(job) == sorted(f"e{i}" for i in range(10))


def test_two_ingests_at_once_do_not_archive_an_event_twice(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = log(tmp_path / "log.parquet", rows(10))
    exported = ingest_events._export_tails
    nested: list[dict[str, Any]] = []

    def other_job(*arguments: Any) -> Any:
        tails = exported(*arguments)
        if not nested:
            nested.append({})
            nested[0] = ingest.run(job, log(tmp_path / "other.parquet", rows(4)))
        return tails

    monkeypatch.setattr(ingest_events, "_export_tails", other_job)
    report = ingest.run(job, places)
    assert nested[0]["n_events_new"] == 4
    assert (report["n_events_new"], report["n_duplicates"], report["n_events_total"]) == (6, 4, 10)


def test_equal_rows_are_duplicates_and_equal_ids_with_other_content_are_quarantined(
    job: Job, tmp_path: Path
) -> None:
    content = [*rows(100), rows(1)[0], {**rows(1)[0], "item_id": "other"}]
    report = ingest.run(job, log(tmp_path / "log.jsonl", content))
    assert (report["n_events_new"], report["n_duplicates"]) == (100, 1)
    assert report["reasons"] == {"duplicate_id": 1}
    (path,) = job.store.paths("quarantine")
    (row,) = job.store.read_table(path).to_pylist()
    assert row["source"].endswith("log.jsonl")
    assert json.loads(row["raw"])["item_id"] == "other"
    (kept,) = [r for r in record(job) if r["event_id"] == "e0"]
    assert kept["item_id"] == "i0"


def test_too_many_bad_rows_publish_nothing(job: Job, tmp_path: Path) -> None:
    bad = [{**r, "ts": 4e9} for r in rows(10, start=100)]
    places = log(tmp_path / "log.parquet", [{**r, "ts": float(r["ts"])} for r in rows(90)] + bad)
    with pytest.raises(DataError, match=r"10 of 100 events: are bad \(10.0%.*time_in_future 10"):
        ingest.run(job, places)
    assert Archive(job.store).manifest() is None
    assert len(job.store.paths("quarantine")) == 1
    lenient = Settings(data=DataSettings(n_partitions=N_PARTITIONS, max_bad_share=0.1))
    report = ingest.run(replace(job, settings=lenient), places)
    assert (report["n_events_new"], report["n_quarantined"]) == (90, 10)


def test_many_splits_and_buckets_give_the_same_record(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = log(tmp_path / "log.parquet", rows(500))
    ingest.run(job, places)
    whole = [{**r, "ingested_at": None} for r in record(job)]
    monkeypatch.setattr(reading, "SPLIT_ROWS", 70)
    monkeypatch.setattr(reading, "_MAX_SPLITS_PER_GROUP", 100)
    monkeypatch.setattr(plan, "BUCKET_BYTES", 5_000)
    monkeypatch.setattr(shuffle, "FLUSH_BYTES", 1_000)
    monkeypatch.setattr(ingest_events, "GROUP_BYTES", 9_000)
    other = replace(job, store=Store(str(tmp_path / "other")), ledger_url=f"sqlite:///{tmp_path}/o")
    ingest.run(other, places)
    manifest = Archive(other.store).manifest()
    assert manifest is not None
    assert sum(len(p.files) for p in manifest.partitions.values()) > N_PARTITIONS
    assert [{**r, "ingested_at": None} for r in record(other)] == whole


def test_items_and_users_replace_those_of_the_same_id(job: Job, tmp_path: Path) -> None:
    items = [{"sku": "a", "title": "A"}, {"sku": "b", "title": "B"}]
    mapping = {"items.item_id": "sku"}
    places = log(tmp_path / "items.jsonl", items)
    report = ingest.run(job, (), places, log(tmp_path / "users.csv", [{"user_id": 1}]), mapping)
    assert (report["n_items"], report["n_users"], report["n_events_new"]) == (2, 1, 0)
    again = ingest.run(job, (), places, (), mapping)
    assert again["manifest_id"] == report["manifest_id"]
    ingest.run(job, (), log(tmp_path / "items.jsonl", [{"sku": "b", "title": "B2"}]), (), mapping)
    archive = Archive(job.store)
    manifest = archive.manifest()
    assert manifest is not None
    assert archive.items(manifest, "default")["title"].to_pylist() == ["A", "B2"]
    assert archive.users(manifest, "default")["user_id"].to_pylist() == ["1"]
    assert archive.items(manifest, "shop").num_rows == 0


def test_tenants_stay_apart(job: Job, tmp_path: Path) -> None:
    shop = replace(job, tenant="shop")
    places = log(tmp_path / "log.parquet", rows(10))
    ingest.run(job, places)
    assert ingest.run(shop, places)["n_events_new"] == 10
    named = log(tmp_path / "named.parquet", rows(10, tenant="default"))
    with pytest.raises(DataError, match="other_tenant 10"):
        ingest.run(shop, named)
    assert ingest.run(shop, named, mapping={"tenant": "=shop"})["n_duplicates"] == 10


def test_a_log_that_cannot_be_read_publishes_nothing(job: Job, tmp_path: Path) -> None:
    good = log(tmp_path / "log.parquet", rows(10))
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(Path(good[0]).read_bytes()[:900])
    empty = tmp_path / "empty.parquet"
    pq.write_table(pa.Table.from_pylist(rows(1)).slice(0, 0), empty)
    with pytest.raises(DataError, match="half-written"):
        ingest.run(job, [*good, str(broken)])
    with pytest.raises(DataError, match="no row"):
        ingest.run(job, [str(empty)])
    with pytest.raises(ConfigError, match="--events"):
        ingest.run(job)
    with pytest.raises(ConfigError, match=r"perhaps 'user_id'\?"):
        ingest.run(job, good, mapping={"user_id": "userid"})
    other = Settings(data=DataSettings(n_partitions=8))
    with pytest.raises(ConfigError, match="made with 4"):
        ingest.run(replace(job, settings=other), good)
    assert Archive(job.store).manifest() is None


def test_an_option_may_be_followed_by_what_a_glob_gave() -> None:
    given = ["--store", "s", "--events", "a", "b", "--map", "x=y", "z=w", "--tenant", "t"]
    assert " ".join(ingest._many(given)) == (
        "--store s --events a --events b --map x=y --map z=w --tenant t"
    )


def test_late_events_of_an_erased_user_are_dropped_and_counted(job: Job, tmp_path: Path) -> None:
    """Sound ones and bad ones: the quarantine would keep them. What came later is taken."""
    ledger = open_ledger(job.ledger_url)
    ledger.put_value(ERASURE_KEY, KEY, 0)
    ledger.bury("default", erasure_pseudonym(KEY, "default", "u3"), T0 + 60 * 10)
    ledger.close()
    bad = [{**row, "ts": -1} for row in rows(7, start=100)[1:4]]
    report = ingest.run(job, log(tmp_path / "log.jsonl", rows(97) + bad))
    assert report["n_erased"] == 3 and report["n_events_new"] == 95
    assert report["n_quarantined"] == 2 and report["n_rows"] == 100
    assert {"e3", "e10"}.isdisjoint(ids(job)) and "e17" in ids(job)


def test_who_is_erased_during_an_ingest_is_not_archived_by_it(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle = ingest_events.settle_buckets

    def erased_meanwhile(run: Any, task: Mapping[str, Any]) -> dict[str, Any]:
        ledger = open_ledger(job.ledger_url)
        ledger.put_value(ERASURE_KEY, KEY, 0)
        ledger.bury("default", erasure_pseudonym(KEY, "default", "u3"), T0 + DAY)
        ledger.close()
        return settle(run, task)

    monkeypatch.setattr(ingest_events, "settle_buckets", erased_meanwhile)
    ingest.run(job, log(tmp_path / "log.jsonl", rows(50)))
    archive = Archive(job.store)
    manifest = archive.manifest()
    assert manifest is not None
    stored = [
        user
        for path in job.store.paths("archive/events")
        for user in job.store.read_table(path)["user_id"].to_pylist()
    ]
    assert "u3" not in stored and len(stored) == manifest.n_events == 43
