from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from recsys.archive import CURRENT
from recsys.errors import ChecksumError, ConflictError, StoreError
from recsys.interest.profiles import ProfileTable
from recsys.settings import Settings
from recsys.snapshot import (
    TREND,
    Position,
    SnapshotKey,
    load,
    load_groups,
    read_meta,
    save,
    save_groups,
)
from recsys.store import Store
from recsys.trend import TrendState

KEY = SnapshotKey("default", "bundle-1", 7)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def group(value: float = 1.0) -> dict[str, dict[str, np.ndarray[Any, Any]]]:
    return {"state": {"mass": np.full((3, 2), value, np.float32)}}


def test_groups_come_back_with_the_place_in_the_record(store: Store) -> None:
    groups = {**group(), "trend": {"items": np.arange(4, dtype=np.int32)}}
    save_groups(store, KEY, groups, Position(12, "m1"))
    loaded = load_groups(store, KEY)
    assert loaded is not None
    columns, meta = loaded
    assert set(columns) == {"state", "trend"}
    np.testing.assert_array_equal(columns["trend"]["items"], np.arange(4))
    assert (meta["ledger_seq"], meta["archive_manifest"], meta["bundle_id"]) == (
        12,
        "m1",
        "bundle-1",
    )


def test_a_partition_without_a_snapshot_is_none(store: Store) -> None:
    assert load_groups(store, KEY) is None
    assert read_meta(store, KEY) is None


