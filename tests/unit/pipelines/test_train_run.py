from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pipelines.train_phases import Progress, first
from pipelines.train_run import VOLATILE, Run, differences, identity_of
from recsys.errors import ConfigError, ConflictError, NotFoundError
from recsys.settings import Settings, load
from recsys.store import Store
from recsys.training.options import TrainSettings

IDENTITY = {"train": {"seed": 17}, "until": None}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(Store(str(tmp_path / "store")), "default", "train", "me").begin(IDENTITY, {"a": 1})


def progress(step: int) -> Progress:
    begun = first(TrainSettings(), True)
    return replace(begun, step=step, total_steps=step, spent_s=float(step))


def tensors(value: float) -> dict[str, torch.Tensor]:
    return {
        "network.a": torch.full((2, 3), value),
        "rng": torch.arange(5, dtype=torch.uint8),
        "step": torch.tensor(int(value)),
    }


def test_a_checkpoint_comes_back_as_it_was(run: Run) -> None:
    assert run.latest() is None and run.spent_s() == 0.0
    run.save(tensors(1.0), progress(7))
    found = run.latest()
    assert found is not None and run.spent_s() == found[0].spent_s == 7.0
    assert found[0] == progress(7)
    for name, value in tensors(1.0).items():
        assert torch.equal(found[1][name], value)
        assert found[1][name].dtype == value.dtype


def test_the_last_two_checkpoints_and_the_best_are_kept(run: Run) -> None:
    for step in range(5):
        run.save(tensors(step), progress(step))
        if step == 1:
            run.save_best(tensors(100.0), progress(step))
    run.save_best(tensors(step), progress(step))
    run.save(tensors(9.0), progress(9))
    assert len(run.store.paths(f"{run.prefix}/state")) == 2
    best = run.best()
    assert best is not None
    assert best[0].step == 4


def test_a_checkpoint_that_was_cut_gives_way_to_the_one_before(run: Run) -> None:
    run.save(tensors(1.0), progress(1))
    run.save(tensors(2.0), progress(2))
    state = run.state()
    assert state is not None
    run.store.write(state["checkpoints"][0]["path"], b"cut")
    found = run.latest()
    assert found is not None
    assert found[0].step == 1
    state = run.state()
    assert state is not None
    assert len(state["checkpoints"]) == 1  # so reading tasks see the same place


def test_an_unfinished_run_is_resumed_only_with_its_own_settings(run: Run) -> None:
    assert run.owned_by("other").take_over(IDENTITY) == {"a": 1}
    with pytest.raises(ConfigError, match=r"train\.seed: 17 -> 18") as refused:
        run.take_over({"train": {"seed": 18}, "until": None})
    assert "--fresh" in refused.value.remedy


def test_a_job_that_lost_its_run_to_another_can_no_longer_write(run: Run) -> None:
    run.owned_by("other").take_over(IDENTITY)
    with pytest.raises(ConflictError, match="another job"):
        run.save(tensors(1.0), progress(1))


def test_a_finished_run_leaves_nothing_to_resume_and_no_rows(run: Run) -> None:
    run.store.write(f"{run.prefix}/rows/whole/x.arrow", b"rows")
    run.save(tensors(1.0), progress(1))
    run.save_result(tensors(5.0), {"config.json": {"path": "blobs/x"}})
    found, encoder = run.result()
    assert float(found["network.a"][0, 0]) == 5.0
    assert encoder == {"config.json": {"path": "blobs/x"}}
    run.finish({"ndcg10": 0.1})
    assert run.store.paths(run.prefix) == [run.pointer]
    assert run.take_over(IDENTITY) is None
    with pytest.raises(NotFoundError):
        run.result()


def test_a_fresh_start_forgets_what_was_there(run: Run) -> None:
    run.save(tensors(1.0), progress(1))
    again = run.owned_by("new").begin(IDENTITY, {"a": 2})
    assert again.latest() is None
    assert again.store.paths(f"{run.prefix}/state") == []


@pytest.mark.parametrize("name", ["", "../up", "a/b", " "])
def test_a_name_that_is_no_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="no name"):
        Run(Store(str(tmp_path)), "default", name)


def test_the_place_where_a_run_trains_is_no_part_of_what_it_is() -> None:
    plain = identity_of(Settings(), None)
    moved = load(assignments=["train.max_workers=4", "train.use_gpu=true", "train.budget_s=9"])
    assert identity_of(moved, None) == plain
    changed = load(assignments=["model.n_half_lives=3", "train.seed=1"])
    assert differences(plain, identity_of(changed, 5.0)) == [
        "model.n_half_lives: 8 -> 3",
        "train.seed: 17 -> 1",
        "until: None -> 5.0",
    ]
    assert set(VOLATILE) < set(TrainSettings.model_fields)
