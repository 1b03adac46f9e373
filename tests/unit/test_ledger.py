from __future__ import annotations

import multiprocessing
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

from recsys.errors import ConfigError, LedgerCorruptError, LedgerError, LedgerFullError
from recsys.ledger import (
    ERASED,
    ERASURE_KEY,
    TAIL,
    Ledger,
    Owner,
    SqliteLedger,
    erasure_pseudonym,
    open_ledger,
)
from recsys.ledger.migrations import SQLITE, statements
from recsys.schema import DEFAULT_TENANT, Event

T0 = 1_700_000_000.0


def event(name: str, user: str = "u", ts: float = T0, tenant: str = "default") -> Event:
    return Event(tenant, name, user, "i1", "click", ts, 0, ts, value=1.5, text="héllo", rank=3)


def archived(*names: str, ts: float = T0) -> pa.Table:
    rows = [
        {"tenant": "default", "user_id": "u", "event_id": n, "ts": round(ts * 1e6)} for n in names
    ]
    table = pa.Table.from_pylist(rows)
    return table.set_column(3, "ts", table["ts"].cast(pa.timestamp("us", tz="UTC")))


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return open_ledger(f"sqlite:///{tmp_path / 'deep' / 'ledger.db'}")


def test_each_partition_counts_its_own_sequence_from_one(ledger: Ledger) -> None:
    assert ledger.append([3, 5, 3], [event("a"), event("b"), event("c")]) == [1, 1, 2]
    assert ledger.append([3], [event("d")]) == [3]
    assert [ledger.last_seq(p) for p in (3, 5, 7)] == [3, 1, 0]


def test_a_duplicate_gets_zero_within_a_batch_and_across_batches(ledger: Ledger) -> None:
    assert ledger.append([1, 1, 1], [event("a"), event("a"), event("b")]) == [1, 0, 2]
    assert ledger.append([1, 1], [event("b"), event("c")]) == [0, 3]
    assert ledger.append([], []) == []


def test_ids_are_unique_per_tenant_and_user_only(ledger: Ledger) -> None:
    batch = [event("a"), event("a", user="v"), event("a", tenant="shop")]
    assert ledger.append([1, 1, 1], batch) == [1, 2, 3]
    assert ledger.tail(1, tenant="shop").num_rows == 1


def test_an_archived_id_is_a_duplicate(ledger: Ledger) -> None:
    assert ledger.register_archived([1, 1], archived("a", "b")) == 2
    assert ledger.register_archived([1, 1], archived("b", "c")) == 1
    assert ledger.append([1, 1], [event("a"), event("z")]) == [0, 1]


def test_the_tail_returns_what_was_appended_after_a_sequence(ledger: Ledger) -> None:
    ledger.append([1, 1, 2], [event("a"), event("b", ts=T0 - 0.25), event("c")])
    tail = ledger.tail(1, after_seq=1)
    assert tail.schema.equals(TAIL)
    (row,) = tail.to_pylist()
    assert row["ts"].timestamp() == T0 - 0.25
    assert (row["event_id"], row["ledger_seq"], row["seq"]) == ("b", 2, 2)
    assert (row["value"], row["text"], row["rank"], row["source"]) == (1.5, "héllo", 3, None)
    assert ledger.tail(9).schema.equals(TAIL)


def test_a_refused_batch_commits_nothing(ledger: Ledger) -> None:
    broken = event("b")._replace(kind=None)  # type: ignore[arg-type]
    with pytest.raises(LedgerError, match="nothing was committed"):
        ledger.append([1, 1], [event("a"), broken])
    assert ledger.tail(1).num_rows == 0
    assert ledger.append([1], [event("a")]) == [1]


def test_trimmed_rows_leave_but_young_ids_stay_known_and_sequences_are_not_reused(
    ledger: Ledger,
) -> None:
    ledger.append([1, 1, 1], [event("old", ts=T0 - 100), event("young"), event("last")])
    assert ledger.trim(1, upto_seq=2, keep_ids_after_ts=T0 - 10) == 2
    assert ledger.tail(1)["event_id"].to_pylist() == ["last"]
    assert (ledger.trimmed_seq(1), ledger.last_seq(1)) == (2, 3)
    ledger.trim(1, 3, T0 - 10)
    assert ledger.append([1, 1], [event("young"), event("new")]) == [0, 4]
    ledger.trim(1, 1_000, T0 + 10)
    assert ledger.trimmed_seq(1) == 4
    assert ledger.append([1], [event("young")]) == [5], "its id is older than late events may be"


