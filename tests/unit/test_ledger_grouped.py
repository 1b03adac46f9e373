"""A ledger in several files: what breaks one stops its partitions only."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from recsys.errors import ConfigError, LedgerCorruptError, LedgerError, StaleEpochError
from recsys.ledger import ERASED, ERASURE_KEY, Ledger, Owner, erasure_pseudonym, open_ledger
from recsys.testing.ledger_contract import KEY, archived_ids, contract_event

OWNER = Owner("shard-0", "machine", "process-0", 3.0)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/l.db?groups=3"


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    """Six partitions, one event each, in epoch 1; partition p in file p % 3."""
    ledger = open_ledger(url)
    ledger.claim("t", range(6), OWNER)
    ledger.append(range(6), [contract_event(f"e{p}") for p in range(6)], dict.fromkeys(range(6), 1))
    yield ledger
    ledger.close()


def spoil(path: Path) -> bytes:
    """Make a file unsound, as a broken disk does; return what it was."""
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    sound = path.read_bytes()
    path.write_bytes(b"\xa5" * len(sound))
    return sound


def test_a_partition_stands_in_its_file(ledger: Ledger, tmp_path: Path) -> None:
    for number, name in enumerate(("l.db", "l-1.db", "l-2.db")):
        with sqlite3.connect(tmp_path / name) as db:
            rows = db.execute("SELECT DISTINCT partition FROM events ORDER BY 1").fetchall()
        db.close()
        assert rows == [(number,), (number + 3,)]


@pytest.mark.parametrize("other", ["", "?groups=2", "?groups=4", "?groups=1"])
def test_another_number_of_files_is_refused(ledger: Ledger, tmp_path: Path, other: str) -> None:
    with pytest.raises(ConfigError, match="groups=3"):
        open_ledger(f"sqlite:///{tmp_path}/l.db{other}")


def test_a_single_file_cannot_become_one_of_several(tmp_path: Path) -> None:
    single = open_ledger(f"sqlite:///{tmp_path}/l.db")
    single.append([5], [contract_event("a")])
    with pytest.raises(ConfigError, match="groups=1"):
        open_ledger(f"sqlite:///{tmp_path}/l.db?groups=2")


def test_files_that_changed_places_are_refused(url: str, ledger: Ledger, tmp_path: Path) -> None:
    ledger.close()
    (tmp_path / "l-1.db").rename(tmp_path / "x")
    (tmp_path / "l-2.db").rename(tmp_path / "l-1.db")
    (tmp_path / "x").rename(tmp_path / "l-2.db")
    with pytest.raises(ConfigError, match="is file 2 of 3"):
        open_ledger(url)


@pytest.mark.parametrize("groups", ["0", "-1", "x", "", "2&groups=3", "2&mode=ro"])
def test_a_senseless_number_of_files_is_refused(tmp_path: Path, groups: str) -> None:
    with pytest.raises(ConfigError, match="groups=8"):
        open_ledger(f"sqlite:///{tmp_path}/l.db?groups={groups}")


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_broken_file_stops_its_partitions_only(
    url: str, ledger: Ledger, tmp_path: Path, number: int
) -> None:
    ledger.close()
    path = tmp_path / ("l.db" if number == 0 else f"l-{number}.db")
    sound = spoil(path)
    again = open_ledger(url)
    epochs = dict.fromkeys(range(6), 1)
    for partition in range(6):
        if partition % 3 != number:
            assert len(again.tail(partition)) == 1
            event = contract_event(f"new{partition}")
            assert again.append([partition], [event], epochs) == [2]
            continue
        with pytest.raises(LedgerCorruptError) as caught:
            again.append([partition], [contract_event("x")], epochs)
        assert caught.value.partitions == (partition,)
        assert str(path) in str(caught.value) and "restore" in str(caught.value)
        assert "pipelines.bootstrap" in str(caught.value)
    sound_ones = {p: 1 for p in range(6) if p % 3 != number}
    assert again.epochs("t", range(6)) == sound_ones
    assert set(again.owners("t")) == set(sound_ones)
    path.write_bytes(sound)
    assert again.append([number], [contract_event("x")], epochs) == [2], "restored, it serves again"
    again.close()


def test_a_batch_over_a_broken_file_commits_nothing_of_the_sound_ones(
    url: str, ledger: Ledger, tmp_path: Path
) -> None:
    ledger.close()
    spoil(tmp_path / "l-1.db")
    again = open_ledger(url)
    batch = [contract_event(x) for x in ("x", "y", "z")]
    with pytest.raises(LedgerCorruptError) as caught:
        again.append([0, 1, 2], batch, dict.fromkeys(range(6), 1))
    assert caught.value.partitions == (1,)
    assert [len(again.tail(p)) for p in (0, 2)] == [1, 1]


def test_a_stale_partition_in_the_last_file_stops_the_first(ledger: Ledger) -> None:
    batch = [contract_event("x"), contract_event("y")]
    with pytest.raises(StaleEpochError) as caught:
        ledger.append([0, 2], batch, {0: 1, 2: 7})
    assert caught.value.partitions == (2,)
    assert len(ledger.tail(0)) == 1


def test_no_file_is_sound(url: str, ledger: Ledger, tmp_path: Path) -> None:
    ledger.close()
    for name in ("l.db", "l-1.db", "l-2.db"):
        spoil(tmp_path / name)
    with pytest.raises(LedgerError, match="is not sound"):
        open_ledger(url)


def test_a_file_that_is_made_anew_learns_values_and_tombstones(
    url: str, ledger: Ledger, tmp_path: Path
) -> None:
    ledger.put_value(ERASURE_KEY, KEY, 0)
    ledger.put_value("map", "one", 0)
    ledger.put_value("map", "two", 1)
    name = erasure_pseudonym(KEY, "t", "gone")
    ledger.erase("t", "gone", name, at=50.0)
    ledger.close()
    for path in tmp_path.glob("l.db*"):
        path.unlink()
    again = open_ledger(url)
    assert again.get_value("map") == ("two", 2)
    assert again.put_value("map", "three", 2)
    assert again.append([0], [contract_event("x", "gone", ts=50.0)]) == [ERASED]
    assert again.tombstones("t") == [(name, 50.0)]
    again.close()


def test_an_erasure_reaches_every_file_that_is_sound(
    url: str, ledger: Ledger, tmp_path: Path
) -> None:
    ledger.put_value(ERASURE_KEY, KEY, 0)
    ledger.register_archived([4], archived_ids("u", {"old": 1.0}))
    ledger.close()
    sound = spoil(tmp_path / "l-1.db")
    again = open_ledger(url)
    name = erasure_pseudonym(KEY, "t", "u")
    with pytest.raises(LedgerError, match="l-1"):
        again.erase("t", "u", name, at=2e9)
    assert [len(again.tail(p)) for p in (0, 2, 3, 5)] == [0] * 4
    (tmp_path / "l-1.db").write_bytes(sound)
    assert again.erase("t", "u", name, at=2e9) == 2
    again.close()
