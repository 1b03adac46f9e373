"""Poison in the store."""

from __future__ import annotations

import os
import stat

import pytest

from recsys.ingestion.quarantine import QUARANTINE
from recsys.store import Store
from serving.stream.messages import Message, Place, Poison
from serving.stream.quarantine import Quarantine, as_table


def poison(partition: int, offset: int, value: bytes | None, reason: str = "bad_event") -> Poison:
    return Poison(Message(Place("clicks", partition), offset, value), reason)


def test_poison_is_kept_as_ingestion_keeps_bad_rows(store: Store) -> None:
    rows = [poison(0, 5, b"{"), poison(1, 9, None), poison(0, 8, b'"\xff"', "malformed_row")]
    Quarantine(store).keep(rows)
    (path,) = store.paths("quarantine")
    table = store.read_table(path)
    assert table.schema == QUARANTINE
    assert [tuple(row.values()) for row in table.to_pylist()] == [
        ("events", "bad_event", "kafka:clicks:0", 5, "{"),
        ("events", "malformed_row", "kafka:clicks:0", 8, '"\ufffd"'),
        ("events", "bad_event", "kafka:clicks:1", 9, ""),
    ]


def test_the_same_poison_again_changes_nothing(store: Store) -> None:
    for _ in range(3):
        Quarantine(store).keep([poison(0, 5, b"{")])
    assert len(store.paths("quarantine")) == 1


def test_no_poison_writes_nothing(store: Store) -> None:
    Quarantine(store).keep([])
    assert store.paths("quarantine") == []
    assert as_table([]).schema == QUARANTINE


def test_the_file_and_its_folders_are_on_disk_before_keep_returns(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced, fsync = [], os.fsync

    def note(handle: int) -> None:
        synced.append(os.fstat(handle))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", note)
    Quarantine(store).keep([poison(0, 5, b"{")])
    assert store.root is not None
    (path,) = store.paths("quarantine")
    wanted = [store.root / path, store.root / "quarantine", store.root]
    assert [s.st_ino for s in synced] == [place.stat().st_ino for place in wanted]
    assert [stat.S_ISREG(s.st_mode) for s in synced] == [True, False, False]
