"""Training on a GPU, on Ray Train: it learns what a CPU learns, in every stage and way to share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from pipelines import train
from pipelines.encode import EncoderSource
from pipelines.job import Job
from pipelines.train_publish import Options
from recsys.bundle import Bundle, load_bundle
from recsys.encoder.text import TextEncoder
from tests.integration.train_runs import small_job, with_settings

pytestmark = [pytest.mark.gpu, pytest.mark.ray, pytest.mark.usefixtures("cluster")]

CONFIG = Path(train.__file__).parent / "config" / "train_gpu.yaml"
QUICK = ("train.n_epochs=2", "train.refresh_every=5")


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    return small_job(tmp_path_factory.mktemp("train") / "job")


@pytest.fixture(scope="module")
def on_cpu(job: Job, cluster: None) -> dict[str, Any]:
    return train.run(job, Options(name="cpu", publish=False))


def bundle_of(job: Job, report: dict[str, Any]) -> Bundle:
    return load_bundle(job.store, "default", report["bundle_id"])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_gpu_ends_where_a_cpu_ends(precision: str, job: Job, on_cpu: dict[str, Any]) -> None:
    there = with_settings(job, "train.use_gpu=true", f"train.precision={precision}")
    report = train.run(there, Options(name=f"gpu-{precision}", publish=False))
    losses = [[epoch["loss"] for epoch in r["history"]] for r in (report, on_cpu)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3 if precision == "fp32" else 0.05)
    found, lives = (bundle_of(job, r).settings.interest.half_lives_s for r in (report, on_cpu))
    assert found == pytest.approx(lives, rel=0.01 if precision == "fp32" else 0.1)
    assert report["ndcg10"] == pytest.approx(on_cpu["ndcg10"], rel=0.1)


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
@pytest.mark.parametrize("stage", ["lora", "full"])
def test_the_language_model_learns_on_a_gpu(stage: str, parallel: str, job: Job) -> None:
    given = (f"train.stage={stage}", f"train.parallel={parallel}", "train.precision=bf16")
    there = with_settings(
        job, *given, *QUICK, "train.use_gpu=true", "train.gradient_checkpointing=true"
    )
    report = train.run(there, Options(name=f"gpu-{stage}-{parallel}", publish=False))
    losses = [epoch["loss"] for epoch in report["history"] if epoch["phase"] == "refit"]
    assert losses[-1] < losses[0]
    bundle = bundle_of(job, report)
    texts = bundle.catalog.item_texts()[:5]
    frozen = TextEncoder(job.settings.encoder.model, job.settings.encoder)
    assert np.abs(_tuned(job, bundle).encode(texts) - frozen.encode(texts)).max() > 1e-4


def test_the_config_for_gpus_trains(job: Job, tmp_path: Path) -> None:
    config = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    flat = [f"{s}.{name}={value}" for s, part in config.items() for name, value in part.items()]
    one = ("train.min_workers=1", "train.max_workers=1", "train.cpus_per_worker=1")
    there = with_settings(job, *flat, *one, *QUICK, "train.batch_events=256")
    report = train.run(there, Options(name="config", publish=False))
    assert bundle_of(job, report).is_learned


def _tuned(job: Job, bundle: Bundle) -> TextEncoder:
    about = bundle.manifest["encoder"]
    return EncoderSource(job.store, about["id"], bundle.settings.encoder, about["files"]).load()
