from __future__ import annotations

import pickle
from types import SimpleNamespace
from typing import Any

import pytest

from pipelines.tune_trials import Halving, Material, Until, Watch, run_trial
from recsys.catalog import Catalog
from recsys.errors import DataError, StoreError
from recsys.events import EventArrays
from recsys.settings import Settings
from recsys.training.search import CUT, DONE, FAILED, STOPPED, Trial


def material() -> Material:
    nothing: Any = object.__new__(EventArrays)
    catalog: Any = object.__new__(Catalog)
    return Material(nothing, catalog, None, Settings())


def ran(trainer: Any, values: dict[str, Any]) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = []
    run_trial({"values": values}, material(), trainer, said.append)
    return said


def tune_trial(number: int) -> Any:
    return SimpleNamespace(trial_id=f"t{number}", config={"number": number, "values": {}})


def test_a_trial_trains_its_own_settings_and_reports_the_best_so_far() -> None:
    seen = []

    def trainer(found: Material, settings: Settings, on_epoch: Any) -> None:
        seen.append(settings.train.dropout)
        for epoch, ndcg in enumerate((0.2, 0.1), 1):
            assert not on_epoch({"epoch": epoch, "loss": 1.0, "ndcg": ndcg})

    said = ran(trainer, {"train.dropout": 0.4})
    assert seen == [0.4]
    assert [(x["epoch"], x["best_ndcg"]) for x in said] == [(1, 0.2), (2, 0.2), (2, 0.2)]
    assert [x.get("ndcg") for x in said] == [0.2, 0.1, None]
    assert said[-1]["problem"] == ""


def test_a_trial_that_cannot_train_says_why() -> None:
    def diverges(*_: Any) -> None:
        raise DataError("training", "diverged")

    assert ran(diverges, {})[-1]["problem"] == "training: diverged"
    assert "too few questions" in ran(lambda *_: None, {})[-1]["problem"]


def test_the_watch_keeps_what_is_over_and_not_what_was_cut() -> None:
    kept: list[Trial] = []
    watch = Watch(kept.append)
    for number in range(4):
        watch.on_trial_start(trial=tune_trial(number))
        result = {"epoch": 1, "ndcg": 0.1, "best_ndcg": 0.1}
        watch.on_trial_result(trial=tune_trial(number), result=result)
    watch.on_trial_result(trial=tune_trial(0), result={"epoch": 1, "problem": ""})
    watch.on_trial_result(trial=tune_trial(1), result={"epoch": 1, "problem": "diverged"})
    watch.stopped(2)
    for number in range(4):
        watch.on_trial_complete(trial=tune_trial(number))
    assert [trial.state for trial in kept] == [DONE, FAILED, STOPPED]
    assert watch.trials[3].state == CUT
    assert {trial.curve for trial in watch.trials.values()} == {(0.1,)}


def test_a_trial_whose_worker_was_lost_begins_its_curve_anew() -> None:
    watch = Watch(lambda _: None)
    for curve in ((0.3,), (0.1, 0.2)):
        watch.on_trial_start(trial=tune_trial(0))
        for epoch, ndcg in enumerate(curve, 1):
            watch.on_trial_result(trial=tune_trial(0), result={"epoch": epoch, "ndcg": ndcg})
    assert watch.trials[0].curve == (0.1, 0.2)


def test_a_process_that_fails_for_good_is_a_failed_trial() -> None:
    kept: list[Trial] = []
    watch = Watch(kept.append)
    watch.on_trial_start(trial=tune_trial(0))
    watch.on_trial_error(trial=tune_trial(0))
    assert [trial.state for trial in kept] == [FAILED]


def test_a_new_trial_is_held_against_those_of_the_interrupted_search() -> None:
    past = [Trial(n, {}, (0.5, 0.5, 0.5), DONE) for n in range(3)]
    for trials, expected in ((past, [2]), ([], [])):
        stopped: list[int] = []
        scheduler = Halving(9, trials, stopped.append)
        weak = tune_trial(2)
        scheduler.on_trial_add(None, weak)
        for epoch in (1, 2, 3):
            result = {"epoch": epoch, "best_ndcg": 0.1}
            action = scheduler.on_trial_result(None, weak, result)
        assert stopped == expected
        assert (action == scheduler.STOP) == (expected == [2])


def test_the_time_of_a_search_begins_with_its_first_trial() -> None:
    watch = Watch(lambda _: None)
    assert not Until(watch, 0.0).stop_all()
    watch.on_trial_start(trial=tune_trial(0))
    assert Until(watch, 0.0).stop_all()
    assert not Until(watch, 3_600.0).stop_all()
    assert not Until(watch, None).stop_all()


def test_a_trial_that_cannot_be_kept_ends_the_search() -> None:
    def fails(trial: Trial) -> None:
        raise StoreError("store", "is gone")

    watch = Watch(fails)
    watch.on_trial_start(trial=tune_trial(0))
    watch.stopped(0)
    watch.on_trial_complete(trial=tune_trial(0))
    assert isinstance(watch.failure, StoreError)
    assert Until(watch, None).stop_all()


@pytest.mark.parametrize("n_epochs", [1, 2, 24])
def test_a_trial_may_run_to_its_last_epoch(n_epochs: int) -> None:
    scheduler = Halving(n_epochs, [], lambda _: None)
    scheduler.on_trial_add(None, tune_trial(0))
    for epoch in range(1, n_epochs + 1):
        result = {"epoch": epoch, "best_ndcg": 0.1}
        assert scheduler.on_trial_result(None, tune_trial(0), result) == scheduler.CONTINUE


def test_what_tune_pickles_of_a_search_needs_no_display() -> None:
    watch = Watch(lambda _: None)
    assert pickle.loads(pickle.dumps(Halving(3, [], watch.stopped))) is not None
