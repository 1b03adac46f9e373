"""Whoever leaves memory is not lost: a table that evicts equals one that never does."""

from __future__ import annotations

import gc
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.errors import ChecksumError
from recsys.interest.model import FoldBatch, ItemTable
from recsys.interest.profiles import ProfileTable
from recsys.interest.spill import SpillFile
from recsys.interest.storage import Storage
from recsys.interest.waiting import WaitingEvent
from recsys.interest.zero_shot import ZeroShot
from recsys.ranking import default_weights
from recsys.settings import DataSettings, InterestSettings, TrendSettings

INTEREST = InterestSettings(n_recent=4)
KINDS = DataSettings().kinds
D, N, N_USERS = 4, 60, 10
DAY = 86_400.0
MODEL = ZeroShot(INTEREST, default_weights(INTEREST, TrendSettings()))
ITEMS = ItemTable.all_warm(np.random.default_rng(1).normal(size=(N, D)).astype("f4") / 4.0)


def new_table(storage: Storage) -> ProfileTable:
    return ProfileTable(D, INTEREST, KINDS, storage=storage)


def fold(table: ProfileTable, users: list[int], times: list[float]) -> None:
    n = len(users)
    rng = np.random.default_rng(n + int(sum(times)))
    names = np.array(["click", "dislike", "rating", "impression"], object)
    batch = FoldBatch(
        rng.integers(-1, N, n).astype(np.int32),
        1.7e9 + np.array(times, np.float64),
        names[rng.integers(0, 4, n)],
        rng.integers(1, 6, n).astype(float),
    )
    rows = table.rows([name_of(u) for u in users], create=True)
    table.fold(rows, batch, MODEL, ITEMS)
    table.trim()


def name_of(user: int) -> str:
    return f"user {user}" * (1 + user % 3)


def told(table: ProfileTable, user: int) -> Any:
    """All that a read of a user says."""
    rows = table.rows([name_of(user)])
    did = table.histories(rows)
    return (*table.banks(rows), *(part.copy() for part in did))


def assert_same(table: ProfileTable, other: ProfileTable) -> None:
    for user in range(N_USERS):
        for a, b in zip(told(table, user), told(other, user), strict=True):
            np.testing.assert_array_equal(a, b)
        table.trim()


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.lists(st.integers(0, N_USERS - 1), min_size=1, max_size=8),
            st.integers(0, 40),
        ),
        st.integers(0, N_USERS - 1),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(STEPS, st.integers(1, 5), st.one_of(st.none(), st.just(5.0)), st.booleans())
def test_any_sequence_of_folds_and_reads_equals_a_table_that_never_evicts(
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[Any],
    max_users: int,
    ttl_days: float | None,
    is_half: bool,
) -> None:
    spill = tmp_path_factory.mktemp("spill") / "p.spill"
    ttl_s = None if ttl_days is None else ttl_days * DAY
    whole = new_table(Storage("float16" if is_half else "float32"))
    small = new_table(Storage(whole.storage.dtype, 0, spill, max_users, ttl_s))
    for step in steps:
        if isinstance(step, int):
            for a, b in zip(told(small, step), told(whole, step), strict=True):
                np.testing.assert_array_equal(a, b)
            small.trim()
        else:
            users, day = step
            times = [day * DAY + n for n in range(len(users))]
            for table in (whole, small):
                fold(table, users, times)
        assert len(small) <= max_users
    assert small.n_users == len(whole)
    copies = [ProfileTable.from_columns(t.columns(), INTEREST, KINDS) for t in (small, whole)]
    assert_same(small, whole)
    if not is_half:
        assert_same(*copies)


def test_the_least_recently_active_leave_first(tmp_path: Path) -> None:
    table = new_table(Storage(spill=tmp_path / "p", max_users=3))
    for user in (1, 2, 3):
        fold(table, [user], [float(user)])
    told(table, 1)  # a read is activity
    fold(table, [4], [4.0])
    assert set(table.user_ids) == {name_of(user) for user in (1, 3, 4)}
    assert table.n_users == 4


