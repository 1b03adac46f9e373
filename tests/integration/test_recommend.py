from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from pipelines import embed, recommend
from pipelines.job import Job
from recsys.errors import ConfigError, LeakageError
from recsys.events import timestamps_s
from recsys.rules.schema import read_rules
from recsys.rules.versions import put_rules
from recsys.schema import ITEMS, TIMESTAMP, microseconds
from recsys.settings import DAY_S, load
from recsys.testing.fakes import tiny_items, tiny_log
from tests.integration.past_logs import (
    at_share,
    new_job,
    put_events,
    put_items,
    shifted,
    small_world,
)

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("cluster")]

WORLD = small_world()
SPLIT = at_share(WORLD.events, 0.8)
NOW = at_share(WORLD.events, 1.0) + 1.0


def write_queries(path: Path, users: list[str], ts: np.ndarray) -> Path:
    stamps = pa.array([microseconds(t) for t in ts]).cast(TIMESTAMP)
    pq.write_table(pa.table({"user_id": users, "ts": stamps}), path)
    return path


def past_queries(path: Path) -> Path:
    """Every user at three moments between the split and the end, and somebody unknown."""
    users = sorted(set(WORLD.events["user_id"].to_pylist()))
    who = [*users, *users, *users, "nobody"]
    ts = np.linspace(SPLIT + 1, NOW, len(who))
    order = np.random.default_rng(2).permutation(len(who))  # in no order of time
    return write_queries(path, who, ts[order])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, cluster: None) -> Job:
    """A store with the world and a bundle that ends at the split."""
    job = new_job(tmp_path_factory.mktemp("recommend"))
    put_items(job, WORLD.items)
    put_events(job, WORLD.events)
    embed.run(job, until=SPLIT)
    return job


@pytest.fixture
def slates(made: Job, tmp_path: Path) -> Callable[..., pa.Table]:
    def ask(users: list[str], ts: list[float], **options: object) -> pa.Table:
        queries = write_queries(tmp_path / "q.parquet", users, np.array(ts))
        recommend.run(made, queries, tmp_path / "r.parquet", **options)  # type: ignore[arg-type]
        return pq.read_table(tmp_path / "r.parquet")

    return ask


