"""The current catalog in the space of a learned bundle."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from pipelines import catalog_vectors
from pipelines.catalog_vectors import vectors_for
from pipelines.encode import EncoderSource, TextVectors
from pipelines.job import Job
from recsys.bundle import Bundle
from recsys.settings import load
from recsys.store import Store
from recsys.testing.fakes import HashEncoder, tiny_items
from recsys.testing.models import N_TEXT, random_bundle

TEXTS: dict[str, str | None] = {f"i{n}": f"topic{n % 3} word{n}" for n in range(9)}


@pytest.fixture
def job(tmp_path: Path) -> Job:
    settings = load(assignments=["encoder.n_dims=6"])
    return Job(Store(str(tmp_path / "store")), f"sqlite:///{tmp_path}/ledger.db", settings)


@pytest.fixture
def bundle(job: Job, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    def text_vectors(texts: Sequence[str], _: EncoderSource) -> TextVectors:
        return TextVectors(np.arange(len(texts)), HashEncoder(N_TEXT).encode(texts), len(texts))

    monkeypatch.setattr(catalog_vectors, "text_vectors", text_vectors)
    found = random_bundle(job.store, tiny_items(TEXTS), 1e9, job.settings)
    encoder = {"id": "hash", "files": {}}
    return dataclasses.replace(found, manifest={**found.manifest, "encoder": encoder})


def read(bundle: Bundle, text: str) -> np.ndarray:
    return bundle.projection.project(HashEncoder(N_TEXT).encode([text]))[0]


def test_a_new_item_is_cold_and_what_its_text_says(job: Job, bundle: Bundle) -> None:
    warm_text = TEXTS["i1"]  # an item that says the same has not what the warm one learned
    now = tiny_items({**TEXTS, "new": "topic1 fresh", "twin": warm_text})
    catalog, items = vectors_for(job, bundle, now, ["only in events"])
    place = catalog.index
    assert not items.warm[[place["new"], place["twin"], place["only in events"]]].any()
    for name in ("new", "twin"):
        said = read(bundle, catalog.item_text(place[name]))
        np.testing.assert_allclose(items.vectors[place[name]], said, atol=1e-6)
    assert not np.allclose(items.vectors[place["twin"]], items.vectors[place["i1"]], atol=1e-3)
    assert not items.vectors[place["only in events"]].any()


def test_a_known_item_stays_as_it_was_learned(job: Job, bundle: Bundle) -> None:
    catalog, items = vectors_for(job, bundle, tiny_items(TEXTS))
    np.testing.assert_array_equal(items.vectors, bundle.vectors)
    np.testing.assert_array_equal(items.warm, bundle.items.warm)
    assert catalog.item_ids == bundle.catalog.item_ids


def test_a_changed_text_is_read_again_unless_the_item_has_learned_more(
    job: Job, bundle: Bundle
) -> None:
    now = tiny_items({**TEXTS, "i0": "topic9 other", "i1": "topic9 other"})
    catalog, items = vectors_for(job, bundle, now)
    assert bundle.items.warm[:2].tolist() == [False, True]
    np.testing.assert_allclose(items.vectors[0], read(bundle, catalog.item_text(0)), atol=1e-6)
    np.testing.assert_array_equal(items.vectors[1], bundle.vectors[1])