def test_damaged_bytes_are_noticed(store: Store) -> None:
    meta = save_groups(store, KEY, group(), Position(1))
    path = meta["files"]["state"]["path"]
    data = bytearray(store.read(path))
    data[len(data) // 2] ^= 1
    store.write(path, bytes(data))
    with pytest.raises(ChecksumError):
        load_groups(store, KEY)


def test_a_snapshot_never_goes_back_in_the_ledger(store: Store) -> None:
    save_groups(store, KEY, group(), Position(5, "m1"))
    with pytest.raises(ConflictError, match="newer"):
        save_groups(store, KEY, group(2.0), Position(4, "m1"), rebase=True)


def test_an_owner_does_not_overwrite_what_bootstrap_folded_from_a_newer_archive(
    store: Store,
) -> None:
    save_groups(store, KEY, group(), Position(5, "m1"))
    save_groups(store, KEY, group(2.0), Position(5, "m2"), rebase=True)
    with pytest.raises(ConflictError, match="m2"):
        save_groups(store, KEY, group(3.0), Position(9, "m1"))


def test_only_two_generations_of_files_stay(store: Store) -> None:
    for value in range(5):
        save_groups(store, KEY, group(float(value)), Position(value))
    files = [path for path in store.paths(KEY.prefix) if path.endswith(".arrow")]
    assert len(files) == 2
    loaded = load_groups(store, KEY)
    assert loaded is not None
    assert loaded[0]["state"]["mass"][0, 0] == 4.0


def test_the_same_snapshot_twice_keeps_its_files(store: Store) -> None:
    for _ in range(4):
        save_groups(store, KEY, group(), Position(3))
    assert load_groups(store, KEY) is not None


def test_a_reader_that_is_overtaken_reads_the_newer_snapshot(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_groups(store, KEY, group(1.0), Position(1))
    original = store.mapped
    overtaken = False

    def read(path: str, sha256: str | None = None) -> pa.Buffer:
        nonlocal overtaken
        if not overtaken:
            overtaken = True
            save_groups(store, KEY, group(2.0), Position(2))
            save_groups(store, KEY, group(3.0), Position(3))
        return original(path, sha256)

    monkeypatch.setattr(store, "mapped", read)
    loaded = load_groups(store, KEY)
    assert loaded is not None
    assert loaded[1]["ledger_seq"] == 3


def test_a_crash_before_the_pointer_moves_leaves_the_old_snapshot(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_groups(store, KEY, group(1.0), Position(1))

    def crash(*_: Any) -> None:
        raise StoreError("disk", "is gone")

    with monkeypatch.context() as patch:
        patch.setattr(store, "swap_pointer", crash)
        with pytest.raises(StoreError):
            save_groups(store, KEY, group(2.0), Position(2))
    loaded = load_groups(store, KEY)
    assert loaded is not None
    assert loaded[1]["ledger_seq"] == 1


def test_a_snapshot_of_a_later_format_is_refused(store: Store) -> None:
    save_groups(store, KEY, group(), Position(1))
    value, token = store.read_pointer(KEY.pointer)
    assert value is not None
    store.swap_pointer(KEY.pointer, {**value, "format_version": 99}, token)
    with pytest.raises(StoreError, match="format 99"):
        read_meta(store, KEY)


def test_a_fold_of_an_archive_that_was_replaced_meanwhile_does_not_go_back(store: Store) -> None:
    save_groups(store, KEY, group(), Position(5, "m2"))
    store.swap_pointer(CURRENT, {"manifest": "archive/manifests/m2.json"}, None)
    with pytest.raises(ConflictError, match="m1, which was replaced"):
        save_groups(store, KEY, group(2.0), Position(9, "m1"), rebase=True)
    save_groups(store, KEY, group(3.0), Position(9, "m2"), rebase=True)


def test_a_column_group_that_is_unknown_goes_on_with_the_profiles(store: Store) -> None:
    settings = Settings()
    table = ProfileTable(4, settings.interest, settings.data.kinds)
    table.rows(["a", "b"], create=True)
    trend = TrendState(settings.trend.half_lives_s)
    fatigue = {"user_id": np.array(["b"], object), "times": np.arange(3.0).reshape(1, 3)}
    save_groups(
        store, KEY, {**table.columns(), TREND: trend.columns(), "fatigue": fatigue}, Position(1)
    )
    loaded = load(store, KEY, settings)
    assert loaded is not None
    loaded.table.rows(["c"], create=True)
    save(store, KEY, loaded.table, loaded.trend, Position(2))
    groups, meta = load_groups(store, KEY) or ({}, {})
    assert meta["n_users"] == 3 and meta["ledger_seq"] == 2
    assert groups["fatigue"]["user_id"].tolist() == ["b"]
    np.testing.assert_array_equal(groups["fatigue"]["times"], fatigue["times"])


def test_a_flipped_byte_is_found_by_either_checksum(store: Store) -> None:
    meta = save_groups(store, KEY, group(1.0), Position(1))
    ((_, file),) = meta["files"].items()
    data = bytearray(store.read(file["path"]))
    data[len(data) // 2] ^= 1
    store.write(file["path"], bytes(data))
    with pytest.raises(ChecksumError):
        load_groups(store, KEY)
    value, token = store.read_pointer(KEY.pointer)
    assert value is not None
    for old in value["files"].values():
        del old["xxh3_128"]  # as an earlier version wrote it
    store.swap_pointer(KEY.pointer, value, token)
    with pytest.raises(ChecksumError, match="sha256"):
        load_groups(store, KEY)


def test_a_torn_snapshot_is_passed_over_for_the_one_before_it(store: Store) -> None:
    save_groups(store, KEY, group(1.0), Position(3))
    newest = save_groups(store, KEY, group(2.0), Position(5))
    for file in newest["files"].values():
        path = Path(store.uri) / file["path"]
        path.write_bytes(path.read_bytes()[:-4] + b"torn")
    loaded = load_groups(store, KEY)
    assert loaded is not None
    groups, meta = loaded
    assert meta["ledger_seq"] == 3
    np.testing.assert_array_equal(groups["state"]["mass"], group(1.0)["state"]["mass"])


def test_the_one_before_is_not_taken_where_it_lacks_what_was_ingested(store: Store) -> None:
    save_groups(store, KEY, group(1.0), Position(3, "old-archive"))
    newest = save_groups(store, KEY, group(2.0), Position(3, "new-archive"), rebase=True)
    for file in newest["files"].values():
        (Path(store.uri) / file["path"]).write_bytes(b"torn")
    with pytest.raises(ChecksumError):
        load_groups(store, KEY)
