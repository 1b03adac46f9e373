from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from pipelines.train_phases import EpochEnd, Progress, Sizes, after_epoch, first
from pipelines.train_stream import left_of
from recsys.training.options import TrainSettings

BEGUN = first(TrainSettings(), has_tail=False)


def made(progress: Progress, n_steps: int, n_events: int, n_workers: int) -> Progress:
    for _ in range(n_steps):
        progress = progress.stepped(n_events, n_workers, spent_s=1.0)
    return progress


def left(sizes: list[int], progress: Progress, n_workers: int) -> list[int]:
    packs: Any = (SimpleNamespace(item=range(size)) for size in sizes)
    return [len(pack.item) for pack in left_of(packs, progress, n_workers)]


def test_an_epoch_that_begins_has_all_before_it() -> None:
    assert left([60, 40, 50], BEGUN, 1) == left([60, 40, 50], BEGUN, 3) == [60, 40, 50]


def test_as_many_workers_go_on_at_the_very_step() -> None:
    progress = made(BEGUN, n_steps=2, n_events=10, n_workers=2)
    assert left([60, 40, 50], progress, 2) == [50]


def test_another_number_of_workers_goes_on_after_its_share_of_the_events() -> None:
    progress = made(BEGUN, n_steps=20, n_events=60, n_workers=1)
    assert left([60] * 20, progress, 2) == [60] * 10
    assert left([20] * 120, progress, 1) == [20] * 100
    assert left([25] * 40, progress, 4) == [25] * 28


def test_an_epoch_of_changing_workers_goes_on_by_events() -> None:
    progress = made(made(BEGUN, 20, 60, n_workers=1), 5, 120, n_workers=2)
    assert (progress.step, progress.events, progress.n_workers) == (25, 1_800, 0)
    assert left([60] * 20, progress, 2) == [60] * 5
    assert left([60] * 40, progress, 1) == [60] * 10
    assert made(progress, 1, 120, n_workers=2).n_workers == 0


def test_what_is_over_leaves_nothing_and_the_next_epoch_begins_anew() -> None:
    progress = made(BEGUN, n_steps=4, n_events=100, n_workers=1)
    assert left([50, 50, 50], progress, 2) == []
    end = EpochEnd(1.0, None, 1.0)
    after = after_epoch(progress, end, TrainSettings(), Sizes(400, 400))
    assert left([50, 50], after, 2) == [50, 50]
    assert made(after, 1, 10, n_workers=2).n_workers == 2
    assert left([50, 50], replace(after, n_workers=2), 2) == [50, 50]
