"""Nodes go with notice, come, and go without: a training run goes on with what there is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import pytest

from pipelines import train
from pipelines.job import Job
from pipelines.train import Options
from tests.chaos.nodes import Nodes, Training
from tests.integration.train_runs import small_job, training_workers, with_settings

pytestmark = [pytest.mark.ray, pytest.mark.timeout(3_600)]

NOTICE_S = 15.0
"""Between the notice that a node will go and its end."""
PATIENCE_S = 1_000.0
"""For one thing to happen; a machine that is busy otherwise starts workers slowly."""
NOISE = 0.03
"""NDCG@10 by which runs of one and of two workers differ on this log."""


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """Two epochs of 67 steps; ``tests.chaos.nodes`` makes them about a minute each."""
    settings = (
        "train.n_epochs=2",
        "train.patience=9",
        "train.refit=false",
        "train.batch_events=64",
        "train.max_events=16",  # steps of two workers are as many as those of one
    )
    return small_job(tmp_path_factory.mktemp("nodes") / "job", *settings)


@pytest.fixture(scope="module")
def calm(job: Job, cluster: None) -> dict[str, Any]:
    """Of an undisturbed run on one worker."""
    return train.run(job, Options(name="calm", publish=False))


@pytest.fixture
def nodes(calm: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Nodes]:
    monkeypatch.delenv("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", raising=False)  # nodes inherit it
    with Nodes() as found:
        yield found


def test_a_notice_saves_what_was_learned_and_another_node_goes_on_from_there(
    job: Job, calm: dict[str, Any], nodes: Nodes
) -> None:
    rare = with_settings(job, "train.checkpoint_every_s=100000")
    first = nodes.add()
    with Training(rare, "notice", nodes.address) as training:
        training.until(lambda found: found["epoch"] == 1, timeout_s=PATIENCE_S)
        nodes.add()
        deadline = nodes.drain(first, NOTICE_S)
        saved = training.until(lambda found: found["step"] > 0, deadline - time.time())
        time.sleep(max(0.0, deadline - time.time()))
        nodes.remove(first)
        report = training.report(timeout_s=PATIENCE_S)
    assert saved["epoch"] == 1
    assert report["starts"] == [
        {"step": 0, "n_workers": 1},
        {"step": saved["total_steps"], "n_workers": 1},
    ]
    assert report["total_steps"] == calm["total_steps"] > saved["total_steps"]
    assert report["ndcg10"] == pytest.approx(calm["ndcg10"], abs=1e-4)


def test_a_node_that_joins_gets_a_worker_and_one_that_dies_is_done_without(
    job: Job, calm: dict[str, Any], nodes: Nodes
) -> None:
    elastic = with_settings(job, "train.min_workers=1", "train.max_workers=2")
    nodes.add()
    with Training(elastic, "elastic", nodes.address) as training:
        training.until(lambda found: found["total_steps"] > 2, timeout_s=PATIENCE_S)
        second = nodes.add()
        training.until(lambda _: len(training_workers()) == 2, timeout_s=PATIENCE_S)
        alone = training.steps()
        training.until(lambda found: found["total_steps"] > alone + 5, timeout_s=PATIENCE_S)
        nodes.remove(second)
        report = training.report(timeout_s=PATIENCE_S)
    starts = report["starts"]
    counts = [start["n_workers"] for start in starts]
    assert [n_workers for n_workers, _ in groupby(counts)] == [1, 2, 1]
    joined = next(start["step"] for start in starts if start["n_workers"] == 2)
    left = next(start["step"] for start in reversed(starts) if start["n_workers"] == 1)
    assert 0 < joined < left < report["total_steps"]
    assert report["total_steps"] == pytest.approx(calm["total_steps"], rel=0.1)
    assert report["ndcg10"] == pytest.approx(calm["ndcg10"], abs=NOISE)
