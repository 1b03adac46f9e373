from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines import tune
from pipelines.job import Job
from pipelines.tune import Options
from pipelines.tune_record import Record
from pipelines.tune_trials import Trainer
from recsys.errors import ConfigError, ConflictError, DataError, StoreError
from recsys.settings import Settings, load
from recsys.training.search import Trial, with_values
from tests.integration.past_logs import at_share, new_job, put_events, put_items, small_world

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("cluster")]

WORLD = small_world()
SPACE = "train.dropout: {kind: uniform, low: 0.1, high: 0.9}\n"


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A store with a world; an epoch of ``fake`` is over at once."""
    assignments = ["train.n_epochs=4", "train.dropout=0.0", "model.use_text=false"]
    assignments.append("train.cpus_per_worker=8")  # one after another, in one process
    job = new_job(tmp_path / "made", *assignments)
    put_items(job, WORLD.items)
    put_events(job, WORLD.events)
    (tmp_path / "space.yaml").write_text(SPACE)
    return job


def fake(folder: Path, fails_at: float = 2.0) -> Trainer:
    """Trains nothing: the more dropout, the better. Leaves a file for every trial it ran."""

    def train(material: Any, settings: Settings, on_epoch: Any) -> None:
        dropout = settings.train.dropout
        (folder / f"ran-{dropout}").touch()
        if dropout >= fails_at:
            raise DataError("training", "diverged", "Lower train.learning_rate")
        for epoch in range(1, settings.train.n_epochs + 1):
            on_epoch({"epoch": epoch, "loss": 1.0, "ndcg": dropout * epoch / 10})

    return train


def options(tmp_path: Path, **changes: Any) -> Options:
    found = Options(n_trials=3, out=tmp_path / "best.yaml", space=tmp_path / "space.yaml")
    return replace(found, **changes)


def n_run(tmp_path: Path) -> int:
    return len(list(tmp_path.glob("ran-*")))


def test_the_best_settings_become_a_file_that_train_takes(job: Job, tmp_path: Path) -> None:
    report = tune.run(job, options(tmp_path), fake(tmp_path))
    best = report["best"]
    assert best["values"]["train.dropout"] == max(
        trial["values"].get("train.dropout", 0.0) for trial in report["trials"]
    )
    assert best["ndcg10"] == pytest.approx(best["values"]["train.dropout"] * 0.4)
    assert report["default_ndcg10"] == 0.0
    assert [trial["number"] for trial in report["trials"]] == [0, 1, 2]
    assert load(tmp_path / "best.yaml") == with_values(job.settings, best["values"])
    kept = job.store.read("tuning/default/tune/best.yaml").decode()
    assert kept == (tmp_path / "best.yaml").read_text()
    json.dumps(report)


def test_asking_again_runs_nothing_and_asking_for_more_runs_the_rest(
    job: Job, tmp_path: Path
) -> None:
    first = tune.run(job, options(tmp_path), fake(tmp_path))
    again = tune.run(job, options(tmp_path), fake(tmp_path))
    assert (n_run(tmp_path), again["resumed"]) == (3, True)
    assert again["trials"] == first["trials"]
    more = tune.run(job, options(tmp_path, n_trials=5), fake(tmp_path))
    assert more["trials"][:3] == first["trials"]
    assert (n_run(tmp_path), len(more["trials"])) == (5, 5)


def test_a_search_that_was_interrupted_goes_on_with_the_trials_that_are_not_over(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = Record.put

    def fails(self: Record, trial: Trial) -> None:
        put(self, trial)
        raise StoreError("store", "is gone")

    with monkeypatch.context() as patched:
        patched.setattr(Record, "put", fails)
        with pytest.raises(StoreError, match="is gone"):
            tune.run(job, options(tmp_path), fake(tmp_path))
    kept = Record(job.store, "default", "tune").trials()
    assert len(kept) == 1
    for file in tmp_path.glob("ran-*"):
        file.unlink()
    report = tune.run(job, options(tmp_path), fake(tmp_path))
    assert n_run(tmp_path) == 2
    assert kept[0].as_dict() in report["trials"]
    assert report["n_done"] + report["n_stopped"] == 3


def test_an_unfinished_search_refuses_other_settings_and_shows_them(
    job: Job, tmp_path: Path
) -> None:
    wanted = options(tmp_path)
    tune.run(job, replace(wanted, name="cut"), fake(tmp_path))
    record = Record(job.store, "default", "cut", "me")
    record.take_over()  # unfinished from here on
    train = job.settings.train.model_copy(update={"seed": 99})
    other = replace(job, settings=job.settings.model_copy(update={"train": train}))
    with pytest.raises(ConfigError, match=r"train\.seed: 17 -> 99"):
        tune.run(other, replace(wanted, name="cut"), fake(tmp_path))
    report = tune.run(other, replace(wanted, name="cut", fresh=True), fake(tmp_path))
    assert not report["resumed"]
    with pytest.raises(ConflictError, match="taken over"):
        record.put(Trial(7, {}))


def test_settings_that_cannot_be_trained_are_a_finding(job: Job, tmp_path: Path) -> None:
    report = tune.run(job, options(tmp_path, n_trials=4), fake(tmp_path, fails_at=0.3))
    assert report["n_failed"] > 0
    assert {t["problem"] for t in report["trials"] if t["state"] == "failed"} == {
        "training: diverged. Lower train.learning_rate"
    }
    assert report["best"]["values"].get("train.dropout", 0.0) < 0.3
    with pytest.raises(DataError, match="could train nothing: training: diverged"):
        tune.run(job, options(tmp_path, name="none"), fake(tmp_path, fails_at=0.0))


def test_what_is_behind_is_stopped_early(job: Job, tmp_path: Path) -> None:
    train = job.settings.train.model_copy(update={"n_epochs": 30})
    longer = replace(job, settings=job.settings.model_copy(update={"train": train}))
    report = tune.run(longer, options(tmp_path, n_trials=6), fake(tmp_path))
    lengths = {trial["state"]: len(trial["curve"]) for trial in report["trials"]}
    assert report["n_stopped"] > 0
    assert lengths["stopped"] < 30
    assert lengths["done"] == 30


def test_nothing_from_until_on_is_read(job: Job, tmp_path: Path) -> None:
    until = at_share(WORLD.events, 0.5)
    report = tune.run(job, options(tmp_path, n_trials=1, until=until), fake(tmp_path))
    assert report["n_events"] == pytest.approx(len(WORLD.events) / 2, abs=2)
    assert report["until"] == until


def test_a_stage_that_trains_the_language_model_is_refused(job: Job, tmp_path: Path) -> None:
    train = job.settings.train.model_copy(update={"stage": "lora"})
    lora = replace(job, settings=job.settings.model_copy(update={"train": train}))
    with pytest.raises(ConfigError, match=r"train\.stage = lora"):
        tune.run(lora, options(tmp_path), fake(tmp_path))


def test_the_plain_training_loop_is_searched(tmp_path: Path) -> None:
    job = new_job(tmp_path / "real", "train.n_epochs=2", "train.batch_events=512")
    put_items(job, WORLD.items)
    put_events(job, WORLD.events)
    (tmp_path / "space.yaml").write_text(SPACE)
    report = tune.run(job, options(tmp_path, n_trials=2))
    assert [len(trial["curve"]) for trial in report["trials"]] == [2, 2]
    assert report["best"]["ndcg10"] > 0.05
    assert report["best"]["ndcg10"] >= report["default_ndcg10"]
    assert load(tmp_path / "best.yaml").train.n_epochs == 2
