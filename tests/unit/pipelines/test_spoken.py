"""Jobs read what users say: each text once, before anything is folded, and as of the past."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines import bootstrap, embed
from pipelines.encode import EncoderSource, EncodeTexts
from pipelines.job import Job
from pipelines.past import read_past
from pipelines.spoken import words_of
from pipelines.train_text import max_texts, read_texts
from recsys.bundle import Bundle, load_bundle
from recsys.interest.replay import ReplayQueries, replay
from recsys.schema import partition_of
from recsys.settings import load
from recsys.snapshot import SnapshotKey, read_meta
from recsys.snapshot import load as load_snapshot
from recsys.testing.fakes import HashEncoder, tiny_items, tiny_log
from tests.integration.past_logs import N_PARTITIONS, new_job, put_events, put_items

ITEMS = {
    **{f"space-{n}": f"rockets stars orbit moon{n}" for n in range(9)},
    **{f"food-{n}": f"garlic pasta bread dish{n}" for n in range(9)},
}
ROWS = [
    ("u", "food-1", "click", 1.0e9),
    ("u", None, "search", 1.1e9),
    ("v", "food-2", "comment", 1.2e9),
    ("w", None, "search", 1.3e9),
    ("w", "space-1", "impression", 1.4e9),
]
TEXTS = {1: "rockets orbit", 2: "garlic", 3: "rockets orbit", 4: "never read"}


@pytest.fixture
def n_encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many texts each call of the encoder read; the encoder knows words and no model."""
    found: list[int] = []
    call = EncodeTexts.__call__

    def counted(self: EncodeTexts, batch: Any) -> Any:
        found.append(len(batch))
        return call(self, batch)

    monkeypatch.setattr(EncoderSource, "load", lambda *_: HashEncoder(16))
    monkeypatch.setattr(EncodeTexts, "__call__", counted)
    return found


@pytest.fixture
def job(tmp_path: Path, n_encoded: list[int]) -> Job:
    job = new_job(tmp_path / "job")
    put_items(job, tiny_items(ITEMS))
    put_events(job, tiny_log(ROWS, texts=TEXTS))
    return job


@pytest.fixture
def bundle(job: Job) -> Bundle:
    report = embed.run(job)
    assert report["n_event_texts"] == 2, "an impression's words are no evidence"
    return load_bundle(job.store, "default")


def fold(job: Job, basis: bootstrap.FoldBasis) -> list[dict[str, Any]]:
    return [bootstrap.bootstrap_partition(job, basis, p) for p in range(N_PARTITIONS)]


def test_each_text_is_read_once(job: Job, bundle: Bundle, n_encoded: list[int]) -> None:
    assert n_encoded == [len(ITEMS), 2]
    words = words_of(job, bundle, ["garlic", "rockets orbit"])
    assert words is not None and words.table.vectors.shape == (2, 8)
    assert read_texts(job, ["garlic", ""], ["rockets orbit"]).texts.events is not None
    embed.run(job)
    assert len(n_encoded) == 2


def test_a_partition_names_its_texts_and_is_folded_when_they_are_read(
    job: Job, bundle: Bundle
) -> None:
    basis = bootstrap.fold_basis(job, bundle)
    first = fold(job, basis)
    owner = partition_of("default", "w", N_PARTITIONS)
    assert '"rockets orbit"' in first[owner]["unread"]
    key = SnapshotKey("default", bundle.bundle_id, owner)
    assert read_meta(job.store, key) is None
    words = words_of(job, bundle, ["garlic", "rockets orbit"])
    reports = fold(job, replace(basis, basis=replace(basis.basis, words=words)))
    assert [report["unread"] for report in reports] == ["[]"] * N_PARTITIONS
    assert sum(report["n_pending"] for report in reports) == 0
    assert sum(report["n_events"] for report in reports) == len(ROWS)
    found = load_snapshot(job.store, key, bundle.settings)
    assert found is not None and len(found.table.waiting) == 0
    assert found.table.mass[found.table.rows(["w"])[0]].any()


def test_words_that_came_meanwhile_wait_in_the_snapshot(job: Job, bundle: Bundle) -> None:
    basis = bootstrap.fold_basis(job, bundle)
    words = words_of(job, bundle, ["garlic"])
    reports = fold(job, replace(basis, basis=replace(basis.basis, words=words)))
    assert sum(report["n_pending"] for report in reports) == 2
    waiting: list[str] = []
    for partition in range(N_PARTITIONS):
        key = SnapshotKey("default", bundle.bundle_id, partition)
        found = load_snapshot(job.store, key, bundle.settings)
        assert found is not None
        waiting += [event.text for event in found.table.waiting]
    assert waiting == ["rockets orbit"] * 2


def test_the_past_is_replayed_with_its_words(job: Job, bundle: Bundle) -> None:
    past = read_past(job, bundle.bundle_id)
    user = past.events.user_ids.index("w")
    start, stop = past.events.bounds[user : user + 2]
    asked = ReplayQueries(np.array([user, user]), np.array([start, stop]), np.full(2, 1.5e9))
    scene = past.scene
    interest = past.settings.interest
    query = replay(past.events, asked, scene.model, scene.items, interest, scene.texts)
    assert not query.vectors[0].any(), "before the search"
    best = np.argsort(-(scene.items.vectors @ query.vectors[1, 0]))[:9]
    assert all(past.catalog.item_ids[i].startswith("space") for i in best)


def test_a_record_without_words_is_folded_at_once(tmp_path: Path, n_encoded: list[int]) -> None:
    job = new_job(tmp_path / "silent")
    put_items(job, tiny_items(ITEMS))
    put_events(job, tiny_log(ROWS))
    assert embed.run(job)["n_event_texts"] == 0
    reports = fold(job, bootstrap.fold_basis(job, load_bundle(job.store, "default")))
    assert sum(report["n_events"] for report in reports) == len(ROWS)
    past = read_past(job)
    assert past.events.text is None and n_encoded == [len(ITEMS)]


def test_words_are_not_trained_on_where_the_language_model_changes() -> None:
    assert max_texts(load()) == 200_000
    assert max_texts(load(assignments=["train.stage=lora"])) == 0
    assert max_texts(load(assignments=["model.use_text=false"])) == 0
    assert max_texts(load(assignments=["train.max_event_texts=3"])) == 3
