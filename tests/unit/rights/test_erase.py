"""Erasing a user: afterwards nothing of theirs is found in any file, and all of the others' is."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from pipelines import erase
from recsys.encoder.cache import VectorCache, text_hash
from recsys.errors import DataError, RecsysError
from recsys.ledger import ERASED
from recsys.record import read_all
from recsys.rights import erasing, staged
from recsys.rights.receipts import is_genuine
from recsys.schema import DEFAULT_TENANT
from recsys.snapshot import load, named_files, read_meta
from tests.unit.rights.scanning import found_in
from tests.unit.rights.worlds import (
    NEIGHBOUR,
    NOW,
    ONLY_WORDS,
    PARTITION,
    RUN,
    SHARED_WORDS,
    WHO,
    World,
    _event,
    make_world,
)

ID_PLACES = {
    "archive", "ledger.db", "quarantine", "results", "snapshots", "training", "users",
    "R.parquet", "halflife",
}  # fmt: skip
WORD_PLACES = {"archive", "ledger.db", "quarantine", "training"}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(erase.time, "time", lambda: NOW)
    return make_world(tmp_path)


def places(world: World, needle: str) -> set[str]:
    """In which of the world's places something is found."""
    found = set()
    for path in found_in([world.folder], [needle])[needle]:
        parts = Path(path).relative_to(world.folder).parts
        name = parts[1] if parts[0] == "store" else parts[0]
        found.add("ledger.db" if name.startswith("ledger.db") else name)
    return found


def test_nothing_of_an_erased_user_is_found_in_any_file(world: World) -> None:
    """The same search before the erasure finds them everywhere."""
    assert places(world, WHO) == ID_PLACES
    assert places(world, ONLY_WORDS) == WORD_PLACES
    assert places(world, text_hash(ONLY_WORDS)) == {"vectors"}
    report = erase.run(world.job, WHO)
    assert report["left"] == []
    remainder = places(world, WHO)
    assert remainder == {"quarantine"}  # the id is part of another one there
    assert world.store.paths("quarantine") != []
    (path,) = world.store.paths("quarantine")
    assert world.store.read_table(path)["raw"].to_pylist() == [f'{{"who": "{WHO}x"}}']
    assert places(world, ONLY_WORDS) == set()
    assert places(world, text_hash(ONLY_WORDS)) == set()


def test_what_is_of_others_stays(world: World) -> None:
    before = read_all(world.archive, world.ledger, DEFAULT_TENANT)
    erase.run(world.job, WHO)
    after = read_all(world.archive, world.ledger, DEFAULT_TENANT)
    others = [row for row in before.to_pylist() if row["user_id"] != WHO]
    assert after.to_pylist() == others and len(others) == 4
    found = load(world.store, world.key, world.bundle.settings_within(world.job.settings))
    assert found is not None and found.table.user_ids == [NEIGHBOUR]
    assert found.position.erasures == world.ledger.erasure_version(DEFAULT_TENANT)
    meta = read_meta(world.store, world.key)
    assert meta is not None
    stored = set(world.store.paths(world.key.prefix)) - {world.key.pointer}
    assert stored == named_files(meta) and meta["previous"] == {}
    assert pq.read_table(world.output)["user_id"].to_pylist() == ["other-1"]
    kept = VectorCache(world.store, "encoder").hashes()
    assert kept == {text_hash(SHARED_WORDS), text_hash("an item")}
    run, _ = world.store.read_pointer(f"{RUN}/CURRENT")
    texts = world.store.read_table(run["plan"]["texts"], sha256=run["plan"]["texts_sha256"])
    assert texts["text"].to_pylist() == [SHARED_WORDS, staged.WIPED]
    (manifest,) = [world.archive.manifest()]
    assert manifest is not None and manifest.n_quarantined == 1 and manifest.retired == ()
    users = world.archive.users(manifest, DEFAULT_TENANT).to_pylist()
    assert [(u["user_id"], u["follows"]) for u in users] == [(NEIGHBOUR, ["other-1"])]


def test_late_events_are_refused_and_a_returned_user_is_taken(world: World) -> None:
    erase.run(world.job, WHO)
    late, fresh = _event("late", WHO, NOW - 1.0), _event("fresh", WHO, NOW + 1.0)
    assert world.ledger.append([PARTITION] * 2, [late, fresh])[0] == ERASED
    record = read_all(world.archive, world.ledger, DEFAULT_TENANT)
    assert record["event_id"].to_pylist().count("fresh") == 1


