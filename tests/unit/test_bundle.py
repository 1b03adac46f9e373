import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from recsys.bundle import (
    BundleDraft,
    load_bundle,
    materialise_encoder,
    promote_bundle,
    publish_bundle,
)
from recsys.bundle_manifest import current_bundle_id, identity_of, load_manifest, manifest_path
from recsys.catalog import catalog_from_items
from recsys.encoder.projection import AffineProjection, fit_projection, unit_rows
from recsys.encoder.weights import EncoderFiles
from recsys.errors import ChecksumError, ConfigError, DataError, NotFoundError
from recsys.events import event_arrays
from recsys.graph.stored import graph_files
from recsys.interest.learned import LearnedInterest
from recsys.interest.model import nobody
from recsys.interest.stored import model_within
from recsys.interest.zero_shot import ZeroShot, is_positive
from recsys.neighbours import Neighbours
from recsys.ranking import RankingWeights, default_weights
from recsys.retrieval import build_index
from recsys.settings import RankingSettings, Settings, load
from recsys.store import Store
from recsys.testing.fakes import tiny_log
from recsys.testing.models import random_interest
from tests.unit.graph.planted import graph

NOW = 1_700_000_000.0


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


@pytest.fixture
def draft(rng: np.random.Generator, tmp_path: Path) -> BundleDraft:
    settings = load(assignments=["encoder.n_dims=4", "serving.port=9999"])
    vectors = unit_rows(rng.normal(size=(6, 4)))
    vectors[5] = 0.0
    weights_file = tmp_path / "model.safetensors"
    weights_file.write_bytes(b"weights of a model")
    return BundleDraft(
        catalog=catalog_from_items(pa.table({"item_id": list("abcdef")})),
        vectors=vectors,
        projection=fit_projection(rng.normal(size=(20, 8)).astype(np.float32), 4),
        index=build_index(vectors, settings.retrieval),
        weights=default_weights(settings.interest, settings.trend),
        settings=settings,
        data_until=NOW - 10.0,
        until=NOW,
        encoder=EncoderFiles("e1", "tiny", "mean", 8, {"model.safetensors": weights_file}),
        figures={"chosen": "default", "seconds": 1.0},
        metrics={"n_texts": 5},
    )


def test_a_published_bundle_loads_as_it_was(store: Store, draft: BundleDraft) -> None:
    manifest = publish_bundle(store, "default", draft, created_at=NOW)
    bundle = load_bundle(store, "default")
    assert bundle.bundle_id == manifest["bundle_id"] == current_bundle_id(store, "default")
    assert bundle.catalog.item_ids == draft.catalog.item_ids
    np.testing.assert_array_equal(bundle.vectors, draft.vectors)
    np.testing.assert_array_equal(bundle.projection.components, draft.projection.components)
    assert bundle.weights == draft.weights
    assert bundle.data_until == NOW - 10.0
    assert bundle.n_dims == 4
    assert bundle.index.search(draft.vectors[:1], 1)[0].tolist() == [[0]]


def test_a_bundle_fixes_the_settings_of_the_model_and_no_others(
    store: Store, draft: BundleDraft
) -> None:
    publish_bundle(store, "default", draft, created_at=NOW)
    settings = load_bundle(store, "default").settings
    assert settings.encoder == draft.settings.encoder
    assert settings.serving == Settings().serving


def test_what_counts_for_trend_is_fixed_by_the_bundle_its_weights_were_chosen_for(
    store: Store, draft: BundleDraft
) -> None:
    assignments = ["interest.positive_kinds=[purchase]", "serving.n_shards=2"]
    chosen_for = load(assignments=assignments)
    publish_bundle(store, "default", replace(draft, settings=chosen_for), created_at=NOW)
    process = load(assignments=["serving.n_shards=5"])
    settings = load_bundle(store, "default").settings_within(process)
    kinds = np.array(["purchase", "click"], object)
    assert is_positive(kinds, np.full(2, np.nan), settings.interest).tolist() == [True, False]
    assert settings.serving.n_shards == 5


def test_publishing_the_same_twice_changes_nothing(store: Store, draft: BundleDraft) -> None:
    first = publish_bundle(store, "default", draft, created_at=NOW)
    files = store.paths("")
    slower = replace(draft, figures={"chosen": "default", "seconds": 2.0}, metrics={"n_texts": 0})
    assert publish_bundle(store, "default", slower, created_at=NOW + 99.0) == first
    assert store.paths("") == files


