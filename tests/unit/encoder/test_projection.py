import numpy as np
import pytest
from sklearn.decomposition import PCA

from recsys.encoder.projection import (
    AffineProjection,
    fit_projection,
    projection_from_bytes,
    unit_rows,
)
from recsys.errors import DataError


def test_the_projection_equals_that_of_scikit_learn(rng: np.random.Generator) -> None:
    vectors = unit_rows(rng.normal(size=(200, 4)) @ rng.normal(size=(4, 12)) + 1.0)
    vectors += 0.01 * rng.normal(size=vectors.shape).astype(np.float32)
    pca = PCA(3, svd_solver="full").fit(vectors.astype(np.float64))
    expected = unit_rows(pca.transform(vectors.astype(np.float64)))
    found = fit_projection(vectors, 3).project(vectors)
    signs = np.sign(np.sum(found * expected, axis=0))
    np.testing.assert_allclose(found, expected * signs, atol=1e-3)


def test_rows_are_unit_vectors_and_the_mean_itself_is_a_zero_row(rng: np.random.Generator) -> None:
    vectors = unit_rows(rng.normal(size=(50, 12)))
    projection = fit_projection(vectors, 8)
    found = projection.project(np.vstack([vectors, projection.mean]))
    np.testing.assert_allclose(np.linalg.norm(found[:-1], axis=1), 1.0, atol=1e-5)
    assert not found[-1].any()
    assert found.dtype == np.float32


@pytest.mark.parametrize("n", [2, 3, 5])
def test_a_catalog_of_less_rank_leaves_the_other_dims_zero(
    rng: np.random.Generator, n: int
) -> None:
    vectors = unit_rows(rng.normal(size=(n, 12)))
    projection = fit_projection(vectors, 8)
    found = projection.project(vectors)
    assert projection.n_dims == found.shape[1] == 8
    assert (np.linalg.norm(projection.components, axis=1) > 0).sum() == n - 1


@pytest.mark.parametrize("n", [0, 1])
def test_without_a_catalog_the_first_dims_are_kept(n: int) -> None:
    projection = fit_projection(np.ones((n, 6), np.float32), 4)
    np.testing.assert_array_equal(projection.components, np.eye(4, 6, dtype=np.float32))


def test_equal_texts_alone_do_not_break_the_fit() -> None:
    found = fit_projection(np.ones((5, 6), np.float32), 4).project(np.ones((1, 6), np.float32))
    assert np.isfinite(found).all()


def test_more_dims_than_the_text_has_are_zero(rng: np.random.Generator) -> None:
    vectors = unit_rows(rng.normal(size=(50, 6)))
    assert fit_projection(vectors, 10).project(vectors)[:, 6:].any() == np.False_


def test_the_projection_survives_bytes(rng: np.random.Generator) -> None:
    vectors = unit_rows(rng.normal(size=(20, 6)))
    projection = fit_projection(vectors, 4)
    again = projection_from_bytes(projection.to_bytes())
    np.testing.assert_array_equal(again.project(vectors), projection.project(vectors))
    assert again.to_bytes() == projection.to_bytes()


def test_bytes_that_are_no_projection_are_a_named_error() -> None:
    with pytest.raises(DataError, match="projection"):
        projection_from_bytes(b"nothing")


def test_a_learned_map_keeps_lengths_and_comes_back_as_it_was(rng: np.random.Generator) -> None:
    weight, offset = rng.normal(size=(3, 6)).astype("f4"), rng.normal(size=3).astype("f4")
    affine = AffineProjection(weight, offset)
    texts = rng.normal(size=(5, 6)).astype(np.float32)
    np.testing.assert_allclose(affine.project(texts), texts @ weight.T + offset, rtol=1e-5)
    back = projection_from_bytes(affine.to_bytes())
    assert isinstance(back, AffineProjection)
    assert back.n_dims == 3
    np.testing.assert_array_equal(back.project(texts), affine.project(texts))
