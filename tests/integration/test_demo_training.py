from __future__ import annotations

from pathlib import Path

import pytest

from cluster.demo_training import train_all, train_until
from pipelines import evaluate
from recsys.bundle import load_bundle
from recsys.bundle_manifest import current_bundle_id, load_manifest
from recsys.readiness import n_snapshots
from tests.integration.past_logs import N_PARTITIONS
from tests.integration.train_runs import small_job

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("cluster")]


def test_the_demo_trains_up_to_the_split_and_then_with_its_choice_on_everything(
    tmp_path: Path,
) -> None:
    job = small_job(tmp_path / "job")
    until = evaluate.split_time(job)
    course = train_until(job, until, budget_s=3_000.0)
    first = load_manifest(job.store, job.tenant, course.bundle_id)
    assert first["model"] == "learned" and first["data_until"] < until
    assert current_bundle_id(job.store, job.tenant) is None
    assert course.n_events < 3_000 and course.epoch_s > 0.0 and course.spent_s > course.start_s

    report = train_all(job, course, n_events=3_000)
    served = load_bundle(job.store, job.tenant)
    assert served.manifest["data_until"] >= until
    assert n_snapshots(job.store, job.tenant, served.bundle_id) == N_PARTITIONS
    history = served.manifest["metrics"]["history"]
    assert [epoch["phase"] for epoch in history] == ["refit"] * course.n_epochs
    assert {epoch["stale_share"] for epoch in history} == {course.stale_share}
    assert report["n_epochs"] == course.n_epochs and report["advice"] == course.advice

    page = job.store.read(report["picture"]).decode()
    assert "where it began" in page and "<h2>Importance by kind of event</h2>" in page
    assert "A typical user (0 events)" not in page
