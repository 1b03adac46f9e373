from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from pipelines import bootstrap, compact
from pipelines.job import Job
from pipelines.promotion import PromoteOptions, promote, rollback
from pipelines.publish_compare import Pair
from recsys.bundle import load_bundle, promote_bundle
from recsys.bundle_manifest import current_bundle_id, load_manifest, manifest_path
from recsys.bundles import move, published
from recsys.errors import ChecksumError, ConfigError, ConflictError, NotFoundError
from recsys.readiness import n_snapshots
from recsys.store import Store
from recsys.testing.fakes import tiny_bundle, tiny_items
from tests.unit.pipelines.promotions import (
    N_PARTITIONS,
    NOW,
    TEXTS,
    Stage,
    append,
    fold_here,
    ingest,
    staged,
)


class Killed(BaseException):
    """Stands for the end of the process: nothing catches it."""


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setattr(bootstrap, "run", fold_here)
    return staged(tmp_path)


def current(stage: Stage) -> str | None:
    return current_bundle_id(stage.job.store, "default")


def test_profiles_are_made_before_the_pointer_moves(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    served_meanwhile = []

    def fold(job: Job, bundle_id: str) -> dict[str, Any]:
        report = fold_here(job, bundle_id)
        served_meanwhile.append(current(stage))
        return report

    monkeypatch.setattr(bootstrap, "run", fold)
    report = promote(stage.job, stage.new)
    assert served_meanwhile == [stage.old]
    assert (report["was"], report["moved"], current(stage)) == (stage.old, True, stage.new)
    assert report["bootstrap"]["n_events"] == 200
    assert report["profiles"]["exact"]
    assert n_snapshots(stage.job.store, "default", stage.new) == N_PARTITIONS


def test_promoting_again_changes_nothing(stage: Stage) -> None:
    promote(stage.job, stage.new)
    files = stage.job.store.paths("")
    report = promote(stage.job, stage.new)
    assert (report["moved"], report["bootstrap"]) == (False, None)
    assert stage.job.store.paths("") == files


def test_without_bootstrap_a_bundle_needs_profiles(stage: Stage) -> None:
    with pytest.raises(NotFoundError, match="0 of 3 partitions"):
        promote(stage.job, stage.new, PromoteOptions(bootstrap=False))
    assert current(stage) == stage.old
    fold_here(stage.job, stage.new)
    assert promote(stage.job, stage.new, PromoteOptions(bootstrap=False))["moved"]


def test_a_snapshot_whose_file_is_gone_does_not_count(stage: Stage) -> None:
    fold_here(stage.job, stage.new)
    lost = next(
        p for p in stage.job.store.paths(f"snapshots/default/{stage.new}/1") if "state" in p
    )
    stage.job.store.delete(lost)
    with pytest.raises(NotFoundError, match="2 of 3 partitions"):
        promote(stage.job, stage.new, PromoteOptions(bootstrap=False))
    assert promote(stage.job, stage.new)["profiles"]["exact"]


@pytest.mark.parametrize("step", ["first partition", "last partition", "before move", "after move"])
def test_killed_at_any_step_one_of_the_two_is_served_whole(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    with monkeypatch.context() as patched:
        kill_at(step, patched)
        with pytest.raises(Killed):
            promote(stage.job, stage.new)
    served = current(stage)
    assert served == (stage.new if step == "after move" else stage.old)
    assert load_bundle(stage.job.store, "default").bundle_id == served
    report = promote(stage.job, stage.new)  # the next run goes on
    assert (current(stage), report["profiles"]["exact"]) == (stage.new, True)
    assert (report["bootstrap"] is None) == step.endswith("move")


def kill_at(step: str, patched: pytest.MonkeyPatch) -> None:
    if step.endswith("partition"):
        wanted = 0 if step == "first partition" else N_PARTITIONS - 1
        fold_partition = bootstrap.bootstrap_partition

        def fold(job: Job, basis: bootstrap.FoldBasis, partition: int) -> dict[str, float]:
            if partition == wanted:
                raise Killed
            return fold_partition(job, basis, partition)

        patched.setattr(bootstrap, "bootstrap_partition", fold)
        return
    swap = Store.swap_pointer

    def killed(self: Store, path: str, value: dict[str, Any], expected: str | None) -> None:
        if path.startswith("bundles/"):
            if step == "after move":
                swap(self, path, value, expected)
            raise Killed
        swap(self, path, value, expected)

    patched.setattr(Store, "swap_pointer", killed)


def test_a_promotion_that_was_overtaken_is_refused(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = tiny_items({**TEXTS, "i13": "topic1 rival"})
    rival = tiny_bundle(stage.job.store, items, created_at=NOW, settings=stage.job.settings)
    promote_bundle(stage.job.store, "default", stage.old)

    def fold(job: Job, bundle_id: str) -> dict[str, Any]:
        if bundle_id == stage.new:
            promote(job, rival.bundle_id)  # somebody else is faster
        return fold_here(job, bundle_id)

    monkeypatch.setattr(bootstrap, "run", fold)
    with pytest.raises(ConflictError, match=f"{rival.bundle_id} was published while {stage.old}"):
        promote(stage.job, stage.new)
    assert current(stage) == rival.bundle_id
    assert promote(stage.job, stage.new)["was"] == rival.bundle_id


def test_of_many_promoters_at_once_exactly_one_moves_the_pointer(stage: Stage) -> None:
    store, seen, refused = stage.job.store, published(stage.job.store, "default"), []
    barrier = threading.Barrier(8)

    def go() -> None:
        barrier.wait()
        try:
            move(Store(store.uri), "default", stage.new, seen)
        except ConflictError as error:
            refused.append(error)

    threads = [threading.Thread(target=go) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (current(stage), len(refused)) == (stage.new, 7)


def test_rollback_goes_to_the_parent_and_says_what_becomes_of_later_events(stage: Stage) -> None:
    fold_here(stage.job, stage.old)
    promote(stage.job, stage.new)
    append(stage.job, 60)
    report = rollback(stage.job)
    assert (report["was"], current(stage)) == (stage.new, stage.old)
    assert report["profiles"]["n_tail_events"] == 60
    assert "60 ledger rows since are folded on top" in report["events"]
    assert "the result is exact" in report["events"]
    assert report["bootstrap"] is None


def test_rollback_after_a_compaction_folds_the_whole_record(stage: Stage) -> None:
    fold_here(stage.job, stage.old)
    promote(stage.job, stage.new)
    append(stage.job, 60)
    fold_here(stage.job, stage.new)  # as the pool does while it runs
    compact.run(stage.job)  # rows leave the ledger that the old bundle's snapshots lack
    report = rollback(stage.job)
    assert report["profiles"]["n_folded_from_record"] == N_PARTITIONS
    assert report["profiles"]["exact"]
    assert "from the whole record" in report["events"]


def test_rollback_folds_again_what_was_ingested_since_unless_told_not_to(stage: Stage) -> None:
    fold_here(stage.job, stage.old)
    promote(stage.job, stage.new)
    ingest(stage.job, 40, NOW, user="b")
    report = rollback(stage.job, refold=False)
    assert report["profiles"]["n_ingested_since"] > 0
    assert "lack events that were ingested since" in report["events"]
    promote(stage.job, stage.new)
    report = rollback(stage.job)
    assert report["bootstrap"]["n_events"] == 240
    assert report["profiles"]["exact"]


def test_rollback_needs_a_parent_and_its_profiles(stage: Stage) -> None:
    with pytest.raises(ConfigError, match="no parent"):
        rollback(stage.job)
    promote(stage.job, stage.new)
    with pytest.raises(NotFoundError, match="publish promote"):
        rollback(stage.job)
    assert current(stage) == stage.new


def test_rollback_to_a_named_bundle_checks_every_file_of_it(stage: Stage) -> None:
    fold_here(stage.job, stage.old)
    promote(stage.job, stage.new)
    entry = load_bundle(stage.job.store, "default", stage.old).manifest["files"]["items.parquet"]
    data = stage.job.store.read(entry["path"])
    stage.job.store.write(entry["path"], data[:-1] + b"?")
    with pytest.raises(ChecksumError):
        rollback(stage.job, stage.old)
    assert current(stage) == stage.new
    stage.job.store.write(entry["path"], data)
    assert rollback(stage.job, stage.old)["moved"]
    assert not rollback(stage.job, stage.old)["moved"]


def rate(stage: Stage, bundle_id: str, ndcg10: float, split: str = "tail") -> None:
    """Write a figure into a manifest, as training does."""
    manifest = load_manifest(stage.job.store, "default", bundle_id)
    quality = {"split": split, "ndcg10": ndcg10}
    path = manifest_path("default", bundle_id)
    stage.job.store.write(path, json.dumps({**manifest, "quality": quality}).encode())


def test_a_worse_bundle_is_refused_with_the_numbers_where_a_better_one_is_asked_for(
    stage: Stage,
) -> None:
    rate(stage, stage.old, 0.12)
    rate(stage, stage.new, 0.10)
    with pytest.raises(ConfigError, match=r"0\.1000 against 0\.1200"):
        promote(stage.job, stage.new, PromoteOptions(if_better=True))
    assert current(stage) == stage.old
    assert n_snapshots(stage.job.store, "default", stage.new) == 0
    rate(stage, stage.new, 0.13)
    report = promote(stage.job, stage.new, PromoteOptions(if_better=True))
    assert report["compared"] == {"split": "tail", "ndcg10": [0.12, 0.13]}
    assert current(stage) == stage.new


def test_bundles_asked_other_questions_are_compared_on_events_that_neither_knew(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    rate(stage, stage.old, 0.12)
    rate(stage, stage.new, 0.90, split="another tail")
    later = {"since": NOW, "n_queries": 80, "ndcg10": [0.2, 0.1], "difference": {"mean": -0.1}}
    monkeypatch.setattr(Pair, "later", lambda self: later)
    with pytest.raises(ConfigError, match=r"0\.1000 against 0\.2000 \(events since 17"):
        promote(stage.job, stage.new, PromoteOptions(if_better=True))
    monkeypatch.setattr(Pair, "later", lambda self: None)
    with pytest.raises(ConfigError, match="cannot be compared"):
        promote(stage.job, stage.new, PromoteOptions(if_better=True))


@pytest.mark.parametrize("name", ["nothing", "0" * 16])
def test_an_unknown_bundle_is_refused(stage: Stage, name: str) -> None:
    with pytest.raises(NotFoundError, match=name):
        promote(stage.job, name)
    with pytest.raises(NotFoundError, match=name):
        rollback(stage.job, name)