def test_nothing_from_the_future_can_change_a_past_slate(
    made: Job, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    queries = past_queries(tmp_path / "q.parquet")
    report = recommend.run(made, queries, tmp_path / "past.parquet", k=20)

    planted = new_job(tmp_path_factory.mktemp("planted"))
    new = tiny_items({"a-future": "red green apple", "i-future": "blue film ghost"})
    born = pa.array([microseconds(NOW + 1)] * 2).cast(TIMESTAMP)
    new = new.set_column(new.schema.get_field_index("created_at"), ITEMS.field("created_at"), born)
    put_items(planted, pa.concat_tables([WORLD.items, new]))
    put_events(planted, WORLD.events)
    put_events(planted, shifted(WORLD.events, 60 * DAY_S + 1, "later"))  # everybody does it again
    rows = [(f"u{n:06d}", f"i{n % 3:06d}", "purchase", NOW + n) for n in range(200)]
    rows += [
        (f"aaa{n}", "0-never-seen", "like", NOW + n) for n in range(300)
    ]  # first in all orders
    put_events(planted, tiny_log(rows))
    embed.run(planted, until=SPLIT)
    after = recommend.run(planted, queries, tmp_path / "planted.parquet", k=20)

    assert after["n_rows"] == report["n_rows"] > 0
    assert (tmp_path / "past.parquet").read_bytes() == (tmp_path / "planted.parquet").read_bytes()


def test_every_query_gets_a_ranked_slate_of_items_it_has_not_touched(
    made: Job, tmp_path: Path
) -> None:
    queries = past_queries(tmp_path / "q.parquet")
    report = recommend.run(made, queries, tmp_path / "r.parquet", k=10)
    table = pq.read_table(tmp_path / "r.parquet")
    asked = pq.read_table(queries)
    assert table.schema.equals(recommend.RECOMMENDATIONS, check_metadata=False)
    assert (report["n_queries"], report["n_unknown_users"]) == (len(asked), 1)
    events = WORLD.events.to_pylist()
    rows = table.to_pylist()
    keys = list(dict.fromkeys((row["user_id"], row["ts"]) for row in rows))
    pairs = [(row["user_id"], row["ts"]) for row in asked.to_pylist()]
    assert keys == [pair for pair in pairs if pair in set(keys)]  # in the order of the queries
    for user, ts in keys[::20]:
        slate = [row for row in rows if (row["user_id"], row["ts"]) == (user, ts)]
        assert [row["rank"] for row in slate] == list(range(1, len(slate) + 1))
        assert sorted((row["score"] for row in slate), reverse=True) == [r["score"] for r in slate]
        touched = {e["item_id"] for e in events if e["user_id"] == user and e["ts"] < ts}
        assert touched.isdisjoint(row["item_id"] for row in slate)


def test_an_event_counts_only_after_its_own_instant(slates: Callable[..., pa.Table]) -> None:
    event = WORLD.events.filter(
        pc.greater(WORLD.events["ts"], pa.scalar(microseconds(SPLIT)).cast(TIMESTAMP))
    )
    first = event.to_pylist()[50]
    at = float(timestamps_s(event["ts"])[50])
    user = first["user_id"]
    table = slates([user, user], [at, at + 1e-6], k=50)
    whole = table.to_pylist()
    before = {r["item_id"] for r in whole if timestamps_s(pa.array([r["ts"]]))[0] <= at}
    after = (
        {r["item_id"] for r in whole}
        if not before
        else {r["item_id"] for r in whole if timestamps_s(pa.array([r["ts"]]))[0] > at}
    )
    assert after == before - {first["item_id"]}


def test_an_unknown_user_gets_what_trends(slates: Callable[..., pa.Table]) -> None:
    table = slates(["nobody", "nobody else"], [NOW, NOW], k=5)
    items = table["item_id"].to_pylist()
    assert items[:5] == items[5:]
    assert len(table) == 10


def test_rules_and_steps_hold_in_batches_too(made: Job, tmp_path: Path) -> None:
    users = sorted(set(WORLD.events["user_id"].to_pylist()))[:6]
    queries, out = write_queries(tmp_path / "q.parquet", users, np.full(6, NOW)), tmp_path / "r"

    def ask(job: Job) -> list[list[str]]:
        recommend.run(job, queries, out, k=6)
        table = pq.read_table(out)
        return [table.filter(pc.equal(table["user_id"], u))["item_id"].to_pylist() for u in users]

    plain = ask(made)
    gone, low = plain[0][0], plain[1][5]
    when = [f'item.item_id == "{one}"' for one in (gone, low)]
    rules = [
        {"id": "gone", "when": when[0], "action": {"type": "filter"}},
        {"id": "first", "when": when[1], "action": {"type": "pin", "place": 1}},
    ]
    version = put_rules(made.store, made.tenant, read_rules({"rules": rules}), None, NOW).version
    ruled = ask(made)
    put_rules(made.store, made.tenant, read_rules({"rules": []}), version, NOW)
    assert all(gone not in slate and len(slate) == 6 for slate in ruled)
    assert ruled[1][0] == low and ask(made) == plain

    varied = load(assignments=["reranking.steps=[mmr]", "reranking.mmr.diversity=0.9"])
    other = ask(replace(made, settings=varied))
    assert other != plain and [len(slate) for slate in other] == [6] * 6


def test_touched_items_come_back_when_they_may(slates: Callable[..., pa.Table]) -> None:
    users = sorted(set(WORLD.events["user_id"].to_pylist()))[:5]
    table = slates(users, [NOW] * 5, k=200, seen="include")
    assert len(table) == 5 * len(WORLD.items)


def test_a_bundle_from_the_future_is_refused_unless_allowed(
    made: Job, slates: Callable[..., pa.Table]
) -> None:
    with pytest.raises(LeakageError, match="--until"):
        slates(["u000001"], [SPLIT - DAY_S])
    table = slates(["u000001"], [SPLIT - DAY_S], allow_future_bundle=True)
    assert table.schema.metadata[b"bundle_from_the_future"] == b"true"
    assert len(table) > 0


def test_a_query_file_that_cannot_be_used_is_refused_by_name(made: Job, tmp_path: Path) -> None:
    path, out = tmp_path / "q.parquet", tmp_path / "r.parquet"
    path.write_bytes(b"half")
    with pytest.raises(ConfigError, match="cannot be read"):
        recommend.run(made, path, out)
    pq.write_table(pa.table({"user": ["a"]}), path)
    with pytest.raises(ConfigError, match="lack"):
        recommend.run(made, path, out)
    pq.write_table(pa.table({"user_id": ["a"], "ts": ["noon"]}), path)
    with pytest.raises(ConfigError, match="wrong types"):
        recommend.run(made, path, out)
    pq.write_table(pa.table({"user_id": ["a"], "ts": pa.array([None], TIMESTAMP)}), path)
    with pytest.raises(ConfigError, match="empty cells"):
        recommend.run(made, path, out)
    with pytest.raises(ConfigError, match="k = 0"):
        recommend.run(made, path, out, k=0)


def test_query_times_may_be_unix_seconds(made: Job, tmp_path: Path) -> None:
    pq.write_table(pa.table({"user_id": ["a"], "ts": [1.5]}), tmp_path / "q.parquet")
    found = recommend.read_queries(tmp_path / "q.parquet")
    assert timestamps_s(found["ts"]).tolist() == [1.5]