def test_a_bundle_names_its_parent_and_can_be_rolled_back(store: Store, draft: BundleDraft) -> None:
    first = publish_bundle(store, "default", draft, created_at=NOW)
    second = publish_bundle(store, "default", replace(draft, data_until=NOW), created_at=NOW)
    assert (first["parent"], second["parent"]) == (None, first["bundle_id"])
    assert load_bundle(store, "default").bundle_id == second["bundle_id"]
    promote_bundle(store, "default", first["bundle_id"])
    assert load_bundle(store, "default").bundle_id == first["bundle_id"]
    assert load_bundle(store, "default", second["bundle_id"]).data_until == NOW


def test_an_unpromoted_bundle_leaves_the_pointer_alone(store: Store, draft: BundleDraft) -> None:
    manifest = publish_bundle(store, "default", draft, created_at=NOW, promote=False)
    assert current_bundle_id(store, "default") is None
    assert load_bundle(store, "default", manifest["bundle_id"]).bundle_id == manifest["bundle_id"]


def test_tenants_do_not_see_each_other(store: Store, draft: BundleDraft) -> None:
    publish_bundle(store, "a", draft, created_at=NOW)
    with pytest.raises(NotFoundError, match=r"pipelines\.embed"):
        load_bundle(store, "b")
    with pytest.raises(NotFoundError):
        load_bundle(store, "a", "0" * 16)
    with pytest.raises(NotFoundError):
        promote_bundle(store, "a", "0" * 16)


@pytest.mark.parametrize(
    "name", ["items.parquet", "vectors.safetensors", "projection.safetensors", "index.safetensors"]
)
def test_a_changed_file_is_a_checksum_error(store: Store, draft: BundleDraft, name: str) -> None:
    manifest = publish_bundle(store, "default", draft, created_at=NOW)
    path = manifest["files"][name]["path"]
    data = store.read(path)
    store.write(path, data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ChecksumError, match=path):
        load_bundle(store, "default")


def test_a_changed_manifest_is_a_checksum_error(store: Store, draft: BundleDraft) -> None:
    manifest = publish_bundle(store, "default", draft, created_at=NOW)
    path = manifest_path("default", manifest["bundle_id"])
    store.write(path, json.dumps({**manifest, "data_until": 0.0}).encode())
    with pytest.raises(ChecksumError, match="changed"):
        load_manifest(store, "default")
    store.write(path, b"{half")
    with pytest.raises(ChecksumError, match="no JSON"):
        load_manifest(store, "default")


def test_a_manifest_of_a_newer_format_is_refused(store: Store, draft: BundleDraft) -> None:
    manifest = publish_bundle(store, "default", draft, created_at=NOW)
    path = manifest_path("default", manifest["bundle_id"])
    store.write(path, json.dumps({**manifest, "format_version": 2}).encode())
    with pytest.raises(ConfigError, match="format version 2"):
        load_manifest(store, "default")


def learned(draft: BundleDraft, rng: np.random.Generator) -> BundleDraft:
    none = np.zeros(0, np.float32)
    affine = AffineProjection(rng.normal(size=(4, 8)).astype(np.float32), np.ones(4, np.float32))
    return replace(
        draft,
        vectors=draft.vectors * 3.0,
        projection=affine,
        weights=RankingWeights(none, none, none),
        warm=np.array([True, False, True, True, False, True]),
        model=random_interest(draft.settings, rng),
        quality={"ndcg10": 0.1, "split": "time:0.8"},
    )


def test_a_learned_bundle_loads_as_it_was(
    store: Store, draft: BundleDraft, rng: np.random.Generator
) -> None:
    wanted = learned(draft, rng)
    manifest = publish_bundle(store, "default", wanted, created_at=NOW)
    bundle = load_bundle(store, "default")
    assert (manifest["model"], bundle.is_learned) == ("learned", True)
    np.testing.assert_array_equal(bundle.items.warm, wanted.warm)
    np.testing.assert_array_equal(bundle.vectors, wanted.vectors)
    assert isinstance(bundle.model, LearnedInterest)
    assert isinstance(wanted.model, LearnedInterest)
    interest = draft.settings.interest
    for mine, theirs in zip(
        nobody(bundle.model, interest, 4), nobody(wanted.model, interest, 4), strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)
    texts = rng.normal(size=(3, 8)).astype(np.float32)
    np.testing.assert_allclose(
        bundle.projection.project(texts), wanted.projection.project(texts), rtol=1e-6
    )
    with pytest.raises(ConfigError, match="learned model"):
        model_within(bundle.model, RankingSettings(trend=(1.0,)))
    assert model_within(bundle.model, RankingSettings()) is bundle.model


