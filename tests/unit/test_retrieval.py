import pickle

import numpy as np
import numpy.typing as npt
import pytest

from recsys.encoder.projection import unit_rows
from recsys.errors import DataError
from recsys.retrieval import MISSING, FaissRetriever, Retriever, build_index, index_from_bytes
from recsys.settings import RetrievalSettings
from recsys.testing.contracts import RETRIEVER_VECTORS, RetrieverContract

EXACT = RetrievalSettings()
HNSW = RetrievalSettings(exact_below=1)


def unit_vectors(rng: np.random.Generator, n: int, n_dims: int = 16) -> npt.NDArray[np.float32]:
    return unit_rows(rng.normal(size=(n, n_dims)))


def test_exact_search_equals_sorting_all_inner_products(rng: np.random.Generator) -> None:
    vectors, queries = unit_vectors(rng, 300), 3.0 * unit_vectors(rng, 5)
    index, score = build_index(vectors, EXACT).search(queries, 10)
    expected = np.argsort(-(queries @ vectors.T), axis=1)[:, :10]
    np.testing.assert_array_equal(index, expected)
    np.testing.assert_allclose(score, np.take_along_axis(queries @ vectors.T, index, 1), rtol=1e-5)
    assert index.dtype == np.int64


def test_the_graph_finds_nearly_all_of_the_nearest(rng: np.random.Generator) -> None:
    vectors, queries = unit_vectors(rng, 3_000), unit_vectors(rng, 20)
    exact, _ = build_index(vectors, EXACT).search(queries, 10)
    found, _ = build_index(vectors, HNSW).search(queries, 10)
    recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(exact, found, strict=True)])
    assert recall >= 0.95


class TestExactIndex(RetrieverContract):
    @pytest.fixture
    def retriever(self) -> FaissRetriever:
        return build_index(RETRIEVER_VECTORS, EXACT)


class TestGraphIndex(RetrieverContract):
    @pytest.fixture
    def retriever(self) -> FaissRetriever:
        return build_index(RETRIEVER_VECTORS, HNSW)


@pytest.mark.parametrize("settings", [EXACT, HNSW])
def test_items_with_equal_vectors_are_all_found_in_the_order_of_their_rows(
    rng: np.random.Generator, settings: RetrievalSettings
) -> None:
    vectors = unit_vectors(rng, 4)[[0, 1, 0, 2, 3, 0]]
    index, score = build_index(vectors, settings).search(vectors[:1], 4)
    assert index[0, :3].tolist() == [0, 2, 5]
    np.testing.assert_allclose(score[0, :3], 1.0, rtol=1e-5)
    assert score[0, 3] < 0.999


def test_copies_do_not_cut_the_graph_into_islands(rng: np.random.Generator) -> None:
    vectors = unit_vectors(rng, 60).repeat(100, axis=0)
    queries = unit_vectors(rng, 20)
    _, exact = build_index(vectors, EXACT).search(queries, 300)
    _, found = build_index(vectors, HNSW).search(queries, 300)
    np.testing.assert_allclose(found, exact, rtol=1e-5)


def test_the_same_vectors_give_the_same_index(rng: np.random.Generator) -> None:
    vectors = unit_vectors(rng, 500)
    assert build_index(vectors, HNSW).to_bytes() == build_index(vectors, HNSW).to_bytes()


@pytest.mark.parametrize("settings", [EXACT, HNSW])
def test_an_empty_index_finds_nothing(settings: RetrievalSettings) -> None:
    found = build_index(np.zeros((4, 16), np.float32), settings)
    index, _ = found.search(np.ones((2, 16), np.float32), 3)
    assert len(found) == 0
    assert (index == MISSING).all()


@pytest.mark.parametrize("settings", [EXACT, HNSW])
def test_an_index_survives_bytes_and_pickling(
    rng: np.random.Generator, settings: RetrievalSettings
) -> None:
    vectors, queries = unit_vectors(rng, 100), unit_vectors(rng, 3)
    built = build_index(vectors, settings)
    expected = built.search(queries, 5)
    for again in (index_from_bytes(built.to_bytes()), pickle.loads(pickle.dumps(built))):
        assert isinstance(again, FaissRetriever)
        assert isinstance(again, Retriever)
        np.testing.assert_array_equal(again.search(queries, 5)[0], expected[0])


def test_bytes_that_are_no_index_are_a_named_error() -> None:
    with pytest.raises(DataError, match="index"):
        index_from_bytes(b"this is no index")


def test_a_query_of_other_dimensions_or_k_of_zero_is_refused(rng: np.random.Generator) -> None:
    index = build_index(unit_vectors(rng, 4), EXACT)
    with pytest.raises(ValueError, match="queries"):
        index.search(np.zeros((1, 3), np.float32), 1)
    with pytest.raises(ValueError, match="k must"):
        index.search(np.zeros((1, 16), np.float32), 0)
