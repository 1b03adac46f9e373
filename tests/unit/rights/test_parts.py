"""Parts of an erasure: who was erased, whose a quarantined row is, and what may be in use."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from recsys.archive import Archive, create_store
from recsys.ingestion.quarantine import quarantined
from recsys.ingestion.shuffle import put_quarantine
from recsys.ledger import ERASURE_KEY, erasure_pseudonym
from recsys.rights.archived import remove_orphans, without_erased
from recsys.rights.erasures import Erasures, erasures_of
from recsys.rights.quarantined import is_of, names, without
from recsys.rights.staged import SCRATCH_S, remove_scratch
from recsys.store import Store
from recsys.testing.fakes import tiny_log
from recsys.testing.memory_ledger import MemoryLedger

KEY = "ab" * 32
NOW = 1_700_000_000.0


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(str(tmp_path))
    create_store(store, 1)
    return store


def buried(user: str = "u", at: float = NOW) -> MemoryLedger:
    ledger = MemoryLedger()
    ledger.put_value(ERASURE_KEY, KEY, 0)
    ledger.bury("default", erasure_pseudonym(KEY, "default", user), at)
    return ledger


def log() -> pa.Table:
    return tiny_log([("u", "i", "click", NOW), ("u", "i", "click", NOW + 1), ("v", "i", "view", 1)])


def test_events_up_to_the_erasure_are_gone() -> None:
    erasures = erasures_of(buried(), "default")
    assert erasures.kept(log())["event_id"].to_pylist() == ["e1", "e2"]
    assert erasures.among(["v", "u"]) == ["u"]
    assert erasures.version == buried().erasure_version("default") == round(NOW * 1e6)


def test_another_tenants_user_is_another_one() -> None:
    elsewhere = log().set_column(0, log().schema.field(0), pa.array(["other"] * 3))
    assert len(erasures_of(buried(), "default").kept(elsewhere)) == 3
    assert len(erasures_of(buried(), "other").until) == 0


def test_where_nobody_was_erased_nothing_is_asked() -> None:
    assert erasures_of(None, "default") == erasures_of(MemoryLedger(), "default")
    table = log()
    assert Erasures("default").kept(table) is table


@pytest.mark.parametrize(
    ("raw", "is_theirs"),
    [
        ('{"who": "u-1", "x": 3}', True),
        ('{"deep": [{"er": "u-1"}]}', True),
        ('{"who": "u-12"}', False),
        ('{"u-1": "a key is no value"}', False),
        ('u-1,click,"broken', True),
        ("{'who': 'u-1'", True),
        ("u-12,click", False),
        ("xu-1", False),
    ],
)
def test_a_quarantined_row_is_theirs_by_a_value(raw: str, is_theirs: bool) -> None:
    assert names(raw, lambda value: value == "u-1") is is_theirs
    assert is_of(raw, "u-1") is is_theirs


@pytest.mark.parametrize("raw", ['{"who": 17}', '{"who": 17.0}', '{"who": "17"}'])
def test_a_number_is_an_id_too(raw: str) -> None:
    assert names(raw, lambda value: value == "17")


def test_bad_rows_of_an_erased_user_are_not_kept(store: Store) -> None:
    erasures = erasures_of(buried(), "default")
    bad = quarantined("events", "s", ["r"] * 2, [0, 1], ['{"a": "u"}', '{"a": "v"}'])
    rest = without(bad, lambda user: erasures.of(user) is not None)
    assert rest["position"].to_pylist() == [1]
    assert len(put_quarantine(store, rest)) == 1


def test_who_publishes_takes_out_who_was_erased_meanwhile(store: Store) -> None:
    archive = Archive(store)
    known = erasures_of(MemoryLedger(), "default")
    file = archive.write_events(0, log())
    archive.publish(lambda m: m.with_events({0: [file]}))
    manifest = without_erased(archive, buried(), known, {0: [file]})
    assert manifest is not None and manifest.n_events == 2
    assert not store.exists(file.path)
    assert without_erased(archive, buried(), erasures_of(buried(), "default"), {}) is None


def test_a_young_file_that_nobody_names_is_left_and_an_old_one_deleted(store: Store) -> None:
    archive, keep = Archive(store), erasures_of(buried(), "default").stays
    path = archive.write_events(0, log()).path
    written = store.modified(path)
    assert written is not None
    assert remove_orphans(archive, 0, keep, before=written - 1)[1] == [path]
    assert store.exists(path)
    removed, left = remove_orphans(archive, 0, keep, before=written + 1)
    assert (removed.n_files, left, store.exists(path)) == (1, [], False)


def test_scratch_of_a_running_ingest_is_left_until_it_is_old(store: Store) -> None:
    path, _, _ = store.write_table("scratch/ingest-1/ids", log())
    other, _, _ = store.write_table("scratch/ingest-1/ids", log().slice(2))
    written = store.modified(path) or 0.0
    removed, left = remove_scratch(store, "u", now=written + 1)
    assert (removed.n_files, left) == (0, [path])
    removed, left = remove_scratch(store, "u", now=written + SCRATCH_S + 60)
    assert (removed.n_files, left, store.exists(other)) == (2, [], False)
