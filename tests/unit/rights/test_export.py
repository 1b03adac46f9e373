"""Exporting a user: all that is held, and nothing of anybody else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from pipelines import erase, export
from recsys.basis import Basis
from recsys.folding import fold_partition, read_to_position
from recsys.schema import DEFAULT_TENANT
from tests.unit.rights.worlds import (
    NEIGHBOUR,
    NOW,
    ONLY_WORDS,
    PARTITION,
    WHO,
    World,
    _event,
    make_world,
)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(export.time, "time", lambda: NOW)
    return make_world(tmp_path)


def test_all_that_is_held_is_exported(world: World) -> None:
    found = export.run(world.job, WHO)
    assert sorted(e["event_id"] for e in found["events"]) == ["e0", "e2", "e3", "live"]
    assert [e["ts"] for e in found["events"]] == [NOW - 500, NOW - 300, NOW - 300, NOW - 100]
    assert {e["text"] for e in found["events"]} >= {ONLY_WORDS}
    assert found["attributes"]["attributes"] == {"city": "x"} and found["n_followers"] == 1
    assert [row["position"] for row in found["quarantine"]] == [1, 2]
    assert found["outputs"] == [
        {"path": str(world.output), "rows": [{"user_id": WHO, "item_id": "i1"}]}
    ]
    assert found["erased_until"] is None
    assert NEIGHBOUR not in json.dumps(found)


@pytest.mark.parametrize("is_later", [False, True])
def test_the_profile_is_that_of_a_fold_as_of_now(world: World, is_later: bool) -> None:
    """From the snapshot and what came after it."""
    if is_later:
        world.ledger.append([PARTITION], [_event("after", WHO, NOW - 5.0)])
    (profile,) = export.run(world.job, WHO)["profiles"]
    record, _ = read_to_position(world.archive, world.ledger, PARTITION, DEFAULT_TENANT)
    table, _ = fold_partition(record, Basis.of(world.bundle, world.job.settings))
    row = int(table.rows([WHO])[0])
    age = NOW - table.t_ref[row]
    lives = np.array(table.interest.half_lives_s)
    positive = [m for m in profile["interest"] if m["bank"] == "positive"]
    assert [m["half_life_s"] for m in positive] == lives.tolist()
    expected = table.mass[row] * 2.0 ** (-age / lives)
    np.testing.assert_allclose([m["mass"] for m in positive], expected, rtol=1e-5)
    assert profile["seen"] == ["i1"] and profile["recent"][0]["item_id"] == "i1"
    assert profile["latest_event"] == NOW - (5.0 if is_later else 500.0)


def test_of_an_erased_user_nothing_is_left_but_the_time(world: World) -> None:
    erase.run(world.job, WHO)
    found = export.run(world.job, WHO)
    assert found["erased_until"] >= NOW
    assert [found[name] for name in ("events", "quarantine", "outputs", "attributes")] == [
        [], [], [], None,
    ]  # fmt: skip
    assert [profile["is_known"] for profile in found["profiles"]] == [False]


def test_the_command_writes_a_file(world: World, tmp_path: Path) -> None:
    path = tmp_path / "who.json"
    options = ["--store", world.store.uri, "--user", WHO, "--output", str(path)]
    done = CliRunner().invoke(export.app, options)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout.splitlines()[-1])["n_events"] == 4
    assert len(json.loads(path.read_text())["events"]) == 4