def test_neighbours_come_back_as_they_were(
    store: Store, draft: BundleDraft, rng: np.random.Generator
) -> None:
    rows = [
        (f"u{rng.integers(9)}", "abcdef"[rng.integers(6)], "click", float(t)) for t in range(99)
    ]
    events = event_arrays(tiny_log(rows), draft.catalog.index)
    fitted = Neighbours.fit(events, np.ones(99), 6)
    wanted = replace(learned(draft, rng), neighbours=fitted)
    publish_bundle(store, "default", wanted, created_at=NOW)
    found = load_bundle(store, "default").neighbours
    assert isinstance(found, Neighbours)
    recent = (np.array([1, 4]), np.array([NOW - 9.0, NOW - 1.0]), NOW, np.ones(2))
    np.testing.assert_array_equal(found.part(*recent), fitted.part(*recent))


def test_how_good_a_bundle_was_stands_in_its_manifest_but_not_in_its_id(
    store: Store, draft: BundleDraft, tmp_path: Path
) -> None:
    wanted = learned(draft, np.random.default_rng(5))
    first = publish_bundle(store, "default", wanted, created_at=NOW)
    assert first["quality"] == {"ndcg10": 0.1, "split": "time:0.8"}
    other = replace(wanted, quality={"ndcg10": 0.2})
    elsewhere = publish_bundle(Store(str(tmp_path / "b")), "default", other, created_at=NOW)
    assert elsewhere["quality"] == {"ndcg10": 0.2}
    assert elsewhere["bundle_id"] == first["bundle_id"]


def test_a_zero_shot_bundle_has_its_weights_for_a_model(store: Store, draft: BundleDraft) -> None:
    publish_bundle(store, "default", draft, created_at=NOW)
    bundle = load_bundle(store, "default")
    assert isinstance(bundle.model, ZeroShot) and bundle.model.reads_text
    assert bundle.model.interest == draft.settings.interest
    assert bundle.model.weights == draft.weights
    assert bundle.items.warm.all()
    assert (bundle.is_learned, bundle.neighbours) == (False, None)
    fixed = tuple(float(n) for n in range(len(draft.weights.trend)))
    within = model_within(bundle.model, RankingSettings(trend=fixed))
    assert isinstance(within, ZeroShot)
    assert within.weights.trend.tolist() == list(fixed)


def test_a_bundle_from_before_there_were_learned_ones_still_loads(
    store: Store, draft: BundleDraft
) -> None:
    manifest = publish_bundle(store, "default", draft, created_at=NOW)
    old = {k: v for k, v in manifest.items() if k not in ("model", "quality")}
    del old["settings"]["model"]
    old["bundle_id"] = identity_of(old)
    store.write(manifest_path("default", old["bundle_id"]), json.dumps(old).encode())
    promote_bundle(store, "default", old["bundle_id"])
    bundle = load_bundle(store, "default")
    assert bundle.bundle_id == old["bundle_id"] != manifest["bundle_id"]
    assert not bundle.is_learned


def test_a_model_that_does_not_fit_its_half_lives_is_refused(
    store: Store, draft: BundleDraft, rng: np.random.Generator
) -> None:
    short = load(assignments=["encoder.n_dims=4", "interest.half_lives_s=[60.0]"])
    wrong = replace(learned(draft, rng), settings=short)
    publish_bundle(store, "default", wrong, created_at=NOW)
    with pytest.raises(DataError, match="half-lives"):
        load_bundle(store, "default")


def test_the_encoder_comes_back_as_files(store: Store, draft: BundleDraft, tmp_path: Path) -> None:
    publish_bundle(store, "default", draft, created_at=NOW)
    bundle = load_bundle(store, "default")
    folder = materialise_encoder(bundle, tmp_path / "encoder")
    assert (folder / "model.safetensors").read_bytes() == b"weights of a model"
    assert [path.name for path in folder.iterdir()] == ["model.safetensors"]
    assert materialise_encoder(bundle, folder) == folder


def test_a_bundle_without_an_encoder_says_so(
    store: Store, draft: BundleDraft, tmp_path: Path
) -> None:
    publish_bundle(store, "default", replace(draft, encoder=None), created_at=NOW)
    with pytest.raises(NotFoundError, match="encoder"):
        materialise_encoder(load_bundle(store, "default"), tmp_path / "encoder")


def test_a_bundle_keeps_its_interest_graph_and_older_ones_have_none(
    store: Store, draft: BundleDraft
) -> None:
    plain = publish_bundle(store, "default", draft, created_at=NOW)
    assert "graph.json" not in plain["files"] and load_bundle(store, "default").graph is None
    found = graph()
    publish_bundle(store, "default", replace(draft, graph=found), created_at=NOW)
    kept = load_bundle(store, "default").graph
    assert kept is not None and graph_files(kept) == graph_files(found)
