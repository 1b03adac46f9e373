from __future__ import annotations

import json
from dataclasses import replace

import pytest

from pipelines.train_phases import (
    DONE,
    LEAST_S,
    PILOT,
    REFIT,
    EpochEnd,
    Progress,
    Sizes,
    advice,
    after_epoch,
    first,
    training_budget,
)
from recsys.training.options import TrainSettings

SIZES = Sizes(pilot_events=850, events=1_000)


def settings(**changes: object) -> TrainSettings:
    return TrainSettings(n_epochs=5, patience=2).model_copy(update=changes)


def trained(train: TrainSettings, curve: list[float], seconds: float = 1.0) -> Progress:
    """A run whose pilots see the curve, one after another, up to the refit or the end."""
    progress, points = first(train, has_tail=True), iter(curve)
    while progress.phase == PILOT:
        progress = replace(progress, spent_s=progress.spent_s + seconds)
        end = EpochEnd(1.0, next(points), seconds)
        progress = after_epoch(progress, end, train, SIZES)
    return progress


def test_a_pilot_stops_when_the_tail_no_longer_improves_and_the_refit_takes_its_best_epoch() -> (
    None
):
    progress = trained(settings(), [0.1, 0.3, 0.2, 0.25])
    assert (progress.phase, progress.refit_epochs, progress.stopped) == (REFIT, 2, "patience")
    assert (progress.epoch, progress.step) == (0, 0)


def test_a_curve_that_rises_to_the_end_takes_all_epochs() -> None:
    progress = trained(settings(), [0.1, 0.2, 0.3, 0.4, 0.5])
    assert (progress.refit_epochs, progress.stopped) == (5, "epochs")


def test_the_best_of_several_stale_shares_is_refitted() -> None:
    train = settings(stale_shares=(0.0, 0.5, 1.0), patience=1)
    progress = trained(train, [0.3, 0.2, 0.1, 0.4, 0.3, 0.2, 0.1])
    assert progress.best.stale_share == 0.5
    assert progress.refit_epochs == 2
    assert [pilot.stale_share for pilot in progress.pilots] == [0.0, 0.5, 1.0]
    assert progress.current == progress.best


def test_the_balance_of_the_best_epoch_is_kept_with_it() -> None:
    progress = first(settings(), has_tail=True)
    for ndcg, personal in [(0.1, 1.0), (0.3, 0.5), (0.2, 0.7), (0.1, 1.4)]:
        end = EpochEnd(1.0, ndcg, 1.0, (personal, 0.3))
        progress = after_epoch(progress, end, settings(), SIZES)
    assert progress.phase == REFIT and progress.best.best_balance == (0.5, 0.3)
    assert Progress.from_json(json.loads(json.dumps(progress.to_json()))).pilots == progress.pilots


def test_a_checkpoint_of_before_balances_goes_on_as_learned() -> None:
    tree = json.loads(json.dumps(trained(settings(), [0.1, 0.3, 0.2, 0.25]).to_json()))
    for pilot in tree["pilots"]:
        del pilot["balance"]
    assert Progress.from_json(tree).best.best_balance == ()


def test_without_a_refit_the_pilot_is_all_there_is() -> None:
    assert trained(settings(refit=False), [0.3, 0.2, 0.1]).phase == DONE


def test_a_log_without_a_tail_is_trained_for_all_epochs_with_the_first_share() -> None:
    train = settings(stale_shares=(0.2, 0.9))
    progress = first(train, has_tail=False)
    assert (progress.phase, progress.refit_epochs) == (REFIT, 5)
    assert progress.current.stale_share == 0.2
    for _ in range(5):
        progress = after_epoch(progress, EpochEnd(1.0, None, 1.0), train, SIZES)
    assert progress.phase == DONE
    assert [figures["epoch"] for figures in progress.history] == [1, 2, 3, 4, 5]


def test_a_budget_leaves_the_refit_the_time_that_it_needs() -> None:
    progress = trained(settings(n_epochs=100, budget_s=20.0), [i / 100 for i in range(100)])
    assert progress.phase == REFIT
    assert progress.spent_s + progress.refit_epochs * 1_000 / 850 <= 20.0
    assert progress.refit_epochs >= 7
    assert "still rising" in advice(progress, settings(n_epochs=100, budget_s=20.0))


def test_an_epoch_that_the_budget_cuts_short_is_the_last() -> None:
    train = settings(budget_s=3.0)
    begun = replace(first(train, has_tail=True), spent_s=3.0)
    progress = after_epoch(begun, EpochEnd(1.0, 0.2, 3.0, out_of_time=True), train, SIZES)
    assert (progress.phase, progress.stopped, progress.refit_epochs) == (DONE, "budget", 0)
    assert "before a refit" in advice(progress, train)


def test_a_refit_that_the_budget_cuts_short_stands_as_it_is() -> None:
    train = settings(budget_s=3.0)
    begun = replace(first(train, has_tail=False), spent_s=3.0)
    progress = after_epoch(begun, EpochEnd(1.0, None, 3.0, out_of_time=True), train, SIZES)
    assert (progress.phase, progress.stopped) == (DONE, "budget")


def test_training_that_ended_by_itself_needs_no_more_time() -> None:
    progress = trained(settings(), [0.1, 0.3, 0.2, 0.25])
    assert "would change nothing" in advice(progress, settings())


def test_progress_survives_json() -> None:
    progress = trained(settings(stale_shares=(0.0, 0.5)), [0.1] * 20)
    assert Progress.from_json(json.loads(json.dumps(progress.to_json()))) == progress


@pytest.mark.parametrize("has_tail", [True, False])
def test_a_phase_names_itself(has_tail: bool) -> None:
    assert first(settings(), has_tail).name == ("pilot-0" if has_tail else "refit")


def test_a_budget_counts_everything_and_always_leaves_a_little_training() -> None:
    assert training_budget(180.0, elapsed_s=30.0, spent_s=0.0) == 150.0
    assert training_budget(180.0, elapsed_s=100.0, spent_s=60.0) == 140.0  # 40 s were no training
    assert training_budget(180.0, elapsed_s=500.0, spent_s=60.0) == 60.0 + LEAST_S
    assert training_budget(3.0, elapsed_s=500.0, spent_s=0.0) == 3.0
