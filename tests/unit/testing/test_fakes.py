from pathlib import Path

import numpy as np
import pytest

from recsys.retrieval import build_index
from recsys.settings import RetrievalSettings
from recsys.store import Store
from recsys.testing.contracts import (
    RETRIEVER_VECTORS,
    EncoderContract,
    RetrieverContract,
)
from recsys.testing.fakes import (
    BruteRetriever,
    HashEncoder,
    tiny_bundle,
    tiny_items,
)


class TestHashEncoder(EncoderContract):
    @pytest.fixture
    def encoder(self) -> HashEncoder:
        return HashEncoder()

    def test_texts_that_share_words_are_near(self) -> None:
        vectors = HashEncoder(64).encode(["red castle knight", "castle knight", "garlic pasta"])
        assert vectors[0] @ vectors[1] > 0.6
        assert vectors[0] @ vectors[2] < 0.4


class TestBruteRetriever(RetrieverContract):
    @pytest.fixture
    def retriever(self) -> BruteRetriever:
        return BruteRetriever(RETRIEVER_VECTORS)


class TestFaissExact(RetrieverContract):
    @pytest.fixture
    def retriever(self):
        return build_index(RETRIEVER_VECTORS, RetrievalSettings())


class TestFaissHnsw(RetrieverContract):
    @pytest.fixture
    def retriever(self):
        return build_index(RETRIEVER_VECTORS, RetrievalSettings(exact_below=1))


def test_a_tiny_bundle_is_a_bundle(tmp_path: Path) -> None:
    items = tiny_items({"b": "castle knight", "a": "garlic pasta", "c": None})
    bundle = tiny_bundle(Store(str(tmp_path)), items, created_at=1e9)
    assert bundle.catalog.item_ids == ["a", "b", "c"]
    np.testing.assert_allclose(np.linalg.norm(bundle.vectors, axis=1), [1, 1, 0], atol=1e-5)
    assert bundle.n_dims == 8
