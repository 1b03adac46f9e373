from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from recsys.archive import CURRENT, Archive, FileRef, Manifest, create_store, store_partitions
from recsys.errors import ChecksumError, ConfigError, ConflictError, NotFoundError
from recsys.schema import EVENTS
from recsys.store import Store


def events(*rows: tuple[str, str, int]) -> pa.Table:
    """Rows of (user, event id, time in seconds)."""
    return pa.Table.from_pylist(
        [
            {
                **dict.fromkeys(EVENTS.names),
                "tenant": "default",
                "event_id": name,
                "user_id": user,
                "item_id": "i",
                "kind": "click",
                "ts": ts * 1_000_000,
                "seq": 0,
                "ingested_at": 0,
            }
            for user, name, ts in rows
        ],
        schema=EVENTS,
    )


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    store = Store(str(tmp_path))
    create_store(store, 4)
    return Archive(store)


def test_a_store_keeps_its_number_of_partitions(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    with pytest.raises(NotFoundError, match=r"pipelines\.ingest"):
        store_partitions(store)
    create_store(store, 4)
    create_store(store, 4)
    assert store_partitions(store) == 4
    with pytest.raises(ConfigError, match=r"--set data\.n_partitions=4"):
        create_store(store, 8)


def test_a_store_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.swap_pointer("store.json", {"format_version": 9, "n_partitions": 4}, None)
    with pytest.raises(ConfigError, match="format 9"):
        store_partitions(store)


def test_files_are_sorted_and_described(archive: Archive) -> None:
    file = archive.write_events(1, events(("b", "1", 5), ("a", "2", 9), ("a", "3", 2)))
    assert (file.n_events, file.min_ts, file.max_ts) == (3, 2.0, 9.0)
    manifest = archive.publish(lambda m: m.with_events({1: [file]}, {1: 7}))
    assert archive.manifest() == manifest
    assert archive.read_partition(manifest, 1)["event_id"].to_pylist() == ["3", "2", "1"]
    assert archive.read_partition(manifest, 1, ["ts"]).column_names == ["ts"]
    assert archive.read_partition(manifest, 2).schema.equals(EVENTS)
    assert (manifest.watermark(1), manifest.watermark(2), manifest.data_until) == (7, 0, 9.0)


def test_a_manifest_survives_json(archive: Archive) -> None:
    file = archive.write_events(3, events(("b", "1", 5)))
    manifest = replace(
        Manifest(4).with_events({3: [file]}, {3: 2}),
        items={"default": FileRef("items/x", "00")},
        quarantine={"quarantine/x": 3},
        manifest_id="m",
    )
    assert Manifest.from_json(manifest.to_json(), "m") == manifest
    assert manifest.to_json()["n_quarantined"] == 3


def test_publishing_nothing_new_moves_nothing(archive: Archive) -> None:
    file = archive.write_events(1, events(("b", "1", 5)))
    first = archive.publish(lambda m: m.with_events({1: [file]}))
    again = archive.publish(lambda m: m.with_events({1: [file]}, {1: 0}))
    assert again.manifest_id == first.manifest_id
    assert len(archive.store.paths("archive/manifests")) == 1


def test_a_publish_that_loses_the_race_is_rebased(archive: Archive) -> None:
    mine = archive.write_events(1, events(("b", "1", 5)))
    theirs = archive.write_events(2, events(("c", "2", 6)))
    archive.publish(lambda m: m)
    raced = []

    def change(manifest: Manifest) -> Manifest:
        if not raced:
            raced.append(archive.publish(lambda m: m.with_events({2: [theirs]})))
        return manifest.with_events({1: [mine]})

    manifest = archive.publish(change)
    assert sorted(manifest.partitions) == [1, 2]
    assert manifest.parent == raced[0].manifest_id
    assert manifest.n_events == 2


def test_a_change_may_refuse_another_manifest(archive: Archive) -> None:
    def change(manifest: Manifest) -> Manifest:
        raise ConflictError("archive", "moved")

    with pytest.raises(ConflictError):
        archive.publish(change)
    assert archive.manifest() is None


def test_a_watermark_never_moves_back() -> None:
    manifest = Manifest(4).with_events({}, {1: 9})
    assert manifest.with_events({}, {1: 3}).watermark(1) == 9


def test_changed_bytes_are_found(archive: Archive, tmp_path: Path) -> None:
    file = archive.write_events(1, events(("b", "1", 5)))
    manifest = archive.publish(lambda m: m.with_events({1: [file]}))
    (tmp_path / file.path).write_bytes(b"PAR1 rotten PAR1")
    with pytest.raises(ChecksumError):
        archive.read_partition(manifest, 1)
    pointer, _ = archive.store.read_pointer(CURRENT)
    assert pointer is not None
    (tmp_path / pointer["manifest"]).write_bytes(b"{}")
    with pytest.raises(ChecksumError):
        archive.manifest()


def test_a_tenant_without_items_has_an_empty_catalog(archive: Archive) -> None:
    manifest = archive.publish(lambda m: m)
    assert archive.items(manifest, "default").num_rows == 0
    assert archive.users(manifest, "default").num_rows == 0


def test_a_manifest_is_read_again_only_where_it_is_another(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert archive.newer(None) is None
    ref = archive.store.write_table("items", events(("u", "e", 1)))
    first = archive.publish(lambda m: replace(m, items={"default": FileRef(ref[0], ref[1])}))
    assert archive.newer(None) == first == archive.newer("another")

    def refuse(*_: object) -> None:
        raise AssertionError("it is known")

    monkeypatch.setattr(archive, "_load", refuse)
    assert archive.newer(first.manifest_id) is None
