from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipelines import bootstrap, train
from pipelines.encode import EncoderSource
from pipelines.job import Job
from pipelines.train import Options
from pipelines.train_run import Run
from recsys.bundle import load_bundle
from recsys.bundle_manifest import current_bundle_id
from recsys.encoder.text import TextEncoder
from recsys.encoder.weights import encoder_files
from recsys.errors import ConfigError, DataError, UnavailableError
from recsys.readiness import n_snapshots
from recsys.schema import EVENTS
from tests.integration.past_logs import (
    N_PARTITIONS,
    at_share,
    new_job,
    put_events,
    put_items,
    small_world,
)
from tests.integration.train_runs import SMALL, Killer, small_job, with_settings

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("cluster")]


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    return small_job(tmp_path_factory.mktemp("train") / "job")


@pytest.fixture(scope="module")
def told(job: Job, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """The job, whose runs are told to MLflow."""
    uri = (tmp_path_factory.mktemp("mlflow") / "mlruns").as_uri()
    return with_settings(job, f"train.mlflow_uri={uri}")


@pytest.fixture(scope="module")
def report(told: Job, cluster: None) -> dict[str, Any]:
    """Of an undisturbed run on one worker."""
    return train.run(told)


def test_training_publishes_a_learned_bundle(job: Job, report: dict[str, Any]) -> None:
    bundle = load_bundle(job.store, "default")
    assert report["bundle_id"] == bundle.bundle_id == current_bundle_id(job.store, "default")
    assert bundle.is_learned
    assert bundle.settings.interest.half_lives_s != job.settings.interest.half_lives_s
    assert len(bundle.settings.interest.half_lives_s) == 3
    assert report["ndcg10"] > 0.1
    assert [figures["phase"] for figures in report["history"]].count("pilot") == 3
    assert report["history"][-1]["loss"] < report["history"][0]["loss"]
    assert report["n_starts"] == 1


def test_the_profiles_are_there_before_the_bundle_is_published(
    job: Job, report: dict[str, Any]
) -> None:
    promoted = report["promoted"]
    assert (promoted["was"], promoted["moved"]) == (None, True)
    assert promoted["profiles"]["exact"]
    assert promoted["bootstrap"]["n_events"] == report["n_events"] == len(small_world().events)
    assert n_snapshots(job.store, "default", report["bundle_id"]) == N_PARTITIONS


def test_a_bundle_whose_profiles_cannot_be_made_is_not_published_and_the_run_goes_on_from_there(
    tmp_path: Path, in_process: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = small_job(tmp_path / "job", "train.n_epochs=1", "train.pilot=false")
    served = train.run(job)["bundle_id"]

    def dies(*_: Any) -> Any:
        raise RuntimeError("the power went")

    other = with_settings(job, "train.seed=18")
    with monkeypatch.context() as patch:
        patch.setattr(bootstrap, "run", dies)
        with pytest.raises(RuntimeError, match="power"):
            train.run(other)
    assert current_bundle_id(job.store, "default") == served
    again = train.run(other)
    assert again["resumed"]
    assert again["promoted"]["was"] == served
    assert current_bundle_id(job.store, "default") == again["bundle_id"] != served


def test_a_budget_counts_from_the_commands_start_and_leaves_a_little_for_training(
    job: Job, in_process: None
) -> None:
    endless = ("train.n_epochs=1000", "train.patience=1000")
    late = with_settings(job, "train.budget_s=2", *endless)
    report = train.run(late, Options(name="late", publish=False, spent_s=1_000.0))
    assert report["stopped"] == "budget"
    assert 0.0 < report["train_s"] < 60.0
    assert report["total_steps"] > 0


def test_a_finished_run_keeps_its_figures_and_drops_its_rows(
    job: Job, report: dict[str, Any]
) -> None:
    run = Run(job.store, "default", "train")
    state = run.state()
    assert state is not None
    assert state["finished"]["bundle_id"] == report["bundle_id"]
    assert job.store.paths(f"{run.prefix}/rows") == job.store.paths(f"{run.prefix}/state") == []
    (events,) = job.store.paths(f"{run.prefix}/tensorboard")
    written = job.store.read(events)
    assert b"pilot-0/validation_ndcg10" in written
    assert b"refit/epoch_loss" in written


def test_a_whole_run_tells_mlflow_its_settings_and_every_figure(
    told: Job, report: dict[str, Any]
) -> None:
    import mlflow  # noqa: PLC0415 - an extra

    client = mlflow.MlflowClient(told.settings.train.mlflow_uri)
    (experiment,) = [e for e in client.search_experiments() if e.name == "halflife-default"]
    (kept,) = client.search_runs([experiment.experiment_id])
    assert (kept.info.run_name, kept.info.status) == ("train", "FINISHED")
    wanted = told.settings.train.model_dump(mode="json")
    assert kept.data.params == {name: str(value) for name, value in wanted.items()}

    def curve(name: str) -> list[tuple[int, float]]:
        return [(p.step, p.value) for p in client.get_metric_history(kept.info.run_id, name)]

    pilot = [figures for figures in report["history"] if figures["phase"] == "pilot"]
    refit = [figures for figures in report["history"] if figures["phase"] == "refit"]
    assert curve("pilot-0/validation_ndcg10") == [(f["epoch"], f["ndcg"]) for f in pilot]
    assert curve("pilot-0/epoch_loss") == [(f["epoch"], f["loss"]) for f in pilot]
    assert curve("refit/epoch_loss") == [(f["epoch"], f["loss"]) for f in refit]
    steps = [step for name in ("pilot-0/loss", "refit/loss") for step, _ in curve(name)]
    assert steps == list(range(2, report["total_steps"] + 1, 2))


def test_a_killed_worker_changes_nothing_but_the_time(job: Job, report: dict[str, Any]) -> None:
    step = int(np.random.default_rng().integers(5, report["total_steps"] - 10))
    with Killer(Run(job.store, "default", "killed"), [step]) as killer:
        again = train.run(job, Options(name="killed", publish=False))
    assert (len(killer.killed), again["n_starts"]) == (1, 2)
    assert again["ndcg10"] == pytest.approx(report["ndcg10"], abs=1e-4)
    here, there = (load_bundle(job.store, "default", r["bundle_id"]) for r in (again, report))
    np.testing.assert_allclose(here.vectors, there.vectors, atol=1e-4)


def test_a_killed_job_is_resumed_and_only_with_its_own_settings(
    job: Job, report: dict[str, Any], in_process: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = Options(name="job", publish=False)
    steps = 0

    def dies(*args: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps == 20:
            raise RuntimeError("the power went")
        return learn(*args)

    learn = train_worker_learner().step
    with monkeypatch.context() as patch:
        patch.setattr(train_worker_learner(), "step", dies)
        with pytest.raises(RuntimeError, match="power"):
            train.run(job, options)
    with pytest.raises(ConfigError, match=r"train\.seed: 17 -> 18.*--fresh"):
        train.run(with_settings(job, "train.seed=18"), options)
    again = train.run(job, options)
    assert again["resumed"]
    assert again["total_steps"] == report["total_steps"]
    assert again["ndcg10"] == pytest.approx(report["ndcg10"], abs=1e-4)
    assert not train.run(job, replace(options, fresh=True))["resumed"]


def train_worker_learner() -> Any:
    from recsys.training.learner import Learner  # noqa: PLC0415

    return Learner


def test_an_error_of_ours_ends_a_run_and_is_named(job: Job) -> None:
    wild = with_settings(job, "train.learning_rate=1e30", "train.refit=false")
    with pytest.raises(DataError, match="diverged"):
        train.run(wild, Options(name="wild", publish=False))


@pytest.mark.parametrize("stage", ["lora", "full"])
def test_the_language_model_is_trained_and_goes_into_the_bundle(
    stage: str, job: Job, in_process: None
) -> None:
    tuned = with_settings(job, f"train.stage={stage}", "train.n_epochs=1", "train.refresh_every=5")
    report = train.run(tuned, Options(name=stage, publish=False))
    bundle = load_bundle(job.store, "default", report["bundle_id"])
    before = encoder_files(job.settings.encoder.model, job.settings.encoder)
    assert bundle.manifest["encoder"]["id"] != before.id
    texts = bundle.catalog.item_texts()
    encoder = EncoderSource(
        job.store,
        bundle.manifest["encoder"]["id"],
        bundle.settings.encoder,
        bundle.manifest["encoder"]["files"],
    ).load()
    read = bundle.projection.project(encoder.encode(texts[:5]))
    assert np.isfinite(read).all()
    old = TextEncoder(job.settings.encoder.model, job.settings.encoder).encode(texts[:5])
    assert np.abs(encoder.encode(texts[:5]) - old).max() > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_workers_train_the_language_model_together(
    parallel: str, job: Job, report: dict[str, Any]
) -> None:
    pair = with_settings(
        job,
        "train.min_workers=2",
        "train.max_workers=2",
        f"train.parallel={parallel}",
        "train.stage=full",
        "train.n_epochs=2",
        "train.refresh_every=5",
    )
    again = train.run(pair, Options(name=parallel, publish=False))
    assert again["history"][0]["loss"] == pytest.approx(report["history"][0]["loss"], rel=0.1)
    assert load_bundle(job.store, "default", again["bundle_id"]).is_learned


def test_nothing_from_until_on_is_known(job: Job, in_process: None) -> None:
    world = small_world()
    until = at_share(world.events, 0.5)
    report = train.run(job, Options(until=until, publish=False, name="past"))
    bundle = load_bundle(job.store, "default", report["bundle_id"])
    assert bundle.data_until < until
    assert report["n_events"] < 0.51 * len(world.events)
    assert report["promoted"] is None
    assert current_bundle_id(job.store, "default") != bundle.bundle_id
    assert n_snapshots(job.store, "default", bundle.bundle_id) == 0


def test_a_run_that_may_lose_no_worker_says_how_to_go_on(job: Job) -> None:
    strict = with_settings(job, "train.max_failures=0")
    with (
        Killer(Run(job.store, "default", "strict"), [10]),
        pytest.raises(UnavailableError, match="to resume"),
    ):
        train.run(strict, Options(name="strict", publish=False))


@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        (("train.min_workers=99", "train.max_workers=99"), "needs 99 CPUs"),
        (("train.use_gpu=true",), "needs 1 GPUs, one a worker, and this machine gives Ray 0"),
    ],
)
def test_more_than_this_machine_has_is_refused(
    wanted: tuple[str, ...], problem: str, job: Job, cluster: None
) -> None:
    with pytest.raises(ConfigError, match=problem):
        train.run(with_settings(job, *wanted), Options(name="crowd"))


def test_the_users_own_words_are_learned_from_and_served(
    tmp_path: Path, cluster: None, in_process: None
) -> None:
    world = small_world()
    job = new_job(tmp_path / "job", *SMALL, "train.pilot=false", "train.n_epochs=1")
    said = np.where(np.arange(len(world.events)) % 10 == 0, "red apple", None)
    said[::30] = "ghost house"
    named = pa.array(world.events["item_id"].to_pylist(), pa.string(), mask=said != None)  # noqa: E711
    kinds = np.where(said != None, "search", world.events["kind"].to_numpy())  # noqa: E711
    columns = {name: world.events[name] for name in EVENTS.names}
    columns.update(
        item_id=named, kind=pa.array(kinds.tolist()), text=pa.array(said.tolist(), pa.string())
    )
    put_items(job, world.items)
    put_events(job, pa.table(columns).cast(EVENTS))
    report = train.run(job)
    bundle = load_bundle(job.store, "default")
    assert bundle.model.reads_text and report["n_event_texts"] == 2
    folded = bootstrap.run(job)
    assert (folded["n_texts"], folded["n_pending"]) == (2, 0)
