from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from recsys.bundle import promote_bundle
from recsys.bundle_manifest import load_manifest, manifest_path
from recsys.bundles import (
    EMBED_SPLIT,
    catalog_overlap,
    compared,
    differing_settings,
    list_bundles,
    quality_of,
    slate_overlap,
    vector_drift,
)
from recsys.catalog import catalog_from_items
from recsys.settings import load
from recsys.store import Store
from recsys.testing.fakes import tiny_bundle, tiny_items

NOW = 1_700_000_000.0
TEXTS = {f"i{n}": f"topic{n % 3} word{n}" for n in range(12)}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def manifest(**changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "data_until": NOW,
        "settings": load().model_dump(mode="json"),
        "ranking": {"weights": {"interest": [1.0]}, "figures": {"chosen": "default"}},
    }
    return {**found, **changes}


def test_bundles_are_listed_the_newest_first_with_the_published_one_marked(store: Store) -> None:
    first = tiny_bundle(store, tiny_items(TEXTS), created_at=NOW)
    second = tiny_bundle(store, tiny_items({**TEXTS, "new": "topic1"}), created_at=NOW + 60.0)
    promote_bundle(store, "default", first.bundle_id)
    lines = [line.as_dict(NOW + 100.0) for line in list_bundles(store, "default")]
    assert [line["bundle_id"] for line in lines] == [second.bundle_id, first.bundle_id]
    assert [line["current"] for line in lines] == [False, True]
    assert [line["age_s"] for line in lines] == [40.0, 100.0]
    assert [line["parent"] for line in lines] == [first.bundle_id, None]
    assert [line["n_snapshots"] for line in lines] == [0, 0]
    assert {line["model"] for line in lines} == {"zero-shot"}
    assert list_bundles(store, "nobody") == []


def test_a_bundle_that_is_not_sound_is_listed_with_its_problem(store: Store) -> None:
    sound = tiny_bundle(store, tiny_items(TEXTS), created_at=NOW)
    store.write(manifest_path("default", "f" * 16), b"{half")
    lines = [line.as_dict(NOW) for line in list_bundles(store, "default")]
    assert [line["bundle_id"] for line in lines] == [sound.bundle_id, "f" * 16]
    assert "no JSON" in lines[1]["problem"]


def test_the_quality_of_a_zero_shot_bundle_is_that_of_the_choice_that_stands() -> None:
    figures = {"chosen": "fitted", "ndcg10": {"fitted": 0.2, "default": 0.1}}
    ranking = {"weights": {}, "figures": figures}
    quality = quality_of(manifest(ranking=ranking))
    assert quality is not None
    assert (quality.ndcg10, quality.split) == (0.2, EMBED_SPLIT)
    assert quality_of(manifest()) is None


def test_figures_are_only_subtracted_where_the_same_was_asked() -> None:
    def learned(ndcg: float, until: float = NOW) -> dict[str, Any]:
        quality = {"split": "tail", "ndcg10": ndcg}
        return manifest(model="learned", quality=quality, data_until=until)

    assert compared(learned(0.10), learned(0.13))["ndcg10_difference"] == pytest.approx(0.03)
    assert compared(learned(0.10), learned(0.13, NOW + 1.0))["ndcg10_difference"] is None
    assert compared(learned(0.10), manifest())["ndcg10_difference"] is None
    assert compared(learned(0.10), manifest())["weights"][0] is None


def test_half_lives_stand_side_by_side_and_not_among_the_other_settings() -> None:
    other = load(assignments=["interest.half_lives_s=[60]", "model.n_queries=2"])
    found = compared(manifest(), manifest(settings=other.model_dump(mode="json")))
    assert found["half_lives_s"]["interest"][1] == [60.0]
    assert found["half_lives_s"]["trend"][0] == found["half_lives_s"]["trend"][1]
    assert found["settings"] == {"model.n_queries": [1, 2]}


def test_a_setting_that_only_one_side_knows_differs() -> None:
    assert differing_settings({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}) == {"a.c": [None, 2]}


def test_catalogs_overlap_by_item_id() -> None:
    a, b = (catalog_from_items(pa.table({"item_id": list(ids)})) for ids in ("abcd", "cde"))
    assert catalog_overlap(a, b) == {"n_items": [4, 3], "n_both": 2, "share": 0.4}


def test_vectors_that_only_turned_together_drift_but_not_once_aligned(
    store: Store, rng: np.random.Generator
) -> None:
    bundle = tiny_bundle(store, tiny_items(TEXTS), created_at=NOW)
    same = vector_drift(bundle, bundle)
    assert same is not None
    assert same["n"] == 12
    assert same["p95"] == pytest.approx(0.0, abs=1e-6)
    turn = np.linalg.qr(rng.normal(size=(8, 8)))[0].astype(np.float32)
    turned = object.__new__(type(bundle))
    turned.__dict__.update(vars(bundle))
    turned.__dict__["items"] = type(bundle.items).all_warm(bundle.vectors @ turn)
    drift = vector_drift(bundle, turned)
    assert drift is not None
    assert drift["median"] > 0.1
    assert drift["aligned_p95"] == pytest.approx(0.0, abs=1e-5)


def test_vectors_of_other_widths_are_not_compared(store: Store) -> None:
    wide = tiny_bundle(store, tiny_items(TEXTS), created_at=NOW)
    settings = load(assignments=["encoder.n_dims=4"])
    narrow = tiny_bundle(store, tiny_items(TEXTS), created_at=NOW, settings=settings)
    assert vector_drift(wide, narrow) is None


def test_slates_overlap_by_what_they_share() -> None:
    found = slate_overlap([["a", "b"], ["a"], []], [["b", "c"], ["a"], []])
    assert found["n_users"] == 3
    assert found["mean"] == pytest.approx((0.5 + 1.0 + 1.0) / 3)
    assert found["same_first"] == pytest.approx(2 / 3)


def test_a_manifest_from_before_models_were_learned_counts_as_zero_shot(store: Store) -> None:
    bundle = tiny_bundle(store, tiny_items(TEXTS), created_at=NOW)
    old = {
        k: v for k, v in load_manifest(store, "default", bundle.bundle_id).items() if k != "model"
    }
    assert compared(old, old)["settings"] == {}
    assert quality_of(old) is None
