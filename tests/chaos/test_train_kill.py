"""A training worker is killed at a random step, again and again: the run ends by itself."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from pipelines import train
from pipelines.train import Options
from pipelines.train_run import Run
from tests.integration.train_runs import Killer, small_job

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("cluster"), pytest.mark.timeout(1_800)]

N_KILLS = 5
NOISE = 0.01
"""NDCG@10 by which two runs of different seeds differ on this log."""


@pytest.mark.parametrize("n_workers", [1, 2])
def test_five_kills_at_random_steps_leave_the_quality_where_it_was(
    tmp_path: Path, n_workers: int
) -> None:
    seed = int(os.environ.get("HALFLIFE_CHAOS_SEED", np.random.SeedSequence().entropy % 2**32))  # type: ignore[operator]
    rng = np.random.default_rng(seed)
    job = small_job(
        tmp_path / "job", f"train.min_workers={n_workers}", f"train.max_workers={n_workers}"
    )
    calm = train.run(job, Options(name="calm"))
    steps = sorted(rng.integers(1, calm["total_steps"] - 5, N_KILLS).tolist())
    run = Run(job.store, "default", "chaos")
    with Killer(run, steps, lambda found: found[rng.integers(len(found))]) as killer:
        wild = train.run(job, Options(name="chaos", publish=False))
    assert len(killer.killed) == N_KILLS, f"HALFLIFE_CHAOS_SEED={seed}"
    assert wild["n_starts"] >= 2
    assert wild["ndcg10"] == pytest.approx(calm["ndcg10"], abs=NOISE), f"seed {seed}"
