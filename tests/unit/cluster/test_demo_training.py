"""How the demo shares its minutes of training."""

from __future__ import annotations

from dataclasses import replace

from cluster.demo_training import Course, epochs_within, seconds_per_epoch

COURSE = Course(
    n_epochs=8,
    stale_share=0.5,
    epoch_s=10.0,
    n_events=80_000,
    train_s=100.0,
    budget_s=180.0,
    advice="",
)


def test_the_second_training_takes_over_the_epochs_that_were_best() -> None:
    assert epochs_within(COURSE, 100_000, left_s=200.0) == 8


def test_with_little_time_left_there_are_fewer_epochs_and_at_least_one() -> None:
    assert epochs_within(COURSE, 100_000, left_s=80.0) == 6  # of 12.5 s each, with a reserve
    assert epochs_within(COURSE, 100_000, left_s=1.0) == 1


def test_epochs_of_no_length_are_all_taken() -> None:
    assert epochs_within(replace(COURSE, epoch_s=0.0), 100_000, left_s=1.0) == 8


def test_the_latest_phase_says_how_long_an_epoch_takes() -> None:
    pilot = [{"phase": "pilot", "seconds": s} for s in (30.0, 8.0, 9.0)]
    refit = [{"phase": "refit", "seconds": s} for s in (11.0, 10.0, 12.0)]
    assert seconds_per_epoch(pilot) == 9.0
    assert seconds_per_epoch([*pilot, *refit]) == 11.0
    assert seconds_per_epoch([]) == 0.0
