"""How the demo shares its minutes of training."""

from __future__ import annotations

from dataclasses import replace

from cluster.demo_training import Course, best_epoch, epochs_within, seconds_of

COURSE = Course(
    bundle_id="0123456789abcdef",
    n_epochs=8,
    stale_share=0.5,
    epoch_s=10.0,
    start_s=0.0,
    n_events=80_000,
    spent_s=100.0,
    budget_s=180.0,
    advice="",
)


def test_the_second_training_takes_over_the_epochs_that_were_best() -> None:
    assert epochs_within(COURSE, 100_000, left_s=200.0) == 8


def test_with_little_time_left_there_are_fewer_epochs_and_at_least_one() -> None:
    assert epochs_within(COURSE, 100_000, left_s=80.0) == 6  # of 12.5 s each, with a reserve
    assert epochs_within(replace(COURSE, start_s=20.0), 100_000, left_s=80.0) == 4
    assert epochs_within(COURSE, 100_000, left_s=1.0) == 1


def test_epochs_of_no_length_are_all_taken() -> None:
    assert epochs_within(replace(COURSE, epoch_s=0.0), 100_000, left_s=1.0) == 8


def test_the_latest_phase_says_how_long_an_epoch_takes() -> None:
    pilot = [{"phase": "pilot", "seconds": s} for s in (30.0, 8.0, 9.0)]
    refit = [{"phase": "refit", "seconds": s} for s in (11.0, 10.0, 12.0)]
    assert seconds_of(pilot) == (21.0, 9.0)  # the first one compiles
    assert seconds_of([*pilot, *refit]) == (0.0, 11.0)
    assert seconds_of([]) == (0.0, 0.0)


def test_the_pilot_says_how_many_epochs_are_best_whatever_the_refit_had_time_for() -> None:
    pilot = [{"phase": "pilot", "epoch": n + 1, "ndcg": x} for n, x in enumerate((0.1, 0.3, 0.2))]
    refit = [{"phase": "refit", "epoch": 1}]
    assert best_epoch([*pilot, *refit]) == 2
    assert best_epoch([{"phase": "refit", "epoch": n} for n in (1, 2, 3)]) == 3
    assert best_epoch([]) == 1
