from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from pipelines.train_display import MLflow, check_mlflow, scalars
from pipelines.train_run import Run
from recsys.errors import ConfigError
from recsys.store import Store
from recsys.training.options import TrainSettings

FIGURES: dict[str, Any] = {
    "phase": "pilot-0",
    "total_steps": 40,
    "points": [(20, 3.5), (40, 3.25)],
    "seconds": 2.0,
    "events": 500,
    "ends": [{"phase": "pilot-0", "epoch": 1, "loss": 3.4, "ndcg": 0.125}],
}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(Store(str(tmp_path / "store")), "shop", "nightly")


@pytest.fixture
def uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A tracking store in a folder: what a server keeps, without a server."""
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)  # the sink sees to it
    return (tmp_path / "mlruns").as_uri()


def test_a_report_becomes_curves_over_steps_and_over_epochs() -> None:
    assert list(scalars(FIGURES)) == [
        ("pilot-0/loss", 20, 3.5),
        ("pilot-0/loss", 40, 3.25),
        ("pilot-0/events_per_s", 40, 250.0),
        ("pilot-0/epoch_loss", 1, 3.4),
        ("pilot-0/validation_ndcg10", 1, 0.125),
    ]


def test_mlflow_gets_the_settings_and_every_figure_at_its_step(run: Run, uri: str) -> None:
    sink = MLflow(uri, run, TrainSettings(seed=7, stale_shares=(0.0, 0.5)))
    sink.write(FIGURES)
    sink.write({**FIGURES, "points": [(60, 3.0)], "ends": [], "events": 0})
    sink.close()
    (kept,) = runs_of(uri)
    assert (kept.info.run_name, kept.info.status) == ("nightly", "FINISHED")
    assert (kept.data.params["seed"], kept.data.params["stale_shares"]) == ("7", "[0.0, 0.5]")
    assert curve(uri, kept, "pilot-0/loss") == [(20, 3.5), (40, 3.25), (60, 3.0)]
    assert curve(uri, kept, "pilot-0/validation_ndcg10") == [(1, 0.125)]


def test_a_server_that_goes_away_costs_its_figures_and_nothing_else(
    run: Run, uri: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow  # noqa: PLC0415

    sink = MLflow(uri, run, TrainSettings())

    def away(*_: Any, **__: Any) -> None:
        raise mlflow.MlflowException("nobody answers")

    monkeypatch.setattr(mlflow.MlflowClient, "log_batch", away)
    sink.write(FIGURES)
    sink.write(FIGURES)
    sink.close()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "nobody answers" in caplog.text


def test_a_place_that_is_no_tracking_server_is_a_named_error(run: Run, uri: str) -> None:
    with pytest.raises(ConfigError, match=r"train\.mlflow_uri = ftp://nowhere: cannot be used"):
        MLflow("ftp://nowhere", run, TrainSettings())


def test_mlflow_is_asked_for_by_the_name_of_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"halflife\[mlflow\]"):
        check_mlflow(TrainSettings(mlflow_uri="http://localhost:1"))
    check_mlflow(TrainSettings())


def runs_of(uri: str) -> list[Any]:
    import mlflow  # noqa: PLC0415

    client = mlflow.MlflowClient(uri)
    (found,) = [e for e in client.search_experiments() if e.name == "halflife-shop"]
    return list(client.search_runs([found.experiment_id]))


def curve(uri: str, kept: Any, name: str) -> list[tuple[int, float]]:
    import mlflow  # noqa: PLC0415

    history = mlflow.MlflowClient(uri).get_metric_history(kept.info.run_id, name)
    return [(point.step, point.value) for point in history]
