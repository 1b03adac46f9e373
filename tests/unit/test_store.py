import os
import pickle
import threading
from pathlib import Path
from types import SimpleNamespace

import obstore
import pyarrow as pa
import pytest

from recsys.blobs import put_blob, read_blob
from recsys.errors import ChecksumError, ConflictError, NotFoundError, StoreError
from recsys.store import Store, digest


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store(str(tmp_path / "a store") if request.param == "local" else "memory:///")


def test_what_was_written_is_read(store: Store) -> None:
    store.write("a/b.bin", b"one")
    store.write("a/b.bin", b"two")
    assert store.read("a/b.bin") == b"two"
    assert store.exists("a/b.bin")
    assert not store.exists("a/c.bin")


def test_a_missing_file_is_named(store: Store) -> None:
    with pytest.raises(NotFoundError, match=r"a/c\.bin"):
        store.read("a/c.bin")


def test_changed_bytes_are_not_given_out(store: Store) -> None:
    store.write("a.bin", b"one")
    assert store.read("a.bin", digest(b"one")) == b"one"
    with pytest.raises(ChecksumError, match=r"a\.bin"):
        store.read("a.bin", digest(b"two"))


def test_equal_content_has_one_file(store: Store) -> None:
    path = store.put_content("blobs", b"one", ".bin")
    assert path == store.put_content("blobs/", b"one", ".bin")
    assert store.paths("blobs") == [path]
    assert store.put_content("blobs", b"two", ".bin") != path


def test_paths_are_sorted_and_below_their_prefix_only(store: Store) -> None:
    for path in ("p/b", "p/a/c", "q/a", "pp/a"):
        store.write(path, b"")
    assert store.paths("p") == ["p/a/c", "p/b"]
    assert store.paths("none") == []


def test_a_file_can_be_deleted_twice(store: Store) -> None:
    store.write("a", b"1")
    store.delete("a")
    store.delete("a")
    assert not store.exists("a")


def test_tables_keep_their_schema_and_checksum(store: Store) -> None:
    table = pa.table({"x": [1, 2], "y": ["a", None]}).replace_schema_metadata({"k": "v"})
    path, sha256, n_bytes = store.write_table("t", table)
    assert store.read_table(path, sha256=sha256).equals(table, check_metadata=True)
    assert store.read_table(path, ["y"]).column_names == ["y"]
    assert n_bytes == len(store.read(path))
    assert (path, sha256, n_bytes) == store.write_table("t", table)


def test_a_half_written_table_is_refused(store: Store) -> None:
    path, _, n_bytes = store.write_table("t", pa.table({"x": list(range(100))}))
    store.write("half.parquet", store.read(path)[: n_bytes // 2])
    store.write("empty.parquet", b"")
    for broken in ("half.parquet", "empty.parquet"):
        with pytest.raises(StoreError, match=broken):
            store.read_table(broken)


def test_a_column_that_a_table_lacks_is_named(store: Store) -> None:
    path, _, _ = store.write_table("t", pa.table({"x": [1]}))
    with pytest.raises(StoreError, match="nope"):
        store.read_table(path, ["x", "nope"])


def test_a_pointer_moves_only_from_where_it_was_read(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    assert store.read_pointer("p/CURRENT") == (None, None)
    store.swap_pointer("p/CURRENT", {"n": 1}, None)
    value, token = store.read_pointer("p/CURRENT")
    assert value == {"n": 1}
    store.swap_pointer("p/CURRENT", {"n": 2}, token)
    with pytest.raises(ConflictError):
        store.swap_pointer("p/CURRENT", {"n": 3}, token)
    with pytest.raises(ConflictError):
        store.swap_pointer("p/CURRENT", {"n": 3}, None)
    assert store.read_pointer("p/CURRENT")[0] == {"n": 2}


def test_a_pointer_that_vanished_is_a_conflict(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.swap_pointer("CURRENT", {"n": 1}, None)
    _, token = store.read_pointer("CURRENT")
    store.delete("CURRENT")
    with pytest.raises(ConflictError):
        store.swap_pointer("CURRENT", {"n": 2}, token)


def test_a_pointer_that_is_no_json_is_refused(store: Store) -> None:
    store.write("CURRENT", b"{half")
    with pytest.raises(ChecksumError):
        store.read_pointer("CURRENT")


def test_no_swap_is_lost_among_many_writers(tmp_path: Path) -> None:
    def count() -> None:
        mine, done = Store(str(tmp_path)), 0
        while done < 20:
            value, token = mine.read_pointer("n")
            try:
                mine.swap_pointer("n", {"n": (value or {"n": 0})["n"] + 1}, token)
                done += 1
            except ConflictError:
                continue

    writers = [threading.Thread(target=count) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert Store(str(tmp_path)).read_pointer("n")[0] == {"n": 80}


def test_a_pointers_lock_and_temporary_files_are_not_listed(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.swap_pointer("b/CURRENT", {"n": 1}, None)
    assert store.paths("b") == ["b/CURRENT"]
    assert (tmp_path / "b" / "CURRENT").stat().st_mode & 0o777 == 0o644


def test_a_store_pickles_by_its_uri(tmp_path: Path) -> None:
    store = Store(f"file://{tmp_path}/with%20space")
    store.write("a", b"1")
    copy = pickle.loads(pickle.dumps(store))
    assert copy.read("a") == b"1"
    assert copy.root == tmp_path / "with space"
    assert repr(copy) == f"Store('{tmp_path}/with space')"


def test_a_relative_path_means_the_same_after_a_change_of_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store("here")
    store.write("a", b"1")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert pickle.loads(pickle.dumps(store)).read("a") == b"1"


@pytest.mark.parametrize("uri", ["nope://bucket/x", "s3://"])
def test_a_place_that_cannot_be_opened_is_named(uri: str) -> None:
    with pytest.raises(StoreError, match=uri):
        Store(uri)


def test_a_store_in_the_place_of_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="file"):
        Store(str(tmp_path / "file")).write("a", b"")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_place_without_permission_is_an_error_of_the_store(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError):
        Store(str(tmp_path / "s")).write("a", b"")


def test_a_file_that_a_power_failure_cut_is_written_again(store: Store) -> None:
    path = store.put_content("blobs", b"whole", ".bin")
    store.write(path, b"")
    assert store.size(path) == 0
    assert store.put_content("blobs", b"whole", ".bin") == path
    assert store.read(path) == b"whole"
    entry = put_blob(store, "x.bin", b"blob")
    store.write(entry["path"], b"b")
    assert put_blob(store, "x.bin", b"blob") == entry
    assert read_blob(store, entry) == b"blob"


def test_a_pointer_is_held_against_all_that_names_its_version(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    meta = {"e_tag": "abc", "version": "17"}
    modes: list[object] = []
    found = SimpleNamespace(meta=meta, bytes=lambda: b"{}")
    monkeypatch.setattr(obstore, "get", lambda *_: found)
    monkeypatch.setattr(obstore, "put", lambda *_, mode: modes.append(mode))
    store = Store("memory:///")
    _, token = store.read_pointer("p")
    store.swap_pointer("p", {}, token)
    assert modes == [meta], "GCS asks for the version"
