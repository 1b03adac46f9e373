import json
import logging
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
import typer

from pipelines.job import (
    finish,
    ledger_url,
    main,
    open_job,
    progress,
    ray_session,
    timed,
)
from recsys.errors import ConfigError, DataError
from recsys.store import Store


@pytest.fixture(autouse=True)
def root_logger_restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_job_takes_settings_from_file_environment_and_assignments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "s.yaml").write_text("serving: {max_k: 7}")
    monkeypatch.setenv("RECSYS__SERVING__PORT", "81")
    job = open_job(
        str(tmp_path / "store"), None, "t", str(tmp_path / "s.yaml"), ["serving.n_shards=3"]
    )
    serving = job.settings.serving
    assert (serving.max_k, serving.port, serving.n_shards, job.tenant) == (7, 81, 3, "t")
    assert job.ledger_url == f"sqlite:///{tmp_path}/store/ledger.db"
    assert pickle.loads(pickle.dumps(job)).store.uri == job.store.uri


def test_a_remote_store_needs_a_ledger() -> None:
    store = Store("memory:///")
    with pytest.raises(ConfigError, match="--ledger"):
        ledger_url(store, None)
    assert ledger_url(store, "sqlite:////x.db") == "sqlite:////x.db"


def test_the_report_is_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    finish({"b": 1, "a": Path("/x")})
    assert capsys.readouterr().out == '{"a": "/x", "b": 1}\n'
    finish({"text": "two\nlines"})
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_a_named_error_is_one_line_and_status_2(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = typer.Typer()

    @app.command()
    def fail() -> None:
        raise DataError("events.csv", "is empty [/oops]", "Give a log")

    monkeypatch.setattr("sys.argv", ["job"])
    with pytest.raises(SystemExit) as caught:
        main(app)
    assert caught.value.code == 2
    said = capsys.readouterr()
    assert "events.csv: is empty [/oops]. Give a log" in said.err
    assert said.out == ""


def test_stages_add_up() -> None:
    stages: dict[str, float] = {"fold": 1.0}
    with timed(stages, "fold"):
        pass
    with pytest.raises(ValueError, match="x"), timed(stages, "read"):
        raise ValueError("x")
    assert stages["fold"] >= 1.0
    assert stages["read"] >= 0.0


def test_a_bar_takes_any_number_of_steps() -> None:
    with progress("fold", total=10) as advance:
        advance(4)
        advance(6)
    with progress("count", total=None) as advance:
        advance(1)


def test_a_connected_ray_is_used_and_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "shutdown", lambda: pytest.fail("not ours to end"))
    with ray_session():
        pass


def test_a_submitted_job_joins_its_cluster_and_others_get_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda **options: calls.append(options))
    monkeypatch.setattr(ray, "shutdown", lambda: calls.append({}))
    monkeypatch.setattr(os, "environ", dict(os.environ))
    os.environ.pop("RAY_ADDRESS", None)
    with ray_session():
        pass
    os.environ["RAY_ADDRESS"] = "10.0.0.1:6379"
    with pytest.raises(ValueError, match="x"), ray_session():
        raise ValueError("x")
    own, ended, joined, left = calls
    assert own["address"] == "local"
    assert joined["address"] == "10.0.0.1:6379"
    assert "num_cpus" not in joined
    assert ended == left == {}


def test_the_report_is_valid_json_whatever_stands_in_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    finish({"ndcg10": 0.25, "none": None, "kinds": ("a", "b")})
    assert json.loads(capsys.readouterr().out) == {
        "ndcg10": 0.25,
        "none": None,
        "kinds": ["a", "b"],
    }