def test_an_old_archive_file_that_comes_back_is_not_read(world: World) -> None:
    """As from a backup of the store: readers go by the tombstones of the ledger."""
    old = world.archive.manifest()
    assert old is not None
    files = {f.path: world.store.read(f.path) for f in old.partition(PARTITION).files}
    erase.run(world.job, WHO)
    for path, data in files.items():
        world.store.write(path, data)
    world.archive.publish(lambda m: replace(m, partitions=old.partitions))
    record = read_all(world.archive, world.ledger, DEFAULT_TENANT)
    assert WHO not in record["user_id"].to_pylist() and len(record) == 4
    erase.run(world.job, WHO)
    assert "archive" not in places(world, WHO)


def test_an_event_that_is_dated_ahead_is_erased_too(world: World) -> None:
    world.ledger.append([PARTITION], [_event("ahead", WHO, NOW + 250.0)])
    report = erase.run(world.job, WHO)
    assert report["receipt"]["erased_until"] == NOW + 250.0
    assert "ledger.db" not in places(world, WHO)


STEPS = [
    "tombstone", "vectors", "training", "snapshots", "ledger", "archive", "quarantine", "outputs",
    "scratch",
]  # fmt: skip


@pytest.mark.parametrize("where", STEPS)
def test_an_erasure_cut_short_at_a_step_is_finished_by_the_next(
    world: World, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    whole = erasing.Erasing.steps

    def crash() -> None:
        raise KeyboardInterrupt

    def cut(self: erasing.Erasing) -> dict[str, Callable[[], None]]:
        return {
            name: crash if name == where else step for name, step in whole.__get__(self).items()
        }

    with monkeypatch.context() as patch:
        patch.setattr(erasing.Erasing, "steps", property(cut))
        with pytest.raises(KeyboardInterrupt):
            erase.run(world.job, WHO)
    erase.run(world.job, WHO)
    assert places(world, WHO) == {"quarantine"}
    assert places(world, ONLY_WORDS) == places(world, text_hash(ONLY_WORDS)) == set()


def test_the_steps_are_those_that_are_cut(world: World) -> None:
    who = erasing.Who(DEFAULT_TENANT, WHO, "ab" * 32, NOW)
    found = erasing.Erasing(world.archive, world.ledger, who, world.job.settings)
    assert list(found.steps) == STEPS


def test_again_changes_nothing(world: World) -> None:
    erase.run(world.job, WHO)
    before = {p: world.store.read(p) for p in world.store.paths("") if "ledger" not in p}
    report = erase.run(world.job, WHO)
    assert {p: world.store.read(p) for p in before} == before
    assert report["receipt"]["removed"] == {}


def test_a_receipt_is_verified_by_the_ledger_that_signed_it(world: World, tmp_path: Path) -> None:
    report = erase.run(world.job, WHO)
    receipt = report["receipt"]
    removed = {place: found["n_rows"] for place, found in receipt["removed"].items()}
    assert removed["ledger"] == 1 and removed["archive"] == 3 and removed["quarantine"] == 2
    assert WHO not in json.dumps(receipt) and any("weights" in line for line in receipt["stays"])
    file = tmp_path / "receipt.json"
    for content in (report, receipt):
        file.write_text(json.dumps(content))
        verdict = erase.verify(world.job, file, WHO)
        assert (verdict["is_genuine"], verdict["is_of_user"]) == (True, True)
    assert erase.verify(world.job, file, "somebody else")["is_of_user"] is False
    file.write_text(json.dumps({**receipt, "erased_until": NOW + 1e6}))
    assert not erase.verify(world.job, file)["is_genuine"]
    with pytest.raises(DataError):
        is_genuine("ab" * 32, {})


def test_what_cannot_be_rewritten_is_named(world: World) -> None:
    data = world.output.read_bytes()
    world.output.write_bytes(b"cut" + data)
    report = erase.run(world.job, WHO, ["/nowhere/else.parquet"])
    assert {(e["place"], e["path"]) for e in report["left"]} == {
        ("outputs", str(world.output)),
        ("outputs", "/nowhere/else.parquet"),
    }
    assert report["receipt"]["left"] == {"outputs": 2}


def test_the_command_erases_and_verifies(world: World, tmp_path: Path) -> None:
    runner, options = CliRunner(), ["--store", world.store.uri]
    settings = [f"--set=serving.spill_folder={world.folder}"]
    done = runner.invoke(erase.app, [*options, "--user", WHO, *settings])
    assert done.exit_code == 0, done.output
    (tmp_path / "r.json").write_text(done.stdout.splitlines()[-1])
    receipt = str(tmp_path / "r.json")
    assert runner.invoke(erase.app, [*options, "--verify", receipt, "--user", WHO]).exit_code == 0
    assert runner.invoke(erase.app, [*options, "--verify", receipt, "--user", "x"]).exit_code == 1
    nobody = runner.invoke(erase.app, options)
    assert isinstance(nobody.exception, RecsysError)
