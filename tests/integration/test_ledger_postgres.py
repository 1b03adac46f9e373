"""The ledger in a real PostgreSQL server."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from recsys.errors import (
    LedgerCorruptError,
    LedgerError,
    LedgerFullError,
    StaleEpochError,
)
from recsys.ledger import DUPLICATE, ERASED, ERASURE_KEY, Ledger, erasure_pseudonym, open_ledger
from recsys.ledger import postgres as postgres_module
from recsys.ledger.postgres import PostgresLedger
from recsys.testing import LedgerContract
from recsys.testing.ledger_contract import FIRST, KEY, SECOND, contract_event
from tests.postgres import postgres_server
from tests.unit.test_ledger_ownership import race_for_a_partition


@pytest.fixture
def ledger(postgres_url: str) -> Iterator[PostgresLedger]:
    ledger = PostgresLedger(postgres_url)
    yield ledger
    ledger.close()


class TestPostgresLedger(LedgerContract):
    @pytest.fixture
    def ledger(self, postgres_url: str) -> Iterator[Ledger]:
        ledger = open_ledger(postgres_url)
        yield ledger
        ledger.close()


def test_shards_on_two_machines_own_partitions_of_one_database(ledger: PostgresLedger) -> None:
    other = FIRST.__class__("shard-9", "another machine", "process", 3.0)
    ledger.claim("t", [0], FIRST)
    assert ledger.claim("t", [1], other)[0].epoch == 1
    assert {owner.host for owner, _ in ledger.owners("t").values()} == {"machine", other.host}


def test_many_open_a_new_database_at_once(postgres_url: str) -> None:
    with ThreadPoolExecutor(8) as threads:
        ledgers = list(threads.map(PostgresLedger, [postgres_url] * 8))
    for number, ledger in enumerate(ledgers):
        assert ledger.append([0], [contract_event(f"e{number}")]) == [number + 1]
        ledger.close()


def test_a_newer_format_is_refused(postgres_url: str) -> None:
    PostgresLedger(postgres_url).close()
    with psycopg.connect(postgres_url) as connection:
        connection.execute("UPDATE ledger_format SET version = 99")
    with pytest.raises(LedgerError, match="format 99"):
        PostgresLedger(postgres_url)


def test_errors_do_not_show_the_password(postgres_url: str) -> None:
    password = psycopg.conninfo.conninfo_to_dict(postgres_url)["password"]
    for wrong in (postgres_url.replace(str(password), "wrong"), postgres_url + "x"):
        with pytest.raises(LedgerError, match="cannot be reached") as caught:
            open_ledger(wrong)
        assert str(password) not in repr(caught.value)


def test_a_claim_waits_for_a_commit_that_is_under_way(
    ledger: PostgresLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.claim("t", [0], FIRST)
    is_inside, may_commit = threading.Event(), threading.Event()
    commit = PostgresLedger._commit

    def slow_commit(self: PostgresLedger, connection: object) -> None:
        if threading.current_thread().name.startswith("append"):
            is_inside.set()
            assert may_commit.wait(10.0)
        commit(self, connection)  # type: ignore[arg-type]

    monkeypatch.setattr(PostgresLedger, "_commit", slow_commit)
    with (
        ThreadPoolExecutor(1, "append") as writer,
        ThreadPoolExecutor(1, "claim") as claimer,
    ):
        appended = writer.submit(ledger.append, [0], [contract_event("a")], {0: 1})
        assert is_inside.wait(10.0)
        claimed = claimer.submit(ledger.claim, "t", [0], SECOND)
        time.sleep(0.2)
        assert not claimed.done()
        may_commit.set()
        assert appended.result(10.0) == [1]
        assert claimed.result(10.0)[0].epoch == 2
    assert ledger.tail(0).num_rows == 1, "the new owner's tail has what was acknowledged"
    with pytest.raises(StaleEpochError):
        ledger.append([0], [contract_event("b")], {0: 1})


def test_who_stands_still_inside_a_commit_does_not_hold_the_partition_for_ever(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = [s.replace(f"'{postgres_module.IDLE_TIMEOUT_S}s'", "'300ms'") for s in SESSION]
    monkeypatch.setattr(postgres_module, "_SESSION", tuple(quick))
    ledger = PostgresLedger(postgres_url)
    ledger.claim("t", [0], FIRST)
    with pytest.raises(LedgerError), ledger.writing() as db:
        ledger.append_within(db, [0], [contract_event("a")], {0: 1})
        assert ledger.claim("t", [0], SECOND)[0].epoch == 2
        db.execute("SELECT 1")
    assert ledger.tail(0).num_rows == 0
    ledger.close()


SESSION = postgres_module._SESSION


def test_what_is_locked_for_too_long_is_an_error(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = [s.replace(f"'{postgres_module.STATEMENT_TIMEOUT_S}s'", "'300ms'") for s in SESSION]
    monkeypatch.setattr(postgres_module, "_SESSION", tuple(quick))
    ledger = PostgresLedger(postgres_url)
    ledger.claim("t", [0], FIRST)
    with psycopg.connect(postgres_url) as other:
        other.execute("SELECT * FROM owners FOR UPDATE")
        with pytest.raises(LedgerError, match="holds the partition's row"):
            ledger.append([0], [contract_event("a")], {0: 1})
    assert ledger.append([0], [contract_event("a")], {0: 1}) == [1]
    ledger.close()


def test_connections_that_broke_while_idle_are_replaced(ledger: PostgresLedger) -> None:
    ledger.append([0], [contract_event("a")])
    _end_sessions(ledger)
    assert ledger.append([0], [contract_event("b")]) == [2]
    _end_sessions(ledger)
    assert ledger.tail(0).num_rows == 2


def test_a_connection_that_breaks_inside_a_transaction_commits_nothing(
    ledger: PostgresLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert = PostgresLedger.insert

    def breaking(self: PostgresLedger, *args: object) -> None:
        insert(self, *args)  # type: ignore[arg-type]
        _end_sessions(ledger)

    with monkeypatch.context() as broken:
        broken.setattr(PostgresLedger, "insert", breaking)
        with pytest.raises(LedgerError):
            ledger.append([0], [contract_event("a")])
    assert ledger.tail(0).num_rows == 0
    assert ledger.append([0], [contract_event("a")]) == [1]


@pytest.mark.parametrize("is_committed", [True, False])
def test_a_commit_whose_outcome_is_unknown_says_so_and_a_retry_is_safe(
    ledger: PostgresLedger, monkeypatch: pytest.MonkeyPatch, is_committed: bool
) -> None:
    ledger.claim("t", [0], FIRST)
    execute = psycopg.Connection.execute

    def lossy(self: psycopg.Connection, query: object, *args: object, **options: object) -> object:
        if query == "COMMIT":
            if is_committed:
                execute(self, "COMMIT")
            self.pgconn.finish()
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        return execute(self, query, *args, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as broken:
        broken.setattr(psycopg.Connection, "execute", lossy)
        with pytest.raises(LedgerError, match="whether it happened is unknown"):
            ledger.append([0], [contract_event("a")], {0: 1})
    retried = ledger.append([0], [contract_event("a")], {0: 1})
    assert retried == [DUPLICATE if is_committed else 1]
    assert ledger.tail(0)["event_id"].to_pylist() == ["a"]


def test_what_was_acknowledged_survives_a_power_failure_of_the_server() -> None:
    with postgres_server() as server:
        ledger = PostgresLedger(server.new_database())
        ledger.append([0], [contract_event("a")])
        server.kill()
        with pytest.raises(LedgerError):
            ledger.append([0], [contract_event("b")])
        server.start()
        assert ledger.append([0, 0], [contract_event("a"), contract_event("b")]) == [0, 2]
        ledger.close()


@pytest.mark.parametrize(
    ("code", "kind"),
    [("53100", LedgerFullError), ("XX001", LedgerCorruptError), ("23514", LedgerError)],
)
def test_errors_of_the_server_are_ours(
    ledger: PostgresLedger, postgres_url: str, code: str, kind: type[LedgerError]
) -> None:
    ledger.append([0], [contract_event("kept")])
    with psycopg.connect(postgres_url) as connection:
        connection.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{code}'; END $$"
        )
        connection.execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON events EXECUTE FUNCTION refuse()"
        )
    with pytest.raises(LedgerError) as caught:
        ledger.append([0], [contract_event("a")])
    assert type(caught.value) is kind
    assert ledger.tail(0)["event_id"].to_pylist() == ["kept"]
    with psycopg.connect(postgres_url) as connection:
        connection.execute("DROP TRIGGER refuse ON events")
    assert ledger.append([0], [contract_event("a")]) == [2]


def test_an_append_that_began_before_an_erasure_leaves_no_row_behind(
    ledger: PostgresLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.put_value(ERASURE_KEY, KEY, 0)
    insert = PostgresLedger.insert
    is_inside, may_go = threading.Event(), threading.Event()

    def slow(self: PostgresLedger, *args: object) -> None:
        is_inside.set()
        assert may_go.wait(10.0)
        insert(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(PostgresLedger, "insert", slow)
    with ThreadPoolExecutor(2) as threads:
        appended = threads.submit(ledger.append, [0], [contract_event("a")])
        assert is_inside.wait(10.0)
        name = erasure_pseudonym(KEY, "t", "u")
        erased = threads.submit(ledger.erase, "t", "u", name, 2e9)
        while len(ledger.tombstones("t")) == 0:
            time.sleep(0.01)
        may_go.set()
        assert appended.result(10.0) == [1]
        assert erased.result(10.0) == 1
    assert ledger.append([0], [contract_event("b")]) == [ERASED]
    assert ledger.tail(0).num_rows == 0


def test_a_text_with_a_null_character_does_not_stop_the_events_beside_it(
    ledger: PostgresLedger,
) -> None:
    batch = [contract_event("a")._replace(text="a\0b"), contract_event("b")]
    assert ledger.append([0, 0], batch) == [1, 2]
    assert ledger.tail(0)["text"].to_pylist() == ["a\ufffdb", "ö"]


def test_processes_that_take_a_partition_from_each_other_lose_nothing(postgres_url: str) -> None:
    PostgresLedger(postgres_url).close()
    race_for_a_partition(postgres_url)


def _append_many(url: str, offset: int) -> None:
    ledger = PostgresLedger(url)
    for k in range(20):
        names = [f"e{offset + (k * 5 + j) % 60}" for j in range(5)]
        ledger.append([1, 2, 1, 2, 1], [contract_event(n, user_id=f"u{n}") for n in names])
    ledger.close()


def test_processes_append_to_the_same_partitions_without_gaps(postgres_url: str) -> None:
    context = multiprocessing.get_context("spawn")
    PostgresLedger(postgres_url).close()
    writers = [context.Process(target=_append_many, args=(postgres_url, o)) for o in (0, 30)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    ledger = PostgresLedger(postgres_url)
    n_events = 0
    for partition in (1, 2):
        sequences = ledger.tail(partition)["ledger_seq"].to_pylist()
        assert sequences == list(range(1, len(sequences) + 1))
        n_events += len(sequences)
    assert n_events == 90
    ledger.close()


def _end_sessions(ledger: PostgresLedger) -> None:
    """As a server that is started anew does to its clients."""
    with psycopg.connect(**ledger._parameters) as connection:  # type: ignore[arg-type]
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def test_a_server_that_cannot_start_says_why(tmp_path: object) -> None:
    with (
        pytest.raises(RuntimeError, match=r"does not start[^$]*no_such_setting"),
        postgres_server(["no_such_setting=1"]),
    ):
        raise AssertionError("it started")