def test_who_is_away_for_long_leaves_by_the_time_of_events(tmp_path: Path) -> None:
    table = new_table(Storage(spill=tmp_path / "p", ttl_s=10 * DAY))
    fold(table, [1, 2], [0.0, 5 * DAY])
    assert len(table) == 2
    fold(table, [3], [12 * DAY])
    assert table.user_ids == [name_of(3), name_of(2)]
    fold(table, [1], [13 * DAY])  # and comes back with all there was
    assert table.n_events[table.rows([name_of(1)])[0]] >= 1


def test_without_limits_nobody_leaves_and_there_is_no_file(tmp_path: Path) -> None:
    table = new_table(Storage(spill=tmp_path / "p"))
    fold(table, list(range(N_USERS)), [float(u) for u in range(N_USERS)])
    assert table.trim() == 0
    assert not (tmp_path / "p").exists()


def test_a_user_with_events_that_wait_stays_and_is_followed(tmp_path: Path) -> None:
    table = new_table(Storage(spill=tmp_path / "p", max_users=2))
    rows = table.rows([name_of(n) for n in range(4)], create=True)
    table.waiting.add(WaitingEvent(int(rows[3]), -1, 1.7e9, "search", float("nan"), "space"))
    fold(table, [0, 1], [0.0, 1.0])
    (event,) = table.waiting
    assert table.user_ids[event.row] == name_of(3)
    assert len(table) == 2


def test_a_full_disk_keeps_everybody_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = new_table(Storage(spill=tmp_path / "p", max_users=2))
    other = new_table(Storage())
    fold(table, [0, 1, 2], [0.0, 1.0, 2.0])
    assert table.eviction.file is not None
    connection = table.eviction.file._file
    page = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {page}")  # as full as a disk can be
    for target in (table, other):
        if target is other:
            fold(other, [0, 1, 2], [0.0, 1.0, 2.0])
        fold(target, list(range(N_USERS)), [10.0 + u for u in range(N_USERS)])
    assert len(table) + table.eviction.n_evicted == N_USERS
    for user in range(N_USERS):
        for a, b in zip(told(table, user), told(other, user), strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_profile_that_the_disk_changed_is_refused(tmp_path: Path) -> None:
    file = SpillFile(tmp_path / "p")
    file.put([(b"a", b"what was"), (b"b", b"what is")])
    with sqlite3.connect(tmp_path / "p") as other:
        other.execute("UPDATE profiles SET data = ? WHERE user = ?", (b"what Was", b"a"))
    other.close()
    assert file.take([b"b", b"c"]) == [(b"b", b"what is")]
    with pytest.raises(ChecksumError, match="another profile"):
        file.take([b"a"])
    assert len(file) == 1


def test_a_spill_file_begins_empty_whatever_was_left_there(tmp_path: Path) -> None:
    first = SpillFile(tmp_path / "p")
    first.put([(b"a", b"1")])
    second = SpillFile(tmp_path / "p")
    assert len(second) == 0 and second.take([b"a"]) == []
    second.put([(bytes([n]), b"x") for n in range(5)])
    assert [len(part) for part in second.parts(2)] == [2, 2, 1]
    first.close()
    assert (tmp_path / "p").exists(), "it is the other's"
    del second
    assert not (tmp_path / "p").exists()


def test_a_table_takes_its_file_along_when_it_ends(tmp_path: Path) -> None:
    """At once: until the garbage is collected, somebody who was erased would be in the file."""
    table = new_table(Storage(spill=tmp_path / "p", max_users=1))
    fold(table, [1, 2], [1.0, 2.0])
    assert (tmp_path / "p").exists()
    gc.disable()
    try:
        del table
        assert not (tmp_path / "p").exists()
    finally:
        gc.enable()