def test_rows_survive_reopening(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/l.db"
    first = open_ledger(url)
    first.append([1], [event("a")])
    first.close()
    assert open_ledger(url).append([1, 1], [event("a"), event("b")]) == [0, 2]


def _append_many(url: str, offset: int) -> None:
    ledger = open_ledger(url)
    for k in range(20):
        ledger.append([1] * 5, [event(f"e{offset + (k * 5 + j) % 60}") for j in range(5)])
    ledger.close()


def test_processes_share_one_ledger_without_gaps_or_doubles(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/l.db"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_append_many, args=(url, o)) for o in (0, 30)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [w.exitcode for w in writers] == [0, 0]
    tail = open_ledger(url).tail(1)
    assert sorted(tail["event_id"].to_pylist()) == sorted(f"e{i}" for i in range(90))
    assert tail["ledger_seq"].to_pylist() == list(range(1, 91))


def old_file(path: Path, version: int) -> None:
    """A database as an older version of Halflife left it: two rows, one trimmed, an old id."""
    with sqlite3.connect(path) as db:
        for script in SQLITE[:version]:
            for statement in statements(script):
                db.execute(statement)
        db.execute(f"PRAGMA user_version={version}")
        row = "(4, 2, 'default', 'kept', 'u', 'i1', 'click', 1500000, 2500000)"
        db.execute(
            "INSERT INTO events (partition, seq, tenant, event_id, user_id, item_id, kind, ts,"
            f" ingested_at) VALUES {row}"
        )
        db.execute("INSERT INTO archived_ids VALUES ('default', 'u', 'past', 4, 500000)")
        db.execute("INSERT INTO partitions (partition, last_seq, trimmed_seq) VALUES (4, 2, 1)")
    db.close()


def test_a_database_of_version_one_is_brought_up_with_all_it_holds(tmp_path: Path) -> None:
    old_file(tmp_path / "l.db", version=1)
    ledger = open_ledger(f"sqlite:///{tmp_path}/l.db")
    (row,) = ledger.tail(4).to_pylist()
    assert (row["event_id"], row["ledger_seq"], row["ts"].timestamp()) == ("kept", 2, 1.5)
    assert (ledger.last_seq(4), ledger.trimmed_seq(4), ledger.owners(DEFAULT_TENANT)) == (2, 1, {})
    batch = [event("kept"), event("past"), event("new")]
    assert ledger.append([4] * 3, batch) == [0, 0, 3]
    owner = Owner("shard-0", "machine", "p1", 3.0)
    (claim,) = ledger.claim(DEFAULT_TENANT, [4], owner)
    assert ledger.append([4], [event("newer")], {4: claim.epoch}) == [4]


HERE = Owner("shard-0", "machine-a", "boot-1", 3.0)


def test_a_file_serves_one_machine(ledger: Ledger) -> None:
    ledger.claim(DEFAULT_TENANT, [0, 1], HERE)
    there = Owner("shard-1", "machine-b", "boot-1", 3.0)
    with pytest.raises(ConfigError, match="PostgreSQL"):
        ledger.claim(DEFAULT_TENANT, [1, 2], there)
    assert ledger.owners(DEFAULT_TENANT) == {0: (HERE, 1), 1: (HERE, 1)}, (
        "the refused claim changed nothing"
    )
    ledger.release(DEFAULT_TENANT, {0: 1, 1: 1})
    assert [claim.epoch for claim in ledger.claim(DEFAULT_TENANT, [1, 2], there)] == [2, 1]


def test_a_machine_that_was_started_anew_is_the_same_machine(ledger: Ledger) -> None:
    ledger.claim(DEFAULT_TENANT, [0], HERE)
    (claim,) = ledger.claim(DEFAULT_TENANT, [0], Owner("shard-0", "machine-a", "boot-2", 3.0))
    assert claim.previous == HERE


@pytest.mark.parametrize("url", ["mysql://x/y", "/plain/path.db", "sqlite://", "sqlite:///"])
def test_an_unknown_url_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(ConfigError, match="sqlite:////absolute"):
        open_ledger(url)


def test_a_url_that_is_refused_does_not_show_its_password() -> None:
    for url in ("mysql://me:secret@x/y", "postgresql://me:secret@x/y?nonsense=1"):
        with pytest.raises(ConfigError) as caught:
            open_ledger(url)
        assert "secret" not in str(caught.value)


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "l.db").write_bytes(b"this is not SQLite, not at all" * 100)
    with pytest.raises(LedgerCorruptError, match=r"l\.db.*restore"):
        open_ledger(f"sqlite:///{tmp_path}/l.db")


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    open_ledger(f"sqlite:///{tmp_path}/l.db").close()
    with sqlite3.connect(tmp_path / "l.db") as db:
        db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(LedgerError, match="format 99"):
        open_ledger(f"sqlite:///{tmp_path}/l.db")


def test_a_full_disk_refuses_and_loses_nothing(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "l.db")
    ledger.append([1], [event("kept")])
    (n_pages,) = ledger._db.execute("PRAGMA page_count").fetchone()
    ledger._db.execute(f"PRAGMA max_page_count={n_pages}")
    big = [event(f"e{n}")._replace(text="x" * 4_000) for n in range(50)]
    with pytest.raises(LedgerFullError, match="Make space"):
        ledger.append([1] * 50, big)
    assert ledger.tail(1)["event_id"].to_pylist() == ["kept"], "reads go on"
    ledger._db.execute("PRAGMA max_page_count=100000")
    assert ledger.append([1] * 50, big) == list(range(2, 52))


def test_an_erased_user_leaves_no_byte_in_the_files(tmp_path: Path) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path}/l.db")
    names = [f"person-{n}" for n in range(40)]
    for n in range(20):
        ledger.append([1] * 40, [event(f"e{n}", user=name) for name in names])
        ledger.trim(1, 40 * n, keep_ids_after_ts=T0 + 1)  # pages were used before

    def bytes_of_user() -> int:
        return sum(path.read_bytes().count(b"person-7") for path in tmp_path.iterdir())

    assert bytes_of_user() > 0
    ledger.put_value(ERASURE_KEY, "5e" * 32, 0)
    name = erasure_pseudonym("5e" * 32, "default", "person-7")
    assert ledger.erase("default", "person-7", name, at=T0 + 1) == 1
    assert bytes_of_user() == 0
    assert len(ledger.tail(1)) == 39
    assert ledger.append([1], [event("late", user="person-7")]) == [ERASED]


def test_a_reader_sees_what_is_committed_while_a_writer_works(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "l.db")
    ledger.claim("default", [1], HERE)
    with ledger.writing() as db:
        db.execute("UPDATE owners SET epoch = 9")
        with ThreadPoolExecutor() as other:
            assert other.submit(ledger.epochs, "default", [1]).result(5.0) == {1: 1}
    assert ledger.epochs("default", [1]) == {1: 9}
